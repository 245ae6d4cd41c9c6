"""The connection of this Blender to a service, and everything in progress on either side.

Nothing blocks: state file, process and sockets are looked at for a few milliseconds per tick. Panels read from here;
what a .blend keeps is in scene/properties.py.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from enum import Enum
from functools import partial
from pathlib import Path

from . import hello, preferences, process, timer
from .bodies import ShutdownBody
from .client import Client
from .contract import API_VERSION
from .health import HealthWatch
from .installer import Installation
from .resources import Engine, Health, Hello, Job, entries
from .timer import wake
from .wire import Address, Body, ClientError, NoAnswerError, Reply, error_of, is_refusal

CONNECT_PATIENCE = 10.0
# After a service that listens has not answered, until it is asked again.
RETRY_PAUSE = 3.0
# A service that is told to stop takes its state file away last. After so long it is not waited for any more.
STOP_PATIENCE = 20.0
BUSY_INTERVAL, ACTIVE_INTERVAL, IDLE_INTERVAL = 0.02, 0.15, 1.0


class Phase(Enum):
    OFF = "Off"
    STARTING = "Starting"
    CONNECTING = "Connecting"
    READY = "Ready"
    STOPPING = "Stopping"


class Session:
    """State of the connection. `message` is the last line for the user, empty when all is well."""

    def __init__(self):
        self.phase = Phase.OFF
        self.message = ""
        self.health: Health | None = None
        self.engines: list[Engine] = []
        self.client: Client | None = None
        self.installation: Installation | None = None
        # Imports under way, a step per tick, one after the other. A step that gives a text has waited for what it says.
        self.tasks: list[Iterator[str | None]] = []
        self.waits_for = ""
        # Jobs under way: objects with a `poll()` that returns False when it is over, and a `leave()` for when the
        # connection ends before.
        self.followers: list = []
        # Called whenever a service has answered that did not before.
        self.on_ready: list[Callable[[], None]] = []
        # The newest job of each world by the world's id, as the service last described it.
        self.jobs: dict[str, Job] = {}
        self._launching: process.Launch | None = None
        # The state file of a service that an extension started: that one is to end with Blender.
        self._own_state: Path | None = None
        # What is to be called once a service answers, and the world it is about, "" for none.
        self._waiting: list[tuple[str, Callable[[], None]]] = []
        self._health_watch: HealthWatch | None = None
        # The next try to connect to such a service, and when.
        self._again: Callable[[], None] | None = None
        self._again_at = 0.0
        self._stop_until = 0.0

    # Connecting

    def ensure(self, then: Callable[[], None], about: str = "") -> None:
        """Calls `then` once a service answers, which may be now; starts one if none runs. Until then `is_asking` knows
        it by `about`, as it does requests."""
        self.message = ""
        if self.phase is Phase.READY:
            then()
            return
        self._waiting.append((about, then))
        if self.phase is Phase.OFF:
            self._begin(may_start=True)
        wake()

    def is_asking(self, about: str) -> bool:
        """Whether something about this waits for a service, or for its answer: it is not to be asked for twice."""
        waits = any(other == about for other, _ in self._waiting)
        return waits or (self.client is not None and self.client.is_asking(about))

    def adopt(self, then: Callable[[], None]) -> None:
        """Calls `then` if a service is found running; starts none."""
        if self.phase is Phase.READY:
            then()
        elif self.phase is not Phase.OFF or self._known_address() is not None:
            self._waiting.append(("", then))
            if self.phase is Phase.OFF:
                self._begin(may_start=False)
            wake()

    def _known_address(self) -> Address | None:
        """Where a service is said to run. Raises ClientError for an address that cannot be right."""
        chosen = preferences.get()
        if chosen.source == "ADDRESS":
            return Address.parse(chosen.address, chosen.token) if chosen.token else None
        state = process.read_state(state_file())
        return state.address if state else None

    def install(self, begin: Callable[[], None]) -> None:
        """Calls `begin` once it is sure that no service runs from the environment that an installation replaces.

        One that runs is connected to instead, and the panel says how to end it.
        """

        def none_there(_why: str) -> None:
            self._fail("")
            begin()

        def refuse() -> None:
            self.say(
                "The service is running, and an installation would take its files away. Wait for its job or cancel it, "
                "click Stop Service, and then install again."
            )

        state = process.read_state(state_file())
        if state is None:
            none_there("")
            return
        self._waiting = [("", refuse)]
        self._connect(state.address, none_there, partial(self.install, begin))
        wake()

    def _begin(self, may_start: bool) -> None:
        may_start = may_start and preferences.get().source != "ADDRESS"
        try:
            address = self._known_address()
        except ClientError as error:
            self._fail(str(error))
            return
        if address:
            self._connect(address, self._launch if may_start else self._fail, partial(self._begin, may_start))
        elif may_start:
            self._launch()
        elif preferences.get().source == "ADDRESS":
            self._fail("No token is set. Copy address and token of the running service into the preferences.")
        else:
            self._fail(f"The service has ended. Start it again. Log: {log_file()}")

    def _launch(self, _why: str = "") -> None:
        self.phase = Phase.STARTING
        if self._launching and not self._launching.ended:
            return  # begun before a Disconnect or another file
        python = preferences.service_python()
        if python is None:
            self._fail("The service is not installed. Click Install Service in the Service panel.")
            return
        try:
            self._launching = process.Launch(
                python, state_file=state_file(), worlds=preferences.worlds_folder(), log=log_file()
            )
        except OSError as error:
            self._fail(
                f"{python} does not start ({error.strerror}). Choose another Python in the preferences."
            )

    def _connect(self, address: Address, otherwise: Callable[[str], None], again: Callable[[], None]) -> None:
        """Asks for a service. `otherwise` gets a line when there is none; `again` is called a little later when
        something listens there and does not answer: a service that is busy, whose state file must stay."""

        def silent(error: NoAnswerError) -> None:
            if error.refused:
                otherwise(str(error))
                return
            self.client.close()
            self.say(self._silence("Cancel"))
            self._again, self._again_at = again, time.monotonic() + RETRY_PAUSE

        def greeted(reply: Reply) -> None:
            hello.check(Hello.from_json(reply.json()), challenge, address)
            self.client.request(
                "GET",
                "/health",
                on_reply=self._connected,
                on_error=otherwise,
                on_silence=silent,
                patience=CONNECT_PATIENCE,
            )

        def refused(reply: Reply) -> None:
            if reply.status in (401, 404) and is_refusal(reply):
                self._fail(self._too_old(address))
            else:
                otherwise(error_of(reply))

        self.phase = Phase.CONNECTING
        self.client = Client(address)
        challenge = hello.new_challenge()
        self.client.request(
            "GET",
            hello.path(challenge),
            on_reply=greeted,
            on_refusal=refused,
            on_error=otherwise,
            on_silence=silent,
            patience=CONNECT_PATIENCE,
            authorized=False,
            limit=hello.LIMIT,
        )

    @staticmethod
    def _too_old(address: Address) -> str:
        """What to say of a service that refuses the challenge as one of an earlier version does."""
        process_id = "" if address.pid is None else f" (process {address.pid})"
        return (
            f"The service at {address.host}:{address.port}{process_id} is of an earlier version, which cannot prove "
            "that it is the service. End it, update it, and start it again."
        )

    def _silence(self, ends: str) -> str:
        """What to say of a service that listens and does not answer, so that a person can find its process."""
        address = self.client.address
        state = process.read_state(state_file())
        known = state is not None and state.address == address
        who = (
            f"The service (process {state.pid})" if known else f"The service at {address.host}:{address.port}"
        )
        return f"{who} does not answer. It may be busy, and is asked again until you click {ends}."

    def _connected(self, reply: Reply) -> None:
        self.health = Health.from_json(reply.json())
        if self.health.api != API_VERSION:
            self._fail(
                f"The service {self.health.version} speaks API {self.health.api}, this extension {API_VERSION}. "
                f"End the service (process {self.health.pid}) and update the older of the two."
            )
            return
        self.phase, self.message, self._launching = Phase.READY, "", None
        if self.started_here and preferences.get().source != "ADDRESS":
            self._own_state = state_file()
        self._health_watch = HealthWatch(
            self.client, self._still_there, self._lost, lambda: self.say(self._silence("Disconnect"))
        )
        self.refresh_engines()
        waiting, self._waiting = self._waiting, []
        for then in (*self.on_ready, *(then for _, then in waiting)):
            then()

    def refresh_engines(self) -> None:
        def keep(reply: Reply) -> None:
            self.engines = entries(reply.json(), Engine.from_json)

        self.client.request("GET", "/engines", on_reply=keep, on_error=self.say)

    def say(self, message: str) -> None:
        """Shows a line in the panel."""
        self.message = message

    def _fail(self, message: str) -> None:
        self.phase, self.message = Phase.OFF, message
        self._waiting.clear()
        self._again = self._health_watch = None
        for follower in self.followers:
            follower.leave()
        self.followers.clear()
        if self.client:
            self.client.close()
        self.client = None

    # Ending

    @property
    def started_here(self) -> bool:
        """Whether an extension like this one started the service, so that it may also end it."""
        return self.health is not None and self.health.owner == process.OWNER

    def stop(self) -> None:
        """Asks the service to end, which it refuses while a job runs."""

        def stopped(_reply: Reply) -> None:
            state = process.read_state(state_file())
            is_here = state is not None and state.address == self.client.address
            self._fail("")
            if is_here:
                self.phase, self._stop_until = Phase.STOPPING, time.monotonic() + STOP_PATIENCE

        def refused(message: str) -> None:
            def known(reply: Reply) -> None:
                busy = (
                    "The service has a job under way. Wait for it or cancel it, then stop the service; "
                    "Disconnect leaves the service and the job alone."
                )
                self.say(busy if Health.from_json(reply.json()).active_jobs else message)

            self.client.request("GET", "/health", on_reply=known, on_error=self.say)

        if self.client:
            body = Body.of_json(ShutdownBody(force=False).to_json())
            self.client.request("POST", "/shutdown", body=body, on_reply=stopped, on_error=refused)
            wake()

    def disconnect(self) -> None:
        """Forgets the connection, its jobs and its tasks; the service goes on."""
        self._fail("")
        self.tasks.clear()

    def close(self) -> None:
        """At Blender's exit: a service of ours ends with it, unless something runs there."""
        if self.installation:
            self.installation.abandon()
        if self._launching:
            self._launching.abandon()
        state = process.read_state(self._own_state) if self._own_state else None
        if state and state.owner == process.OWNER:
            process.stop_if_idle(state.address)
        self._own_state = None
        self.disconnect()

    # Moving on

    def tick(self) -> float | None:
        """One look at everything under way. Seconds until the next look, None when nothing is left to look at."""
        if self.installation and self.installation.active:
            self.installation.poll()
        if self.phase is Phase.STARTING:
            self._watch_start()
        if self.phase is Phase.STOPPING:
            self._watch_stop()
        if self.client:
            self.client.tick()
        if self._again and time.monotonic() >= self._again_at:
            again, self._again = self._again, None
            again()
        if self.phase is Phase.READY:
            self._health_watch.poll()
            self.followers = [follower for follower in self.followers if follower.poll()]
        self.waits_for = self._step_task() if self.tasks else ""
        return self._interval()

    def _step_task(self) -> str:
        """One step of the first task; returns what it waits for, if it does."""
        if timer.is_rendering():
            return "Blender is rendering; results are imported afterwards"
        try:
            return next(self.tasks[0]) or ""
        except StopIteration:
            self.tasks.pop(0)
            return ""

    def _interval(self) -> float | None:
        if (self.tasks and not self.waits_for) or (self.client and self.client.busy):
            return BUSY_INTERVAL
        underway = self.tasks or self.phase in (Phase.STARTING, Phase.CONNECTING, Phase.STOPPING)
        if self.followers or underway or (self.installation and self.installation.active):
            return ACTIVE_INTERVAL
        return IDLE_INTERVAL if self.phase is Phase.READY else None

    def _watch_start(self) -> None:
        try:
            address = self._launching.look()
        except process.StartError as error:
            self._fail(str(error))
            return
        if address:
            self._connect(address, self._fail, partial(self._begin, False))

    def _watch_stop(self) -> None:
        """Waits for the end of a service that was told to stop: until then its worlds and environment are in use."""
        if process.read_state(state_file()) is None or time.monotonic() > self._stop_until:
            waiting, self._waiting = self._waiting, []
            self._fail("")
            for about, then in waiting:
                self.ensure(then, about)

    def _still_there(self, health: Health, was_silent: bool) -> None:
        self.health = health
        if was_silent:
            if self.message == self._silence("Disconnect"):
                self.message = ""
            for then in self.on_ready:
                then()

    @property
    def is_silent(self) -> bool:
        """Whether the service listens, but has not answered for long."""
        return self._health_watch is not None and self._health_watch.silent

    def _lost(self, why: str) -> None:
        self._fail(f"The service is gone ({why}) Start it again; a job that was under way can be resumed.")


def state_file() -> Path:
    return preferences.user_folder() / "backend.json"


def log_file() -> Path:
    return preferences.user_folder("logs") / "backend.log"


current = Session()
