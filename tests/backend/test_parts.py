"""Small parts on their own: errors and their status, time left, events, uploads, messages, the log."""

import asyncio
import dataclasses
import errno
import io
import json
import logging
from dataclasses import asdict

import pytest
from starlette.datastructures import UploadFile

from backend.__main__ import main
from backend.api.schemas import ExtendSettings
from backend.api.uploads import plain_name, store_upload
from backend.api.validation import checked_path
from backend.catalog import WorldCatalog
from backend.config import Config
from backend.errors import ConflictError, RangeError, StartError, status_of
from backend.jobs.book import JobBook
from backend.jobs.estimate import expected_seconds, seconds_left
from backend.jobs.events import KEPT_EVENTS, EventLog
from backend.jobs.store import Job, JobStore
from backend.log import JsonLines
from backend.service import Backend
from lyra.common.errors import DiskFullError, EngineNotReadyError, InvalidInputError
from tests.backend.service import straight_path
from tests.worlds import make_world


def test_every_failure_has_its_status():
    assert [
        status_of(error)
        for error in (
            InvalidInputError("x"),
            EngineNotReadyError("x"),
            DiskFullError("x"),
            ConflictError("x"),
            RangeError("bytes=9-", 5),
        )
    ] == [400, 409, 507, 409, 416]


def test_a_full_disk_is_told_as_such(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("backend.api.uploads.shutil.copyfileobj", full)
    upload = UploadFile(io.BytesIO(b"abc"), size=3, filename="a.png")
    with pytest.raises(DiskFullError, match="free some space"):
        store_upload(upload, tmp_path, 100)


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("castle.png", "castle.png"),
        ("../../etc/passwd", "passwd"),
        ("C:\\Users\\me\\my image.JPG", "my_image.JPG"),
        ("..", "image"),
        ("my%20image%2Fa%20b.png", "a_b.png"),
        (".hidden.png", "hidden.png"),
        ("", "image"),
        (None, "image"),
        ("a\0b\n.png", "a_b_.png"),
        ("城.png", "城.png"),
        ("CON.png", "_CON.png"),
        ("com1.tar.gz", "_com1.tar.gz"),
        ("console.png", "console.png"),
        ("x" * 300 + ".png", "x" * 60 + ".png"),
        ("𠀀" * 60 + ".𠀀𠀀𠀀", "𠀀" * 30 + ".𠀀𠀀"),
    ],
)
def test_names_of_uploads_are_made_harmless(given, kept):
    assert plain_name(given) == kept


def job(**changes):
    return Job(**{"id": "a", "world_id": "w", "kind": "extend", "request": {}, "work": 100.0, **changes})


def test_time_left_moves_from_history_to_the_own_pace():
    past = [job(state="done", runs=1, started=0.0, finished=10.0 * n, work=100.0) for n in (1, 2, 3)]
    assert expected_seconds(job(work=200.0), past) == 40.0
    assert expected_seconds(job(kind="export"), past) is None
    assert expected_seconds(job(request={"mesh": True}), past) is None
    assert seconds_left(0.0, 0.5, None) is None
    assert seconds_left(0.0, 10.0, 40.0) == 30.0
    assert seconds_left(0.0, 50.0, 40.0) == 0.0
    assert seconds_left(0.5, 50.0, None) == 50.0
    assert seconds_left(0.5, 50.0, 60.0) == 40.0
    assert seconds_left(1.0, 50.0, 60.0) == 0.0


def test_time_left_of_a_resumed_run_goes_by_what_this_run_has_done():
    assert seconds_left(0.5, 10.0, None, begun=0.5) is None
    assert seconds_left(0.6, 10.0, None, begun=0.5) == 40.0
    assert seconds_left(0.5, 0.0, 100.0, begun=0.5) == 50.0
    assert seconds_left(0.75, 25.0, 100.0, begun=0.5) == 25.0
    assert seconds_left(1.0, 5.0, 100.0, begun=1.0) == 0.0


