"""The one connection of this Blender to a backend, and the timer that moves everything on.

Nothing here waits: the state file, the process and the sockets are looked at for a few milliseconds per tick. What the
panel shows is read from here; what a .blend must remember is in properties.py.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator
from enum import Enum
from pathlib import Path

import bpy

from . import preferences, process
from .client import Client
from .conversion import CameraError
from .importers.ply import FileError
from .installer import Installation
from .wire import Address, Body, ClientError, Reply

API = 1
START_PATIENCE = 60.0
HEALTH_INTERVAL = 5.0
BUSY_INTERVAL, ACTIVE_INTERVAL, IDLE_INTERVAL = 0.02, 0.15, 1.0


class Phase(Enum):
    OFF = "Off"
    STARTING = "Starting"
    CONNECTING = "Connecting"
    READY = "Ready"


class Session:
    """State of the connection. `message` is the last line for the user, empty when all is well."""

    def __init__(self):
        self.phase = Phase.OFF
        self.message = ""
        self.health: dict = {}
        self.engines: list[dict] = []
        self.client: Client | None = None
        self.installation: Installation | None = None
        # Imports under way, a step per tick, one after the other.
        self.tasks: list[Iterator[None]] = []
        # Jobs under way: objects with a `poll()` that returns False when it is over.
        self.followers: list = []
        # Called whenever a backend has just answered.
        self.on_ready: list[Callable[[], None]] = []
        # The newest job of each world by the world's id, as the backend last described it.
        self.jobs: dict[str, dict] = {}
        self._child: subprocess.Popen | None = None
        # The state file of a backend that an extension started: that one is to end with Blender.
        self._own_state: Path | None = None
        self._waiting: list[Callable[[], None]] = []
        self._since = 0.0
        self._next_health = 0.0
        self._asking_health = False

    # Connecting

    def ensure(self, then: Callable[[], None]) -> None:
        """Calls `then` once a backend answers, which may be now; starts one if none runs."""
        self.message = ""
        if self.phase is Phase.READY:
            then()
            return
        self._waiting.append(then)
        if self.phase is Phase.OFF:
            self._begin(may_start=True)
        wake()

    def adopt(self, then: Callable[[], None]) -> None:
        """Calls `then` if a backend is found running; starts none."""
        if self.phase is Phase.READY:
            then()
        elif self.phase is not Phase.OFF or self._known_address() is not None:
            self._waiting.append(then)
            if self.phase is Phase.OFF:
                self._begin(may_start=False)
            wake()

    def _known_address(self) -> Address | None:
        """Where a backend is said to run. Raises ClientError for an address that cannot be right."""
        chosen = preferences.get()
        if chosen.source == "ADDRESS":
            return Address.parse(chosen.address, chosen.token) if chosen.token else None
        state = process.read_state(state_file())
        return state.address if state else None

    def _begin(self, may_start: bool) -> None:
        may_start = may_start and preferences.get().source != "ADDRESS"
        try:
            address = self._known_address()
        except ClientError as error:
            self._fail(str(error))
            return
        if address:
            self._connect(address, self._launch if may_start else None)
        elif may_start:
            self._launch()
        else:
            self._fail("No token is set. Copy address and token of the running engine into the preferences.")

    def _launch(self, _why: str = "") -> None:
        python = preferences.engine_python()
        if python is None:
            self._fail("The engine is not installed. Click Install Engine in the Engine panel.")
            return
        try:
            self._child = process.start(
                python, state_file=state_file(), worlds=preferences.worlds_folder(), log=log_file()
            )
        except OSError as error:
            self._fail(
                f"{python} does not start ({error.strerror}). Choose another Python in the preferences."
            )
            return
        self.phase, self._since = Phase.STARTING, time.monotonic()

    def _connect(self, address: Address, otherwise: Callable[[str], None] | None) -> None:
        self.phase = Phase.CONNECTING
        self.client = Client(address)
        self.client.request(
            "GET", "/health", on_reply=self._connected, on_error=otherwise or self._fail, patience=10.0
        )

    def _connected(self, reply: Reply) -> None:
        self.health = reply.json()
        if self.health.get("api") != API:
            self._fail(
                f"The engine {self.health.get('version')} speaks API {self.health.get('api')}, this extension {API}. "
                "Update the older of the two."
            )
            return
        self.phase, self.message = Phase.READY, ""
        if self.started_here and preferences.get().source != "ADDRESS":
            self._own_state = state_file()
        self._next_health = time.monotonic() + HEALTH_INTERVAL
        self.refresh_engines()
        waiting, self._waiting = self._waiting, []
        for then in (*self.on_ready, *waiting):
            then()

    def refresh_engines(self) -> None:
        def keep(reply: Reply) -> None:
            self.engines = reply.json()

        self.client.request("GET", "/engines", on_reply=keep, on_error=self.say)

    def say(self, message: str) -> None:
        """Shows a line in the panel."""
        self.message = message

    def _fail(self, message: str) -> None:
        self.phase, self.message = Phase.OFF, message
        self._waiting.clear()
        if self.client:
            self.client.close()
        self.client = None

    # Ending

    @property
    def started_here(self) -> bool:
        """Whether an extension like this one started the backend, so that it may also end it."""
        return self.health.get("owner") == process.OWNER

    def stop(self) -> None:
        """Asks the backend to end, which it refuses while a job runs."""

        def stopped(_reply: Reply) -> None:
            self._fail("")

        if self.client:
            body = Body.of_json({"force": False})
            self.client.request("POST", "/shutdown", body=body, on_reply=stopped, on_error=self.say)
            wake()

    def disconnect(self) -> None:
        """Forgets the connection, its jobs and its tasks; the backend goes on."""
        self._fail("")
        self.followers.clear()
        self.tasks.clear()

    def close(self) -> None:
        """At Blender's exit: a backend of ours ends with it, unless something runs there."""
        if self.installation:
            self.installation.abandon()
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
        if self.client:
            self.client.tick()
        if self.phase is Phase.READY:
            self._watch_health()
            self.followers = [follower for follower in self.followers if follower.poll()]
        if self.tasks:
            self._step_task()
        return self._interval()

    def _step_task(self) -> None:
        try:
            ended = next(self.tasks[0], self) is self
        except (FileError, CameraError, OSError) as error:
            self.say(str(error))
            ended = True
        if ended:
            self.tasks.pop(0)

    def _interval(self) -> float | None:
        if self.tasks or (self.client and self.client.busy):
            return BUSY_INTERVAL
        if self.followers or self.phase is Phase.STARTING or (self.installation and self.installation.active):
            return ACTIVE_INTERVAL
        return IDLE_INTERVAL if self.phase is Phase.READY else None

    def _watch_start(self) -> None:
        said = process.last_line(process.console_log(log_file())) or process.last_line(log_file())
        if self._child.poll() is not None:
            self._fail(f"The engine ended at its start: {said or 'it said nothing'}. Log: {log_file()}")
        elif state := process.read_state(state_file()):
            self._connect(state.address, None)
        elif time.monotonic() - self._since > START_PATIENCE:
            process.kill(self._child)
            self._fail(f"The engine did not answer within {START_PATIENCE:.0f} s. Log: {log_file()}")

    def _watch_health(self) -> None:
        if self._asking_health or time.monotonic() < self._next_health:
            return

        def keep(reply: Reply) -> None:
            self._asking_health = False
            self._next_health = time.monotonic() + HEALTH_INTERVAL
            self.health = reply.json()

        self._asking_health = True
        self.client.request("GET", "/health", on_reply=keep, on_error=self._lost)

    def _lost(self, why: str) -> None:
        self._asking_health = False
        self.followers.clear()
        self._fail(f"The engine is gone ({why}) Start it again; a job that was under way can be resumed.")


def state_file() -> Path:
    return preferences.user_folder() / "backend.json"


def log_file() -> Path:
    return preferences.user_folder("logs") / "backend.log"


current = Session()


def wake() -> None:
    """Makes the timer run. Called whenever something was begun."""
    if bpy.app.timers.is_registered(_poll):
        bpy.app.timers.unregister(_poll)
    bpy.app.timers.register(_poll, first_interval=0.0, persistent=True)


def _poll() -> float | None:
    # Blender drops a timer that raises. The error is shown; what else is under way must go on.
    try:
        interval = current.tick()
    except BaseException:
        bpy.app.timers.register(wake, first_interval=IDLE_INTERVAL, persistent=True)
        raise
    redraw()
    return interval


def redraw() -> None:
    """Has the sidebars drawn anew."""
    for window in bpy.context.window_manager.windows:
        for area in window.screen.areas:
            if area.type == "VIEW_3D":
                for region in area.regions:
                    if region.type == "UI":
                        region.tag_redraw()


def unregister() -> None:
    current.close()
    for timer in (_poll, wake):
        if bpy.app.timers.is_registered(timer):
            bpy.app.timers.unregister(timer)
