"""What the extension asks of the backend, and what it does when a job ends.

Worlds and jobs are known by their ids only; the objects in the scene are looked up when an answer comes.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from pathlib import Path

import bpy
import numpy as np

from . import conversion, fetching, preferences, session, worlds
from .wire import Body, Reply

ACTIVE = {"queued", "running", "cancelling"}
RESUMABLE = {"cancelled", "failed", "interrupted"}
POLL_INTERVAL = 0.4
PREVIEW_INTERVAL = 1.0


@dataclass(frozen=True)
class NewWorld:
    """What Start World sends, and where the world shall stand: `first_camera` (4, 4) in the scene `scene`."""

    image: Path
    depth: Path | None
    settings: dict
    scene: str
    first_camera: np.ndarray = field(repr=False)


def _client():
    return session.current.client


def start_world(new: NewWorld) -> None:
    """Sends the image; the world's empty stands as soon as the backend has taken it."""
    files = {"image": new.image} | ({"depth": new.depth} if new.depth else {})

    def taken(reply: Reply) -> None:
        answer = reply.json()
        scene = bpy.data.scenes.get(new.scene) or bpy.context.scene
        matrix = conversion.world_matrix(new.first_camera, 1.0)
        empty = worlds.create(scene, answer["world"], matrix)
        scene.lyra.world = empty
        follow(answer["job"])
        worlds.push_undo("Start World")

    body = Body.multipart({"settings": json.dumps(new.settings)}, files)
    _client().request(
        "POST", "/worlds", body=body, on_reply=taken, on_error=session.current.say, patience=120.0
    )


def extend(world_id: str, settings: dict) -> None:
    """Asks for the frames along a path."""
    _ask_for_job(f"/worlds/{world_id}/chunks", Body.of_json(settings))


def reconstruct(world_id: str, mesh: bool) -> None:
    _ask_for_job(f"/worlds/{world_id}/reconstruct", Body.of_json({"mesh": mesh}))


def resume(job_id: str) -> None:
    if fetching.valid(job_id):
        _ask_for_job(f"/jobs/{job_id}/resume", None)


def _ask_for_job(path: str, body: Body | None) -> None:
    def taken(reply: Reply) -> None:
        follow(reply.json())

    _client().request("POST", path, body=body, on_reply=taken, on_error=session.current.say, patience=120.0)
    session.wake()


def cancel(job_id: str) -> None:
    def taken(reply: Reply) -> None:
        job = reply.json()
        session.current.jobs[job["world_id"]] = job

    _client().request("POST", f"/jobs/{job_id}/cancel", on_reply=taken, on_error=session.current.say)
    session.wake()


def revert(world_id: str, chunks: int) -> None:
    """Removes chunks from the end; splats and mesh of what is left must be made anew."""

    def done(reply: Reply) -> None:
        world = reply.json()
        empty = worlds.find(world_id)
        if empty is None:
            return
        worlds.describe(empty, world)
        session.current.jobs.pop(world_id, None)
        empty.lyra.job = ""
        fetching.fetch_results(world)

    body = Body.of_json({"chunks": chunks})
    _client().request(
        "POST", f"/worlds/{world_id}/revert", body=body, on_reply=done, on_error=session.current.say
    )
    session.wake()


def set_scale(world_id: str, scale: float) -> None:
    """Has the engine keep the metres per unit of a world."""

    def done(reply: Reply) -> None:
        if empty := worlds.find(world_id):
            worlds.describe(empty, reply.json())

    body = Body.of_json({"scale": scale})
    _client().request("PUT", f"/worlds/{world_id}", body=body, on_reply=done, on_error=session.current.say)
    session.wake()


def delete(world_id: str) -> None:
    """Removes a world from the engine's folder, and then from the scene."""

    def done(_reply: Reply) -> None:
        session.current.jobs.pop(world_id, None)
        if empty := worlds.find(world_id):
            worlds.delete(empty)
            fetching.forget(world_id)
            worlds.push_undo("Delete World")
        else:
            fetching.forget(world_id)

    _client().request("DELETE", f"/worlds/{world_id}", on_reply=done, on_error=session.current.say)
    session.wake()


