"""The life of jobs: progress, events, cancel, death of the worker, order, limits."""

import io
import json
import os
import signal
import time

import pytest
from PIL import Image

from tests.backend.service import Service, is_running


def events_of(service, job_id, after=0):
    return service.client.get(f"/v1/jobs/{job_id}/events", params={"after": after}).json()


def cancel(service, job_id):
    return service.client.post(f"/v1/jobs/{job_id}/cancel")


def test_a_job_reports_progress_events_and_a_preview(slow, slow_world):
    job = slow.extend(slow_world["id"], prompt="work 1").json()
    assert job["state"] in ("queued", "running")
    assert job["kind"] == "extend"
    assert job["eta_seconds"] is None or job["eta_seconds"] >= 0
    slow.until(lambda: slow.job(job["id"])["preview"])
    preview = slow.client.get(f"/v1/jobs/{job['id']}/preview")
    assert preview.headers["content-type"] == "image/jpeg"
    assert Image.open(io.BytesIO(preview.content)).width == 320
    done = slow.wait(job["id"])
    assert (done["state"], done["progress"], done["error"]) == ("done", 1.0, None)
    assert done["created"] <= done["started"] <= done["finished"]
    events = events_of(slow, job["id"])
    sequences = [event["sequence"] for event in events]
    assert sequences == sorted(set(sequences))
    assert sequences[-1] == done["sequence"]
    assert [event["progress"] for event in events] == sorted(event["progress"] for event in events)
    assert {"queued", "running", "done"} == {event["state"] for event in events}
    assert any(event["stage"] == "frames" for event in events)
    assert events_of(slow, job["id"], after=sequences[-3]) == events[-2:]
    assert events_of(slow, job["id"], after=sequences[-1]) == []


def test_the_event_stream_tells_the_same_and_ends_with_the_job(slow, slow_world):
    job = slow.extend(slow_world["id"], prompt="work 0.5").json()
    received = []
    headers = {"Accept": "text/event-stream"}
    with slow.client.stream("GET", f"/v1/jobs/{job['id']}/events", headers=headers) as stream:
        assert stream.headers["content-type"].startswith("text/event-stream")
        received = [json.loads(line[6:]) for line in stream.iter_lines() if line.startswith("data: ")]
    assert received == events_of(slow, job["id"])
    assert received[-1]["state"] == "done"
    headers["Last-Event-ID"] = str(received[-2]["sequence"])
    again = slow.client.get(f"/v1/jobs/{job['id']}/events", headers=headers)
    assert again.text.count("data: ") == 1
    headers["Last-Event-ID"] = "9" * 5000
    answer = slow.client.get(f"/v1/jobs/{job['id']}/events", headers=headers)
    assert answer.text.count("data: ") == len(received), "what is no sequence number counts for nothing"


def test_time_left_is_told_from_what_similar_jobs_took(slow, slow_world):
    slow.wait(slow.extend(slow_world["id"], prompt="work 1").json()["id"])
    job = slow.extend(slow_world["id"], prompt="work 1").json()
    slow.until(lambda: slow.job(job["id"])["state"] == "running")
    assert 0 <= slow.job(job["id"])["eta_seconds"] < 30
    slow.wait(job["id"])


def test_a_running_job_is_cancelled_within_two_seconds(slow, slow_world):
    job = slow.extend(slow_world["id"], prompt="work 30").json()
    slow.until(lambda: slow.job(job["id"])["progress"] > 0)
    worker = slow.worker_pid()
    asked = time.monotonic()
    assert cancel(slow, job["id"]).json()["state"] == "cancelling"
    assert slow.wait(job["id"])["state"] == "cancelled"
    assert time.monotonic() - asked < 2
    assert is_running(worker)
    assert cancel(slow, job["id"]).status_code == 409


def test_a_worker_that_does_not_listen_is_killed_and_replaced(slow, slow_world):
    job = slow.extend(slow_world["id"], prompt="deaf 60").json()
    slow.until(lambda: slow.job(job["id"])["progress"] > 0)
    worker = slow.worker_pid()
    asked = time.monotonic()
    cancel(slow, job["id"])
    assert slow.wait(job["id"])["state"] == "cancelled"
    assert time.monotonic() - asked < 2
    assert not is_running(worker)
    assert slow.wait(slow.extend(slow_world["id"], prompt="work 0.1").json()["id"])["state"] == "done"


def test_a_killed_worker_fails_its_job_with_the_reason_and_is_started_again(slow, slow_world):
    job = slow.extend(slow_world["id"], prompt="work 30").json()
    slow.until(lambda: slow.job(job["id"])["progress"] > 0)
    os.kill(slow.worker_pid(), signal.SIGKILL)
    failed = slow.wait(job["id"])
    assert failed["state"] == "failed"
    assert "SIGKILL" in failed["error"]
    assert "resume" in failed["error"]
    assert slow.wait(slow.extend(slow_world["id"], prompt="work 0.1").json()["id"])["state"] == "done"


