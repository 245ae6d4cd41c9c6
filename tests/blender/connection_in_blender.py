"""Run inside Blender: what happens to jobs, worlds and state files when the service is late, gone, or back."""

import json
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import bpy
import numpy as np

from tests.blender import safeguards
from tests.blender.greeting import greeting, is_greeting
from tests.blender.playing import install, module, refused, uninstall, until
from tests.blender.recorder import drawn

LENS = [[64, 0, 32], [0, 64, 32], [0, 0, 1]]


class Service:
    """A service with one world and at most one job, which can be silent, end and come back at the same port."""

    def __init__(self):
        self.world = {
            "id": "w", "name": "W", "engine": "preview", "seed": 7, "license": "", "width": 64, "height": 64,
            "frames": 81, "state": "ready", "intrinsics": LENS, "notes": [], "scale": 1.0, "files": [], "folder": "",
            "chunks": [{"index": 1, "prompt": "", "seconds": 1.0}], "last_w2c": np.eye(4).tolist(),
        }  # fmt: skip
        self.job = None
        self.failures = 0
        self.silent_at = ()
        # What answers a challenge in place of the service, and the paths of the requests that brought a token.
        self.stranger, self.tokens = None, []
        self.requests = []
        self.port = 0
        self.may_answer = threading.Event()
        self.start()

    def start(self):
        service = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *_args):
                pass

            def do_GET(self):
                self.rfile.read(int(self.headers["Content-Length"] or 0))
                service.tokens += [self.path] if "Authorization" in self.headers else []
                status, answer = service.answer(self.command, self.path)
                body = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def do_POST(self):
                self.do_GET()

        class Server(ThreadingHTTPServer):
            def handle_error(self, *_args):
                """A client that has lost its patience is part of this."""

        self.may_answer.set()
        self.server = Server(("127.0.0.1", self.port), Handler)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    def end(self):
        self.server.shutdown()
        self.server.server_close()

    def be_silent(self, *paths):
        self.silent_at = paths
        self.may_answer.clear()

    def be_back(self):
        self.may_answer.set()

    def begin(self, job_id, kind="extend"):
        self.job = {
            "id": job_id, "world_id": "w", "kind": kind, "state": "running", "stage": "frames", "progress": 0.25,
            "eta_seconds": 90, "message": "", "error": None, "notes": [], "sequence": 1, "preview": False,
        }  # fmt: skip
        return self.job

    def revert(self):
        self.world = self.world | {"chunks": [], "frames": 1}

    def answer(self, method, path):
        self.requests.append(f"{method} {path}")
        if any(part in path for part in self.silent_at):
            self.may_answer.wait(20)
        running = self.job is not None and self.job["state"] == "running"
        if is_greeting(path):
            return self.stranger or (200, greeting(path, "token", 4711))
        if path == "/v1/health":
            return 200, {"api": 1, "version": "1", "pid": 4711, "owner": "user", "device": "cpu",
                         "worker": "idle", "active_jobs": int(running)}  # fmt: skip
        if path == "/v1/shutdown":
            return (409, {"detail": 'send {"force": true}'}) if running else (202, {})
        if path == "/v1/engines":
            return 200, []
        if path == "/v1/worlds/w/chunks":
            return 202, self.begin("g")
        if path.startswith("/v1/worlds/w"):
            return 200, self.world
        if path.startswith("/v1/jobs?"):
            return 200, [self.job] if running else []
        if self.failures:
            self.failures -= 1
            return 500, {"detail": "It failed."}
        if path.endswith("/resume"):
            self.job["state"] = "running"
        return 200, self.job


def empty():
    return worlds.find("w")


def is_busy():
    return following.is_busy(empty())


def follow(job_id):
    following.follow(resources.Job.from_json(service.begin(job_id)))
    until(is_busy)


def connect():
    assert bpy.ops.lyra.start_service() == {"FINISHED"}
    until(lambda: current.phase is session.Phase.READY)


def load_results(world):
    """In place of the importers, which are not part of this."""
    worlds.describe(empty(), world)
    empty().lyra.job = ""
    loaded.append(world.frames)


def be_quick():
    """The waits of this test are not the users'."""
    health.INTERVAL, health.PATIENCE = 0.1, 0.4
    session.CONNECT_PATIENCE, session.RETRY_PAUSE = 0.4, 0.1
    following.RETRY_PAUSES = (0.02, 0.04, 0.06)
    changes.REVERT_PATIENCE = 0.4


def check_timer():
    """Blender's timer goes on after a tick that has raised."""
    timer = module("service.timer")
    assert bpy.app.timers.is_registered(timer._poll) and timer._poll() > 0
    current.tasks.append(None)
    try:
        timer._poll()
    except TypeError:
        assert bpy.app.timers.is_registered(timer.wake)
    else:
        raise AssertionError("the error was hidden")
    current.tasks.clear()


