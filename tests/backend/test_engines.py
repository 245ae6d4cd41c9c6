"""Engines over HTTP: their state, their licences, and downloads beside other jobs."""

import pytest

from tests.backend.service import Service


@pytest.fixture(scope="module")
def fresh(tmp_path_factory):
    """A service of a user who has no weights and has accepted nothing."""
    folder = tmp_path_factory.mktemp("engines")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LYRA_WEIGHTS", str(folder / "weights"))
        patch.setenv("XDG_CONFIG_HOME", str(folder / "config"))
        service = Service(folder, "tests.backend.slow_service").start()
    yield service
    service.stop()


def engines(service: Service) -> dict[str, dict]:
    return {engine["id"]: engine for engine in service.client.get("/v1/engines").json()}


def accept_all(service: Service, engine_id: str) -> None:
    for licence in engines(service)[engine_id]["state"]["licences"]:
        answer = service.client.post(f"/v1/licences/{licence['id']}/accept")
        assert answer.status_code == 200 and answer.json()["accepted"]


def test_engines_say_their_state_and_what_can_be_set(fresh):
    found = engines(fresh)
    assert found["preview"]["state"]["status"] == "ready" and found["preview"]["default"]
    assert found["preview"]["options"] == {"steps": None, "guidance": None, "styles": None}
    lyra2 = found["lyra2"]
    # The service was told to use the CPU, so no GPU is asked for.
    assert lyra2["state"]["status"] in ("needs_licence", "needs_download")
    assert lyra2["state"]["download_bytes"] > 50e9
    assert lyra2["options"]["steps"] == {"default": 35, "min": 1, "max": 200}
    fast = found["lyra2-fast"]["options"]
    assert fast == {"steps": None, "guidance": None, "styles": {"default": 0, "min": 0, "max": 1}}


def test_a_licence_is_shown_and_accepted_once(fresh):
    licence = engines(fresh)["lyra2"]["state"]["licences"][0]
    assert licence["id"] == "nvidia-lyra-2.0"
    assert "commercial" in licence["text"] and licence["where"]
    refused = fresh.client.post("/v1/engines/lyra2/download")
    if not licence["accepted"]:
        assert refused.status_code == 409 and "nvidia-lyra-2.0" in refused.json()["detail"]
    accept_all(fresh, "lyra2")
    assert all(licence["accepted"] for licence in engines(fresh)["lyra2"]["state"]["licences"])
    assert fresh.client.post("/v1/licences/gpl-9/accept").status_code == 404


def test_a_download_runs_beside_other_jobs_and_can_be_cancelled_and_resumed(fresh):
    accept_all(fresh, "lyra2")
    world = fresh.new_world()
    download = fresh.client.post("/v1/engines/lyra2/download").json()
    assert (download["kind"], download["world_id"]) == ("download", "")
    again = fresh.client.post("/v1/engines/lyra2/download")
    assert again.status_code == 409 and download["id"] in again.json()["detail"]
    fresh.until(lambda: fresh.job(download["id"])["progress"] > 0)
    extended = fresh.extend(world["id"], prompt="work 0.2").json()
    assert extended["message"] == "waiting"
    assert fresh.wait(extended["id"])["state"] == "done"
    assert fresh.job(download["id"])["state"] == "running"
    fresh.client.post(f"/v1/jobs/{download['id']}/cancel")
    stopped = fresh.wait(download["id"], seconds=5)
    assert (stopped["state"], stopped["message"]) == ("cancelled", "cancelled; what was downloaded stays")
    assert fresh.client.post(f"/v1/jobs/{download['id']}/resume").status_code == 202
    fresh.until(lambda: fresh.job(download["id"])["state"] == "running")
    fresh.client.post(f"/v1/jobs/{download['id']}/cancel")
    assert fresh.wait(download["id"], seconds=5)["state"] == "cancelled"


@pytest.mark.parametrize("engine", ["preview", "lyra9"])
def test_there_is_nothing_to_download_for_other_engines(fresh, engine):
    answer = fresh.client.post(f"/v1/engines/{engine}/download")
    assert answer.status_code == 400 and engine in answer.json()["detail"]


@pytest.mark.parametrize(
    "options", [{"steps": 5}, {"steps": 0}, {"guidance": 0.5}, {"memory_mode": "much"}, {"step": 4}]
)
def test_bad_options_are_refused(fresh, options):
    world = fresh.new_world()
    answer = fresh.extend(world["id"], options=options)
    assert answer.status_code == 400 and next(iter(options)) in answer.json()["detail"]


def test_the_networks_of_depth_are_shown_with_their_licences_and_fetched(fresh):
    found = fresh.client.get("/v1/depth").json()
    assert (found["id"], found["status"]) == ("depth", "needs_download")
    assert found["download_bytes"] == 191_000_000 and "lyra models download depth" in found["text"]
    assert {licence["id"]: licence["accepted"] for licence in found["licences"]} == {
        "mit": True,
        "apache-2.0": True,
    }
    job = fresh.client.post("/v1/depth/download")
    assert job.status_code == 202
    assert (job.json()["kind"], job.json()["world_id"]) == ("download", "")
    again = fresh.client.post("/v1/depth/download")
    assert again.status_code == 409 and job.json()["id"] in again.json()["detail"]
    fresh.client.post(f"/v1/jobs/{job.json()['id']}/cancel")
    assert fresh.wait(job.json()["id"], seconds=5)["state"] == "cancelled"