def test_an_idle_worker_that_dies_is_started_again(slow):
    slow.until(lambda: slow.client.get("/v1/health").json()["worker"] == "idle")
    dead = slow.worker_pid()
    os.kill(dead, signal.SIGKILL)
    slow.until(lambda: slow.worker_pid() != dead)
    slow.until(lambda: slow.client.get("/v1/health").json()["worker"] == "idle")


@pytest.mark.parametrize(
    ("prompt", "error"),
    [
        ("die 7", "exit code 7).* out of paper"),
        ("raise a bug", "exit code 1).* RuntimeError: a bug"),
        ("refuse The lens is wrong.", "The lens is wrong."),
    ],
)
def test_every_failure_says_why(slow, slow_world, prompt, error):
    failed = slow.wait(slow.extend(slow_world["id"], prompt=prompt).json()["id"])
    assert failed["state"] == "failed"
    for part in error.split(".*"):
        assert part.strip() in failed["error"]
    assert "\n" not in failed["error"]


def test_notes_of_the_engine_reach_the_job(slow, slow_world):
    done = slow.wait(slow.extend(slow_world["id"], prompt="note The path was moved.").json()["id"])
    assert done["notes"] == ["The path was moved."]


def test_what_the_worker_prints_goes_to_the_log(slow, slow_world):
    slow.wait(slow.extend(slow_world["id"], prompt="work 0.1").json()["id"])
    assert any("this goes to stderr" in line["message"] for line in slow.log())


def test_the_queue_has_an_order_and_a_limit(slow, slow_world):
    running = slow.extend(slow_world["id"], prompt="work 30").json()
    slow.until(lambda: slow.job(running["id"])["state"] == "running")
    waiting = [slow.extend(slow_world["id"], prompt="work 0.1").json() for _ in range(2)]
    assert [job["state"] for job in waiting] == ["queued", "queued"]
    assert [job["message"] for job in waiting] == ["waiting behind 1 job", "waiting behind 2 jobs"]
    refused = slow.extend(slow_world["id"], prompt="work 0.1")
    assert refused.status_code == 429
    assert "2 jobs are waiting" in refused.json()["detail"]
    active = slow.client.get("/v1/jobs", params={"active": True, "world_id": slow_world["id"]}).json()
    assert [job["id"] for job in active] == [running["id"], *(job["id"] for job in waiting)]
    assert slow.client.get("/v1/health").json()["active_jobs"] == 3
    busy = slow.client.delete(f"/v1/worlds/{slow_world['id']}")
    assert busy.status_code == 409
    assert running["id"] in busy.json()["detail"]
    assert slow.client.post(f"/v1/worlds/{slow_world['id']}/revert", json={"chunks": 0}).status_code == 409
    assert slow.client.post("/v1/shutdown", json={}).status_code == 409
    assert cancel(slow, waiting[0]["id"]).json()["state"] == "cancelled"
    cancel(slow, running["id"])
    assert slow.wait(waiting[1]["id"])["state"] == "done"
    assert slow.job(waiting[0]["id"])["started"] is None


def test_a_cancelled_job_can_be_resumed_and_cancelled_again(slow, slow_world):
    job = slow.extend(slow_world["id"], prompt="work 30").json()
    for _ in range(2):
        slow.until(lambda: slow.job(job["id"])["state"] == "running")
        cancel(slow, job["id"])
        assert slow.wait(job["id"])["state"] == "cancelled"
        resumed = slow.client.post(f"/v1/jobs/{job['id']}/resume")
        assert resumed.status_code == 202
        assert resumed.json()["error"] is None
    cancel(slow, job["id"])
    slow.wait(job["id"])


def test_a_job_is_not_resumed_after_another_changed_the_world(slow, slow_world):
    job = slow.extend(slow_world["id"], prompt="work 30").json()
    slow.until(lambda: slow.job(job["id"])["state"] == "running")
    cancel(slow, job["id"])
    slow.wait(job["id"])
    done = slow.wait(slow.extend(slow_world["id"], prompt="work 0.1").json()["id"])
    refused = slow.client.post(f"/v1/jobs/{job['id']}/resume")
    assert refused.status_code == 409
    assert "generate again" in refused.json()["detail"]
    assert slow.client.post(f"/v1/jobs/{done['id']}/resume").status_code == 409


def test_a_worker_that_cannot_start_fails_the_jobs_that_wait(tmp_path):
    service = Service(tmp_path, "tests.backend.broken_service").start()
    try:
        made = service.post_world({"name": "Never"})
        assert made.status_code == 202
        failed = service.wait(made.json()["job"]["id"])
        assert failed["state"] == "failed"
        assert "does not start" in failed["error"]
        assert "no such engine here" in failed["error"]
        assert service.client.get("/v1/health").json()["worker"] == "starting"
    finally:
        assert service.stop() == 0