def check_disconnect():
    """The job goes on and ends; with the next connection its results are there."""
    follow("a")
    refused(bpy.ops.lyra.reload, "Wait for the world's job")
    bpy.ops.lyra.disconnect()
    assert not is_busy() and empty().lyra.job == "a" and bpy.ops.lyra.reload.poll()
    connect()
    until(is_busy)
    bpy.ops.lyra.disconnect()
    following.preview_file("a").write_bytes(b"the newest frame")
    service.job["state"] = "done"
    connect()
    until(lambda: loaded)
    assert not is_busy() and not current.message and not following.preview_file("a").exists()


def check_engine_gone():
    """The connection is watched after a disconnect too; a job that was under way can be resumed."""
    follow("b")
    service.end()
    until(lambda: "is gone" in current.message)
    assert current.phase is session.Phase.OFF and not is_busy() and not current.followers
    service.job["state"] = "interrupted"
    service.start()
    connect()
    until(lambda: following.job_of(empty()))
    assert following.job_of(empty()).state == "interrupted"
    assert "lyra.resume" in drawn(bpy.types.LYRA_PT_job, bpy.context)
    assert bpy.ops.lyra.resume() == {"FINISHED"}
    until(lambda: current.followers and not current.client.busy)
    assert is_busy()


def check_failed_polls():
    """A poll or two may fail. When all do, the world is free again and the message says how to look for the job."""
    follow("c")
    service.failures = 3
    until(lambda: not service.failures)
    until(lambda: current.followers[0]._failures == 0)
    assert is_busy() and not current.message
    service.failures = 1000
    until(lambda: not is_busy())
    assert "Reload Results" in current.message
    service.failures = 0
    assert bpy.ops.lyra.reload() == {"FINISHED"}
    until(is_busy)
    current.say("")


def check_silence():
    """A busy service keeps its connection and its jobs."""
    service.be_silent("health", "jobs")
    until(lambda: "does not answer" in current.message)
    assert current.phase is session.Phase.READY and is_busy()
    service.be_back()
    until(lambda: not current.message and not current.is_silent)
    service.job["state"] = "failed"
    until(lambda: not is_busy() and not current.followers)


def check_stop_refused():
    service.begin("d")
    assert bpy.ops.lyra.stop_service() == {"FINISHED"}
    until(lambda: current.message)
    assert "Disconnect leaves" in current.message and "force" not in current.message
    service.job["state"] = "failed"
    current.say("")


def check_revert():
    """What became of a revert without an answer is found out."""
    service.be_silent("revert")
    changes.revert("w", 0)
    until(lambda: current.message)
    assert "has 81 frames now" in current.message
    current.say("")
    changes.revert("w", 0)
    service.revert()
    until(lambda: worlds.description(empty()).frames == 1 and not changes._unanswered)
    assert not current.message and loaded[-1] == 1
    changes.REVERT_PATIENCE = 600.0
    chunk = {"index": 1, "prompt": "", "seconds": 1.0}
    service.world = service.world | {"frames": 161, "chunks": [chunk, chunk]}
    bpy.ops.lyra.reload()
    until(lambda: worlds.description(empty()).frames == 161)
    changes.revert("w", 0)
    until(lambda: "POST /v1/worlds/w/revert" in service.requests)
    service.revert()
    bpy.ops.lyra.disconnect()
    service.be_back()
    connect()
    until(lambda: worlds.description(empty()).frames == 1)
    assert not current.message


def check_seed_camera_deleted():
    assert module("operators.polls").needs_ready_world(bpy.types.LYRA_OT_generate, bpy.context)
    worlds.remove(empty(), worlds.FIRST_CAMERA)
    refused(bpy.ops.lyra.generate, "click Reload Results")
    follow("e")
    refused(bpy.ops.lyra.generate, "Wait until")
    service.job["state"] = "cancelled"
    until(lambda: not is_busy())


def write_state_file():
    state = {"host": "127.0.0.1", "port": service.port, "token": "token", "pid": 4711, "owner": "user",
             "version": "1", "api": 1}  # fmt: skip
    session.state_file().write_text(json.dumps(state))


def check_state_file():
    """The service that the state file names is neither forgotten nor overwritten while it listens."""
    bpy.ops.lyra.disconnect()
    chosen = module("service.preferences").get()
    chosen.source, chosen.service_python = "PYTHON", "/nowhere/python"
    write_state_file()
    begun = []
    for begin in (lambda: current.ensure(lambda: begun.append("job")), lambda: current.install(begun.clear)):
        service.be_silent("hello")
        begin()
        until(lambda: "process 4711" in current.message)
        assert current.phase is session.Phase.CONNECTING and session.state_file().exists()
        assert "lyra.disconnect" in drawn(bpy.types.LYRA_PT_service, bpy.context)
        service.be_back()
        until(lambda: current.phase is session.Phase.READY)
        assert begun == ["job"]
        said = current.message
        bpy.ops.lyra.disconnect()
    assert "click Stop Service" in said
    service.end()
    current.install(lambda: begun.append("installation"))
    until(lambda: "installation" in begun)
    assert current.phase is session.Phase.OFF and session.state_file().exists()
    bpy.ops.lyra.start_service()
    until(lambda: "does not start" in current.message)
    assert not session.state_file().exists()