def reload(world_id: str) -> None:
    """Asks how a world is now and loads its newest results."""

    def known(reply: Reply) -> None:
        world = reply.json()
        if world["state"] != "ready":
            session.current.say(
                f"World '{world['name']}' is still being started. Wait for its job, or start it anew."
            )
            return
        empty = worlds.find(world_id)
        if empty and not worlds.part(empty, worlds.SEED_CAMERA):
            fetching.fetch_seed(world)
        else:
            fetching.fetch_results(world)

    if fetching.valid(world_id):
        _client().request("GET", f"/worlds/{world_id}", on_reply=known, on_error=session.current.say)
        session.wake()


# Following


class Follower:
    """Asks for a job's state now and then, and acts when it has ended."""

    def __init__(self, job: dict):
        self.job_id = job["id"]
        self._asking = False
        self._next = 0.0
        self._next_preview = 0.0
        self._over = False
        self._keep(job)

    @property
    def job(self) -> dict:
        return session.current.jobs[self.world_id]

    def poll(self) -> bool:
        """True while the job is to be followed on."""
        if not self._over and not self._asking and time.monotonic() >= self._next:
            self._asking = True
            _client().request(
                "GET",
                f"/jobs/{self.job_id}",
                on_reply=lambda reply: self._keep(reply.json()),
                on_error=self._failed,
            )
        return not self._over

    def _keep(self, job: dict) -> None:
        self._asking = False
        self._next = time.monotonic() + POLL_INTERVAL
        self.world_id = job["world_id"]
        session.current.jobs[self.world_id] = job
        if job["preview"] and job["state"] == "running" and time.monotonic() >= self._next_preview:
            self._next_preview = time.monotonic() + PREVIEW_INTERVAL
            file = preview_file(self.job_id)
            _client().request(
                "GET", f"/jobs/{self.job_id}/preview", save_to=file, on_error=lambda _message: None
            )
        if job["state"] not in ACTIVE and not self._over:
            self._over = True
            _ended(job)

    def _failed(self, message: str) -> None:
        self._over = True
        session.current.say(message)


def follow(job: dict) -> None:
    """Watches a job until it ends, and has the file remember it meanwhile."""
    others = [other for other in session.current.followers if other.job_id != job["id"]]
    session.current.followers = [*others, Follower(job)]
    if empty := worlds.find(job["world_id"]):
        empty.lyra.job = job["id"]
    session.wake()


def preview_file(job_id: str) -> Path:
    return preferences.user_folder("previews") / f"{job_id}.jpg"


def _ended(job: dict) -> None:
    for note in job["notes"]:
        session.current.say(note)
    if job["kind"] == "download":
        session.current.refresh_engines()
        return
    if job["state"] != "done":
        _refresh(job["world_id"])
        return

    def known(reply: Reply) -> None:
        (fetching.fetch_seed if job["kind"] == "seed" else fetching.fetch_results)(reply.json())

    _client().request("GET", f"/worlds/{job['world_id']}", on_reply=known, on_error=session.current.say)


def _refresh(world_id: str) -> None:
    """After a job that did not come to its end: the chunks that are whole count."""

    def known(reply: Reply) -> None:
        if empty := worlds.find(world_id):
            worlds.describe(empty, reply.json())

    # A world whose very first job failed may be gone; its job's error is shown already.
    _client().request("GET", f"/worlds/{world_id}", on_reply=known, on_error=lambda _message: None)


def find_again() -> None:
    """After loading a file: follows the jobs it remembers, if their backend runs. Starts none."""
    remembered = {empty.lyra.world_id: empty.lyra.job for empty in worlds.every() if empty.lyra.job}

    def ask() -> None:
        for job_id in remembered.values():
            if fetching.valid(job_id):
                _client().request(
                    "GET",
                    f"/jobs/{job_id}",
                    on_reply=lambda reply: follow(reply.json()),
                    on_error=session.current.say,
                )

    if remembered:
        session.current.adopt(ask)
