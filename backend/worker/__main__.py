"""`python -m backend.worker` runs one job after another for the service."""

from backend.worker.main import main

main()
