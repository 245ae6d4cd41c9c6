"""Jobs as they are remembered: a dataclass and its SQLite table."""

from __future__ import annotations

import datetime
import json
import logging
import re
import sqlite3
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError

from backend.errors import StartError, StoreError

log = logging.getLogger("backend.jobs.store")
JobKind = Literal["seed", "extend", "reconstruct", "export", "download"]
JobState = Literal["queued", "running", "cancelling", "cancelled", "failed", "interrupted", "done"]
ACTIVE = ("queued", "running", "cancelling")
RESUMABLE = ("cancelled", "failed", "interrupted")
KEPT_JOBS = 500
# Far more than the longest request takes.
RECORD_BYTES = 16_000_000
# Ids become parts of paths.
ID_PATTERN = re.compile(r"[a-z0-9][a-z0-9-]{0,63}")
Moment = Annotated[float, Field(ge=0, lt=2.5e11)]  # what a date can say
# Jobs that use the network and the disk, not the device: they run beside the others, in a worker of their own.
DOWNLOAD_KINDS = ("download",)

_SCHEMA = """
CREATE TABLE IF NOT EXISTS jobs (
    id TEXT PRIMARY KEY,
    world_id TEXT NOT NULL,
    state TEXT NOT NULL,
    created REAL NOT NULL,
    record TEXT NOT NULL
) STRICT
"""


@dataclass
class Job:
    """One piece of work for the worker.

    `request` is what it was asked for, in JSON; its files lie in the job's own folder. How far an extend job has come
    stands in the world folder alone, in its plan and chunks. `superseded` says that something else has changed the
    world since it first ran, so that going on would not continue this job's path. `work` is its size in pixels, for
    the time left. Times are seconds since the epoch, by a clock that may be set; `turn` is larger than that of every
    job that joined the queue before. A job of DOWNLOAD_KINDS belongs to no world: its `world_id` is empty.
    """

    __pydantic_config__ = ConfigDict(allow_inf_nan=False)

    id: Annotated[str, Field(pattern=f"^{ID_PATTERN.pattern}$")]
    world_id: Annotated[str, Field(pattern=f"^({ID_PATTERN.pattern})?$")]
    kind: JobKind
    request: dict
    work: float = 1.0
    state: JobState = "queued"
    stage: str = "queued"
    progress: Annotated[float, Field(ge=0, le=1)] = 0.0
    eta_seconds: float | None = None
    message: str = ""
    error: str | None = None
    notes: list[str] = field(default_factory=list)
    sequence: int = 0
    preview: bool = False
    created: Moment = field(default_factory=time.time)
    turn: int = 0
    started: Moment | None = None
    finished: Moment | None = None
    runs: int = 0
    superseded: bool = False

    @property
    def active(self) -> bool:
        return self.state in ACTIVE

    @property
    def downloads(self) -> bool:
        return self.kind in DOWNLOAD_KINDS

    def resource(self) -> dict:
        """The Job of docs/api.md."""
        record = {key: value for key, value in vars(self).items() if key not in _PRIVATE}
        for moment in ("created", "started", "finished"):
            record[moment] = _iso(record[moment])
        return record

    def event(self) -> dict:
        """What of it changes while it runs."""
        keys = ("sequence", "state", "stage", "progress", "eta_seconds", "message")
        return {key: getattr(self, key) for key in keys}


_PRIVATE = ("request", "work", "turn", "runs", "superseded")


def _iso(seconds: float | None) -> str | None:
    if seconds is None:
        return None
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).isoformat(timespec="milliseconds")


def _read_job(record: str | None) -> Job | None:
    """The job in a record, None for a damaged one. A later version may have remembered more about it."""
    if record is None:
        return None
    try:
        job = _RECORDS.validate_json(record)
    except ValidationError:
        return None
    wanted = _REQUEST_FACTS.get(job.kind, {})
    return job if all(type(job.request.get(key)) is kind for key, kind in wanted.items()) else None


_RECORDS = TypeAdapter(Job)
# What the service itself reads of a request, in jobs that it has loaded.
_REQUEST_FACTS: dict[str, dict[str, type]] = {
    "seed": {"name": str, "engine": str, "width": int, "height": int, "seed": int},
    "download": {"engine": str},
}


class JobStore:
    """All jobs on disk. The connection holds the database alone, so a worlds folder has one backend at a time."""

    def __init__(self, file: Path):
        self._file = file
        try:
            self._connection = sqlite3.connect(file, timeout=0.5, isolation_level=None)
        except sqlite3.OperationalError as error:
            raise self._refusal(error) from error
        try:
            # Exclusive before WAL: the lock is held from the first access on, and ends with the process.
            self._connection.execute("PRAGMA locking_mode=EXCLUSIVE")
            self._connection.execute("PRAGMA journal_mode=WAL")
            self._connection.execute("PRAGMA synchronous=NORMAL")
            self._connection.execute("BEGIN IMMEDIATE")
            self._connection.execute(_SCHEMA)
            self._connection.execute("COMMIT")
        except sqlite3.DatabaseError as error:
            self._connection.close()
            raise self._refusal(error) from error

    def load(self) -> list[Job]:
        """Every remembered job in the order of their making, but for damaged ones. Raises StartError."""
        try:
            rows = self._connection.execute(
                "SELECT id, CASE WHEN length(CAST(record AS BLOB)) <= ? THEN record END FROM jobs ORDER BY rowid",
                (RECORD_BYTES,),
            ).fetchall()
            jobs = {name: _read_job(record) for name, record in rows}
            for damaged in [name for name in jobs if jobs[name] is None]:
                self._connection.execute("DELETE FROM jobs WHERE id = ?", (damaged,))
                log.error("a damaged job is forgotten", extra={"fields": {"job": damaged[:80]}})
        except (sqlite3.DatabaseError, UnicodeDecodeError) as error:
            self._connection.close()
            raise self._refusal(error) from error
        return [job for job in jobs.values() if job is not None]

    def _refusal(self, error: Exception) -> StartError:
        """Why the service cannot start with this file, and what to do."""
        if not isinstance(error, sqlite3.OperationalError):
            return StartError(f"{self._file} is damaged ({error}); move it away, worlds stay where they are.")
        if "locked" in str(error):
            return StartError(
                f"The worlds folder {self._file.parents[1]} is in use by another running backend; "
                "connect to that one, stop it, or choose another folder (--worlds; in Blender's preferences: Worlds "
                "Folder)."
            )
        return StartError(
            f"The jobs in {self._file} cannot be opened ({error}); see that its folder can be written and that the "
            "disk has room, or choose another folder (--worlds; in Blender's preferences: Worlds Folder)."
        )

    def save(self, job: Job) -> None:
        """Raises StoreError."""
        self._change(
            "INSERT INTO jobs VALUES (?, ?, ?, ?, ?) "
            "ON CONFLICT (id) DO UPDATE SET state = excluded.state, record = excluded.record",
            (job.id, job.world_id, job.state, job.created, json.dumps(vars(job))),
        )

    def delete(self, job: Job) -> None:
        """Raises StoreError."""
        self._change("DELETE FROM jobs WHERE id = ?", (job.id,))

    def _change(self, statement: str, values: tuple) -> None:
        try:
            self._connection.execute(statement, values)
        except sqlite3.Error as error:
            raise StoreError(
                f"The jobs cannot be saved in {self._file} ({error}); free some space there, or see that it can be "
                "written, and try again."
            ) from error

    def close(self) -> None:
        self._connection.close()
