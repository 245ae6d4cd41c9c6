"""What happened to one job, for clients that poll and clients that listen."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator

from backend.jobs.store import ACTIVE

KEPT_EVENTS = 512


class EventLog:
    """The newest events of a job, in order of their `sequence`."""

    def __init__(self, first: dict):
        self._events = deque([first], maxlen=KEPT_EVENTS)
        self._news = asyncio.Event()
        self._closed = False

    def add(self, event: dict) -> None:
        self._events.append(event)
        self._tell()

    def since(self, sequence: int) -> list[dict]:
        """The kept events after `sequence`."""
        return [event for event in self._events if event["sequence"] > sequence]

    async def stream(self, sequence: int) -> AsyncIterator[dict]:
        """Events after `sequence` as they come, until the job has ended or the service stops."""
        while True:
            news = self._news
            for event in self.since(sequence):
                sequence = event["sequence"]
                yield event
            if self._closed or (self._events[-1]["state"] not in ACTIVE and not self.since(sequence)):
                return
            await news.wait()

    def close(self) -> None:
        """Ends all streams."""
        self._closed = True
        self._tell()

    def _tell(self) -> None:
        # Every waiter holds the event of its own round, so none misses what comes while it is busy.
        news, self._news = self._news, asyncio.Event()
        news.set()
