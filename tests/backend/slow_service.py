"""The service with the worker of slow_worker.py and small limits."""

import dataclasses
import sys

from backend.__main__ import parse
from backend.api.server import serve
from backend.config import Limits

LIMITS = Limits(image_bytes=300_000, depth_bytes=100_000, json_bytes=400_000, queued_jobs=2, worlds=9)
WORKER = (sys.executable, "-m", "tests.backend.slow_worker")

if __name__ == "__main__":
    serve(dataclasses.replace(parse(), worker_command=WORKER, limits=LIMITS))
