"""The service with a worker that ends at once."""

import dataclasses
import sys

from backend.__main__ import parse
from backend.api.server import serve

WORKER = (sys.executable, "-c", "raise SystemExit('no such engine here')")

if __name__ == "__main__":
    serve(dataclasses.replace(parse(), worker_command=WORKER, device=None))