def book_of(folder, **changes):
    """A book with its store, without a service."""
    config = Config(folder / "worlds", folder / "state.json", folder / "log", **changes)
    (config.private_folder / "jobs").mkdir(parents=True)
    return config, JobBook(config, JobStore(config.private_folder / "jobs.sqlite3"))


def test_a_resumed_job_does_not_count_what_an_earlier_run_did(tmp_path, monkeypatch):
    _, book = book_of(tmp_path)
    clock = iter(range(0, 10_000, 10))
    monkeypatch.setattr("backend.jobs.book.time.monotonic", lambda: float(next(clock)))
    resumed = book.submit(job())
    book.begin(resumed)
    book.advance(resumed, "frames", 0.0, False)
    book.advance(resumed, "frames", 0.8, False)
    book.finish(resumed, "cancelled", "cancelled")
    book.resume(resumed.id)
    book.begin(resumed)
    for fraction in (0.475, 0.5):
        book.advance(resumed, "frames", fraction, False)
    assert resumed.eta_seconds is None
    book.advance(resumed, "frames", 0.575, False)
    # A tenth took 30 s of this run, so the rest takes about 130; from 0 it would look like 22.
    assert 120 < resumed.eta_seconds < 140
    book.close()


def test_news_of_a_job_reach_all_who_wait_however_late_they_begin(tmp_path):
    _, book = book_of(tmp_path)

    async def hear() -> None:
        # Both dispatchers have looked at the queue; one of them begins to wait when the other has seen the job.
        early, late = book.news, book.news
        waiting = asyncio.create_task(early.wait())
        book.submit(job())
        await waiting
        await asyncio.wait_for(late.wait(), 5)
        assert not book.news.is_set()

    asyncio.run(hear())
    book.close()


def test_what_a_killed_service_received_for_no_job_is_removed(tmp_path):
    _, book = book_of(tmp_path)
    book.folder(book.submit(job()).id).mkdir()
    upload = book.folder("b" * 16) / "image"
    upload.mkdir(parents=True)
    (upload / "large.png").write_bytes(bytes(1000))
    book.take_up()
    assert book.folder(job().id).is_dir() and not upload.parent.exists()
    book.close()


def test_a_path_that_makes_the_world_too_long_is_refused_before_a_job_is_made(tmp_path):
    world = make_world(tmp_path / "world")
    settings = ExtendSettings(trajectory=straight_path())
    assert len(checked_path(settings, world)) == 81
    world.chunks = [None] * 100
    with pytest.raises(InvalidInputError, match="8081 frames; at most 8001"):
        checked_path(settings, world)


def test_old_events_are_dropped_and_the_newest_kept():
    log = EventLog({"sequence": 0, "state": "queued"})
    for number in range(1, KEPT_EVENTS + 100):
        log.add({"sequence": number, "state": "running"})
    kept = log.since(0)
    assert len(kept) == KEPT_EVENTS
    assert kept[-1]["sequence"] == KEPT_EVENTS + 99
    assert log.since(KEPT_EVENTS + 98) == kept[-1:]


def test_a_stream_misses_nothing_and_ends():
    async def listen():
        log = EventLog({"sequence": 1, "state": "queued"})
        heard = []

        async def listener():
            async for event in log.stream(0):
                heard.append(event["sequence"])
                await asyncio.sleep(0)

        task = asyncio.create_task(listener())
        for number in range(2, 50):
            log.add({"sequence": number, "state": "running"})
            if number % 7 == 0:
                await asyncio.sleep(0)
        log.add({"sequence": 50, "state": "done"})
        await asyncio.wait_for(task, 5)
        return heard

    assert asyncio.run(listen()) == list(range(1, 51))


def test_jobs_come_back_from_disk_as_they_were(tmp_path):
    folder = tmp_path / "private"
    folder.mkdir()
    store = JobStore(folder / "jobs.sqlite3")
    saved = job(notes=["a note"], request={"prompt": "snow, 雪"}, runs=2)
    store.save(job())
    store.save(saved)
    with pytest.raises(StartError, match="another running backend"):
        JobStore(folder / "jobs.sqlite3")
    store.close()
    store = JobStore(folder / "jobs.sqlite3")
    assert store.load() == [saved]
    store.delete(saved)
    assert store.load() == []
    store.close()


