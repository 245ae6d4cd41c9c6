"""Health check of the connected service: it answers, is silent for a while, or is gone."""

from __future__ import annotations

import time
from collections.abc import Callable

from .client import Client
from .resources import Health
from .wire import NoAnswerError, Reply

INTERVAL = 5.0
PATIENCE = 30.0


class HealthWatch:
    """Asks for `/health` every few seconds.

    `there` is called with each answer and whether the service was silent before it, `gone` with a line when nobody
    listens any longer, `silent` when somebody listens who has not answered: a service that is busy, so it is asked on.
    """

    def __init__(
        self,
        client: Client,
        there: Callable[[Health, bool], None],
        gone: Callable[[str], None],
        silent: Callable[[], None],
    ):
        self.silent = False
        self._client = client
        self._there, self._gone, self._say_silent = there, gone, silent
        self._asking = False
        self._next = time.monotonic() + INTERVAL

    def poll(self) -> None:
        """Asks when it is time to. Never waits."""
        if self._asking or time.monotonic() < self._next:
            return
        self._asking = True
        self._client.request(
            "GET",
            "/health",
            on_reply=self._answered,
            on_error=self._gone,
            on_silence=self._unanswered,
            patience=PATIENCE,
        )

    def _answered(self, reply: Reply) -> None:
        health = Health.from_json(reply.json())
        was_silent, self.silent = self.silent, False
        self._wait()
        self._there(health, was_silent)

    def _unanswered(self, error: NoAnswerError) -> None:
        if error.refused:
            self._gone(str(error))
            return
        self.silent = True
        self._wait()
        self._say_silent()

    def _wait(self) -> None:
        self._asking = False
        self._next = time.monotonic() + INTERVAL