def check_strangers():
    """What does not prove to be the service gets no token, and the state of the connection is known again."""
    chosen = module("service.preferences").get()
    hello = {"service": "lyra-worlds", "api": 1, "pid": 4711, "proof": "0" * 64}
    strangers = [
        ((401, {"detail": "The token is missing."}), "is of an earlier version"),
        ((404, {"detail": "Not Found"}), "is of an earlier version"),
        ((404, b"<html>"), "<html>"),
        ((200, b"<html>"), "not a Lyra service"),
        ((200, b"\xff\xfe\x00"), "not a Lyra service"),
        ((200, b"[" * 3000), "not a Lyra service"),
        ((200, hello), "has another token"),
        ((200, hello | {"pid": "x"}), "'x' as pid"),
        ((200, b"x" * 5000), "larger than"),
    ]
    chosen.source, chosen.address, chosen.token = "ADDRESS", f"127.0.0.1:{service.port}", "token"
    for service.stranger, says in strangers:
        current.ensure(lambda: None)
        until(lambda: current.phase is session.Phase.OFF, limit=10)
        assert says in current.message and current.client is None, current.message
    # A state file whose port another process has: the service is started, but never where one answers as it should.
    chosen.source = "PYTHON"
    for service.stranger, says in ((strangers[0][0], "(process 4711)"), (strangers[3][0], "does not start")):
        write_state_file()
        bpy.ops.lyra.start_service()
        until(lambda: current.phase is session.Phase.OFF, limit=10)
        assert says in current.message, current.message
        assert session.state_file().exists() == ("4711" in says)
    write_state_file()
    service.stranger = None
    state = json.loads(session.state_file().read_text())
    session.state_file().write_text(json.dumps(state | {"pid": 5}))
    bpy.ops.lyra.start_service()
    until(lambda: "does not start" in current.message)
    assert not service.tokens, service.tokens
    current.say("")


def check_ids():
    """A job whose id leads out of a folder is refused where it arrives."""
    outside = following.preview_file("x").parent.parent / "x.jpg"
    outside.write_bytes(b"mine")
    before = dict(current.jobs)
    for changes in ({"id": "../x"}, {"world_id": "../w"}, {"progress": "much"}, {"notes": 5}):
        service.job = service.begin("f") | changes
        following.find_running()
        until(lambda: current.message, limit=10)
        assert "The service sent" in current.message, current.message
        current.say("")
        assert not current.followers and current.jobs == before
    assert outside.read_bytes() == b"mine"
    service.job = None


def check_stop():
    """A service that was stopped is waited for until it has taken its state file away."""
    service.start()
    write_state_file()
    bpy.ops.lyra.start_service()
    until(lambda: current.phase is session.Phase.READY)
    assert bpy.ops.lyra.stop_service() == {"FINISHED"}
    until(lambda: current.phase is session.Phase.STOPPING)
    assert not bpy.ops.lyra.start_service.poll() and "Stopping the Service" in drawn(
        bpy.types.LYRA_PT_service, bpy.context
    )
    current.ensure(lambda: None)
    service.end()
    session.state_file().unlink()
    until(lambda: "does not start" in current.message)


def main():
    install(sys.argv[1])
    global changes, current, following, health, loaded, resources, service, session, worlds
    changes, following, health, resources, session, worlds = map(
        module,
        (
            "jobs.changes",
            "jobs.following",
            "service.health",
            "service.resources",
            "service.session",
            "scene.worlds",
        ),
    )
    current = session.current
    be_quick()
    loaded, module("jobs.fetching").fetch_results = [], load_results
    service = Service()
    chosen = module("service.preferences").get()
    chosen.source, chosen.address, chosen.token = "ADDRESS", f"127.0.0.1:{service.port}", "token"
    connect()
    bpy.context.scene.lyra.world = worlds.create(
        bpy.context.scene, resources.World.from_json(service.world), np.eye(4)
    )
    camera = bpy.data.objects.new("camera", bpy.data.cameras.new("camera"))
    worlds.add(empty(), worlds.FIRST_CAMERA, camera)
    check_timer()
    check_disconnect()
    check_engine_gone()
    check_failed_polls()
    check_silence()
    check_stop_refused()
    check_revert()
    safeguards.check(service)
    check_seed_camera_deleted()
    check_ids()
    check_state_file()
    check_stop()
    service = Service()
    check_strangers()
    service.end()
    uninstall()


main()