def test_jobs_of_a_later_version_and_damaged_ones(tmp_path):
    file = tmp_path / "jobs.sqlite3"
    store = JobStore(file)
    store.save(job(notes=["x" * 300]))
    # Older ones said how many chunks the world had, which its folder knows.
    newer = asdict(job(id="2")) | {"priority": 3, "first_chunk": 2}
    store._change("INSERT INTO jobs VALUES ('2', 'w', 'done', 9e9, ?)", (json.dumps(newer),))
    assert [loaded.id for loaded in store.load()] == [job().id, "2"]
    store.close()
    data = bytearray(file.read_bytes())
    # The first page holds the schema, the second the first jobs.
    data[4096:8192] = b"\xff" * 4096
    file.write_bytes(data)
    with pytest.raises(StartError, match=r"jobs\.sqlite3 is damaged"):
        JobStore(file).load()


@pytest.mark.parametrize(
    "record",
    [
        "",
        "{}",
        "[" * 100_000,
        asdict(job())["id"] * 17_000_000,
        job(id="../../etc"),
        job(id=""),
        job(world_id="../w"),
        job(kind="dig"),
        job(state="lost"),
        job(created=float("nan")),
        job(finished=1e300),
        job(progress=7.0),
        job(notes=[1]),
        job(request=[]),
        job(kind="seed", request={"name": "a world"}),
        job(kind="download"),
        job(sequence="many"),
    ],
    ids=range(17),
)
def test_a_damaged_job_is_forgotten_and_the_others_stay(tmp_path, record):
    store = JobStore(tmp_path / "jobs.sqlite3")
    store.save(job())
    text = record if isinstance(record, str) else json.dumps(asdict(record))
    store._change("INSERT INTO jobs VALUES ('b', 'w', 'done', 0, ?)", (text,))
    store.save(job(id="c"))
    assert [loaded.id for loaded in store.load()] == ["a", "c"]
    assert store._connection.execute("SELECT count(*) FROM jobs").fetchone() == (2,)
    store.close()


def test_the_queue_goes_by_the_order_of_joining_whatever_the_clock_says(tmp_path, monkeypatch):
    """Somebody sets the clock back, between two jobs and while one runs."""
    _, book = book_of(tmp_path)
    clock = iter(range(10_000, 0, -10))
    monkeypatch.setattr("backend.jobs.book.time.time", lambda: float(next(clock)))
    monkeypatch.setattr("backend.jobs.store.time.time", lambda: float(next(clock)))
    names = ["first", "second", "third"]
    for name in names:
        book.submit(job(id=name, created=float(next(clock))))
    assert [waiting.id for waiting in book.queued()] == names
    book.begin_cancel("first")
    book.resume("first")
    assert [waiting.id for waiting in book.queued()] == ["second", "third", "first"]
    done = book.get("second")
    book.begin(done)
    book.finish(done, "done", "done")
    book.begin(book.get("third"))
    book.advance(book.get("third"), "frames", 0.5, False)
    assert (book.get("third").eta_seconds or 0) >= 0
    book.close()
    again = JobBook(book._config, JobStore(book._config.private_folder / "jobs.sqlite3"))
    assert [each.id for each in again.jobs()] == names
    again.submit(job(id="fourth"))
    assert [waiting.id for waiting in again.queued()] == ["first", "fourth"]
    again.close()


def test_old_jobs_and_their_folders_go_while_the_service_lives(tmp_path, monkeypatch):
    _, book = book_of(tmp_path)
    monkeypatch.setattr("backend.jobs.book.KEPT_JOBS", 3)
    names = [f"job{number}" for number in range(6)]
    for name in names:
        book.folder(book.submit(job(id=name)).id).mkdir()
        book.begin_cancel(name)
    kept = book.folder("job5").parent / "a folder of the user's"
    kept.mkdir()

    async def sweep() -> None:
        async with book.new_folder() as (_, coming):
            await book.sweep()
            assert coming.is_dir()
        assert not coming.exists()

    asyncio.run(sweep())
    assert [each.id for each in book.jobs()] == names[3:]
    assert {path.name for path in kept.parent.iterdir()} == {*names[3:], kept.name}
    book.close()


