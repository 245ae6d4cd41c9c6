"""How long a job still takes: what similar jobs took, corrected by how this one goes."""

from __future__ import annotations

from collections.abc import Iterable
from statistics import median

from backend.jobs.store import Job

HISTORY = 5
# Before this much is done, the pace so far says little.
TELLING_FRACTION = 0.03
TELLING_SECONDS = 2.0


def kind_of_work(job: Job) -> tuple:
    """Jobs with the same key take time in proportion to their `work`."""
    options = (job.request.get(key) for key in ("engine", "reconstruct", "mesh", "depth"))
    return (job.kind, *options)


def expected_seconds(job: Job, past: Iterable[Job]) -> float | None:
    """What the whole job should take, from the last finished jobs of its kind; None when there are none."""
    kind = kind_of_work(job)
    alike = [done for done in past if done.state == "done" and done.runs == 1 and kind_of_work(done) == kind]
    rates = [seconds / done.work for done in alike if (seconds := _seconds_taken(done)) > 0]
    return median(rates[-HISTORY:]) * job.work if rates else None


def _seconds_taken(job: Job) -> float:
    """Of a finished job; none or fewer where the clock was set back meanwhile."""
    return 0.0 if job.finished is None or job.started is None else job.finished - job.started


def seconds_left(progress: float, elapsed: float, expected: float | None, begun: float = 0.0) -> float | None:
    """Seconds left at `progress` in [0, 1] after `elapsed` seconds of running; None while nobody can know.

    `expected` is what the whole job should take. A resumed run did not begin at 0: `begun` is the progress at which
    it did. The weight moves from history to the run's own pace as it goes on.
    """
    done = progress - begun
    if done >= TELLING_FRACTION and elapsed >= TELLING_SECONDS:
        own, weight = elapsed / done, done / (1 - begun)
        total = own if expected is None else weight * own + (1 - weight) * expected
        return round((1 - progress) * total, 1)
    return None if expected is None else round(max((1 - begun) * expected - elapsed, 0.0), 1)
