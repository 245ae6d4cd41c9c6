"""Start, stop, the state file, and what a restart finds."""

import json
import os
import signal
import socket
import stat
import subprocess
import sys

import httpx
import pytest

from backend.state_file import BackendState, read_state, remove_state, write_state
from tests.backend.service import ROOT, Service, is_running

SLOW = "tests.backend.slow_service"


def run_backend(folder, *options):
    """A backend that is expected to end by itself: exit code and its error text."""
    command = [sys.executable, "-m", "backend", "--log", str(folder / "log"), *options]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    return done.returncode, done.stderr


def test_the_state_file_is_private_and_complete_and_removed_at_the_end(tmp_path):
    service = Service(tmp_path, SLOW, "--owner", "blender").start()
    state = service.state
    assert stat.S_IMODE(service.state_file.stat().st_mode) == 0o600
    assert set(state) == {"api", "version", "host", "port", "token", "pid", "owner"}
    assert (state["api"], state["host"], state["owner"]) == (1, "127.0.0.1", "blender")
    assert len(state["token"]) >= 43
    health = service.client.get("/v1/health").json()
    assert (health["pid"], health["owner"], health["device"]) == (state["pid"], "blender", "cpu")
    service.until(lambda: service.client.get("/v1/health").json()["worker"] == "idle")
    worker = service.worker_pid()
    assert service.stop() == 0
    assert not service.state_file.exists()
    assert not is_running(worker)
    assert {path.name for path in tmp_path.iterdir()} == {"worlds", "backend.log"}


def test_a_second_backend_is_refused_by_state_file_and_by_folder(slow):
    both = ["--state-file", str(slow.state_file), "--worlds", str(slow.worlds)]
    code, text = run_backend(slow.folder, *both)
    assert code == 2
    assert f"process {slow.process.pid}" in text
    assert text.count("\n") == 1
    other_state = ["--state-file", str(slow.folder / "other.json"), "--worlds", str(slow.worlds)]
    code, text = run_backend(slow.folder, *other_state)
    assert code == 2
    assert str(slow.worlds) in text
    assert not (slow.folder / "other.json").exists()
    assert slow.client.get("/v1/health").status_code == 200


