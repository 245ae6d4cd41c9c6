"""The dispatcher goes on, whatever the system or the database refuses."""

import asyncio
import errno
import sqlite3
import sys
from contextlib import asynccontextmanager

import pytest

from backend.errors import StoreError
from backend.jobs.dispatcher import Dispatcher
from backend.jobs.worker_process import WorkerProcess
from tests.backend.test_parts import book_of, job

# Does every job at once, but for those of the kind `reconstruct`, which never end.
WORKER = """
import json, sys
def say(**message): print(json.dumps(message), flush=True)
say(type="ready", device="cpu")
for line in sys.stdin:
    message = json.loads(line)
    if message["type"] == "run":
        say(type="progress", id=message["job"]["id"], stage="frames", fraction=0.5, preview=False)
        if message["job"]["kind"] != "reconstruct":
            say(type="done", id=message["job"]["id"])
"""


class FullDisk:
    """Stands in for the database's connection while the disk is full."""

    def __init__(self, book):
        self._book, self._connection = book, book._store._connection

    def __enter__(self):
        self._book._store._connection = self

    def __exit__(self, *_):
        self._book._store._connection = self._connection

    def execute(self, *_):
        raise sqlite3.OperationalError("database or disk is full")


@asynccontextmanager
async def at_work(folder, monkeypatch):
    """A dispatcher that does not wait between starts, and its book."""
    monkeypatch.setattr("backend.jobs.dispatcher.START_DELAYS", (0.0, 0.0, 0.0))
    config, book = book_of(folder, worker_command=(sys.executable, "-c", WORKER))
    dispatcher = Dispatcher(config, book)
    dispatcher.start()
    try:
        yield dispatcher, book
    finally:
        await dispatcher.stop()
        book.close()


async def until(condition):
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.01)


def export(name):
    return job(id=name, kind="export")


def test_a_worker_that_the_system_does_not_start_fails_the_jobs_and_is_tried_again(tmp_path, monkeypatch):
    refusals, start = [OSError(errno.ENOMEM, "Cannot allocate memory")] * 2, WorkerProcess.start

    async def refused(command):
        if refusals:
            raise refusals.pop()
        return await start(command)

    async def story():
        monkeypatch.setattr(WorkerProcess, "start", refused)
        async with at_work(tmp_path, monkeypatch) as (_, book):
            first = book.submit(export("first"))
            await until(lambda: not first.active)
            assert first.state == "failed"
            assert "Cannot allocate memory" in first.error
            assert "Resume the job" in first.error
            book.resume("first")
            await until(lambda: first.state == "done")

    asyncio.run(story())


def test_a_database_that_cannot_be_written_fails_the_job_and_the_next_one_runs(tmp_path, monkeypatch):
    async def story():
        async with at_work(tmp_path, monkeypatch) as (dispatcher, book):
            await until(lambda: dispatcher.device)
            first = book.submit(export("first"))
            with FullDisk(book):
                await until(lambda: not first.active)
                with pytest.raises(StoreError, match=r"disk is full.*free some space"):
                    book.submit(export("refused"))
                with pytest.raises(StoreError):
                    book.resume("first")
            assert [each.id for each in book.jobs()] == ["first"]
            assert first.state == "failed"
            assert "disk is full" in first.error
            book.resume("first")
            second = book.submit(export("second"))
            await until(lambda: second.state == first.state == "done")

    asyncio.run(story())


def test_a_job_can_be_stopped_while_the_database_cannot_be_written(tmp_path, monkeypatch):
    async def story():
        async with at_work(tmp_path, monkeypatch) as (dispatcher, book):
            endless = book.submit(job(id="endless", kind="reconstruct"))
            await until(lambda: endless.progress == 0.5)
            with FullDisk(book):
                assert dispatcher.cancel("endless").state == "cancelling"
                await until(lambda: endless.state == "cancelled")
            second = book.submit(export("second"))
            await until(lambda: second.state == "done")

    asyncio.run(story())