def test_the_service_sweeps_again_and_again_and_survives_a_disk_that_refuses(tmp_path, monkeypatch):
    config, book = book_of(tmp_path)
    monkeypatch.setattr("backend.service.SWEEP_SECONDS", 0.0)
    backend = Backend(config, book, WorldCatalog(config), None, None)
    inspector = backend.inspector._running()
    times = []

    async def swept() -> None:
        times.append(1)
        if len(times) == 1:
            raise OSError(errno.EIO, "Input/output error")
        if len(times) == 3:
            raise asyncio.CancelledError

    monkeypatch.setattr(book, "sweep", swept)
    with pytest.raises(asyncio.CancelledError):
        asyncio.run(backend._keep_swept())
    assert inspector.poll() is not None and backend.inspector._process is None
    book.close()


def test_what_a_killed_service_left_is_removed_at_the_next_start(tmp_path):
    config, book = book_of(tmp_path)
    uploads = config.upload_folder
    (uploads / "upload-abc").mkdir(parents=True)
    (uploads / "upload-abc" / "large.png").write_bytes(bytes(1000))
    (uploads / "tmpabc").write_bytes(bytes(1000))
    (uploads / "upload-link").symlink_to(tmp_path)
    (uploads / "of the user").write_bytes(b"")
    half = config.private_folder / "trash" / "half"
    half.mkdir(parents=True)
    Backend(config, book, WorldCatalog(config), None, None)._clear()
    assert [path.name for path in uploads.iterdir()] == ["of the user"]
    assert not half.exists() and config.worlds.is_dir()
    book.close()


def test_jobs_that_cannot_be_opened_say_where_they_are(tmp_path):
    (tmp_path / "jobs.sqlite3").mkdir()
    with pytest.raises(StartError, match=r"jobs\.sqlite3 cannot be opened .*--worlds"):
        JobStore(tmp_path / "jobs.sqlite3")


def test_ctrl_c_while_the_service_starts_is_a_stop_on_request(tmp_path, monkeypatch):
    def interrupted(config):
        raise KeyboardInterrupt

    monkeypatch.setattr("backend.api.server.serve", interrupted)
    assert main(["--state-file", str(tmp_path / "state.json"), "--worlds", str(tmp_path)]) == 0


def test_leftovers_that_cannot_be_removed_keep_no_service_from_starting(tmp_path, monkeypatch, caplog):
    make_world(tmp_path / "some-world")
    config, book = book_of(tmp_path)
    book.submit(job(world_id="some-world"))

    def refused(folder):
        raise PermissionError(errno.EACCES, "Permission denied", str(folder))

    monkeypatch.setattr("lyra.world.recovery.sweep_world", refused)
    config = dataclasses.replace(config, worlds=tmp_path)
    backend = Backend(config, book, WorldCatalog(config), None, None)
    backend._take_up()
    assert book.get(job().id).state == "interrupted" and "leftovers stay" in caplog.text
    book.close()


def test_log_lines_are_json_with_their_fields():
    record = logging.makeLogRecord(
        {"name": "backend", "msg": "a %s", "args": ("line\nbreak",), "levelname": "INFO"}
    )
    record.fields = {"path": "/v1", "status": 200}
    line = JsonLines().format(record)
    assert "\n" not in line
    assert json.loads(line) | {"time": ""} == {
        "time": "", "level": "info", "logger": "backend", "message": "a line\nbreak", "path": "/v1", "status": 200,
    }  # fmt: skip


def test_what_a_job_fails_with_is_one_line_with_the_next_step(tmp_path):
    _, book = book_of(tmp_path)
    failed = book.submit(job())
    book.begin(failed)
    book.finish(failed, "failed", "failed", "It quotes\n" + "\x00" * 10_000 + "; resume the job to go on.")
    assert len(failed.error) <= 300 and failed.error.isprintable()
    assert failed.error.startswith("It quotes") and failed.error.endswith("resume the job to go on.")
    book.close()