def test_a_taken_port_is_one_clear_line(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        code, text = run_backend(
            tmp_path, "--port", port, "--worlds", str(tmp_path / "w"), "--state-file", str(tmp_path / "s")
        )
    assert (code, text.count("\n")) == (2, 1)
    assert f"Port {port} is taken" in text
    assert not (tmp_path / "w").exists()


def test_impossible_options_are_refused(tmp_path):
    assert run_backend(tmp_path, "--port", "70000")[0] == 2
    file = tmp_path / "file"
    file.write_text("")
    code, text = run_backend(tmp_path, "--worlds", str(file / "w"), "--state-file", str(tmp_path / "s"))
    assert code == 2
    assert str(file) in text


@pytest.mark.parametrize("option", ["--state-file", "--log"])
def test_a_file_that_cannot_be_written_is_one_clear_line(tmp_path, option):
    folder = tmp_path / "a folder"
    folder.mkdir()
    options = ["--state-file", str(tmp_path / "state.json"), "--worlds", str(tmp_path / "worlds")]
    code, text = run_backend(tmp_path, *options, option, str(folder))
    assert code == 2
    assert f"{folder} cannot be written" in text and option in text
    assert text.count("\n") == 1


def test_a_damaged_job_database_is_refused_with_its_name(tmp_path):
    database = tmp_path / "w" / ".backend" / "jobs.sqlite3"
    database.parent.mkdir(parents=True)
    database.write_text("this is no database" * 100)
    code, text = run_backend(tmp_path, "--worlds", str(tmp_path / "w"), "--state-file", str(tmp_path / "s"))
    assert code == 2
    assert str(database) in text


def test_a_stale_state_file_is_replaced(tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    write_state(tmp_path / "backend.json", BackendState("127.0.0.1", port, "old", 1, "user"))
    service = Service(tmp_path, SLOW).start()
    assert service.state["token"] != "old"
    assert service.stop() == 0


def test_state_files_that_are_none_are_ignored(tmp_path):
    file = tmp_path / "state.json"
    for content in ("", "[]", "{}", '{"api": 99}', json.dumps({"api": 1, "port": 5})):
        file.write_text(content)
        assert read_state(file) is None
    state = BackendState("127.0.0.1", 5, "token", 42, "user")
    write_state(file, state)
    assert read_state(file) == state
    remove_state(file, 43)
    assert file.exists()
    remove_state(file, 42)
    assert not file.exists()


def test_a_stop_ends_event_streams_and_interrupts_the_job(tmp_path):
    service = Service(tmp_path, SLOW).start()
    world = service.new_world()
    job = service.extend(world["id"], prompt="work 60").json()
    service.until(lambda: service.job(job["id"])["progress"] > 0)
    with service.client.stream(
        "GET", f"/v1/jobs/{job['id']}/events", headers={"Accept": "text/event-stream"}
    ) as stream:
        lines = stream.iter_lines()
        next(lines)
        assert (
            httpx.post(f"{service.url}/v1/shutdown", json={}, headers=service.client.headers).status_code
            == 409
        )
        forced = httpx.post(
            f"{service.url}/v1/shutdown", json={"force": True}, headers=service.client.headers
        )
        assert forced.status_code == 202
        assert len(list(lines)) > 0
    assert service.process.wait(15) == 0
    assert not service.state_file.exists()
    service.start()
    assert service.job(job["id"])["state"] == "interrupted"
    assert service.stop() == 0


@pytest.mark.parametrize("sig", [signal.SIGTERM, signal.SIGINT])
def test_a_stopped_service_ends_its_worker_even_in_a_job(tmp_path, sig):
    service = Service(tmp_path, SLOW).start()
    world = service.new_world()
    service.extend(world["id"], prompt="deaf 60")
    service.until(lambda: service.client.get("/v1/health").json()["worker"] == "busy")
    worker = service.worker_pid()
    service.process.send_signal(sig)
    assert service.process.wait(15) == 0
    assert not is_running(worker)
    service.client.close()


def test_a_killed_service_leaves_jobs_interrupted_and_no_worker_behind(tmp_path):
    service = Service(tmp_path, SLOW).start()
    world = service.new_world()
    running = service.extend(world["id"], prompt="work 2").json()
    waiting = service.extend(world["id"], prompt="work 0.1").json()
    service.until(lambda: service.job(running["id"])["progress"] > 0)
    last = service.job(running["id"])
    worker = service.worker_pid()
    service.kill()
    service.until(lambda: not is_running(worker))
    assert service.state_file.exists()

    service.start()
    for job in (running, waiting):
        assert service.job(job["id"])["state"] == "interrupted"
    assert service.job(running["id"])["sequence"] > last["sequence"]
    # It worked on between that look and its end.
    assert last["progress"] <= service.job(running["id"])["progress"] < 1
    events = service.client.get(f"/v1/jobs/{running['id']}/events", params={"after": last["sequence"]}).json()
    assert [event["state"] for event in events if event["state"] != "running"] == ["interrupted"]
    assert service.client.post(f"/v1/jobs/{running['id']}/resume").status_code == 202
    assert service.wait(running["id"])["state"] == "done"
    assert service.client.get(f"/v1/worlds/{world['id']}").json()["frames"] == 1
    assert service.stop() == 0


def test_the_worlds_folder_is_free_again_after_a_kill(tmp_path):
    service = Service(tmp_path, SLOW).start()
    os.kill(service.process.pid, signal.SIGKILL)
    service.process.communicate(timeout=10)
    service.client.close()
    assert service.start().stop() == 0
