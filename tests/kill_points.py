"""Runs work on a world folder in a process that dies before its n-th change of the file system.

A process of its own, which forks: `python -m tests.kill_points FOLDER PICKED [SCENARIO ...]` prints how many changes
each scenario makes and how many deaths were tried, and raises for the first that leaves something wrong.
"""

import json
import os
import random
import shutil
import sys
from pathlib import Path

from lyra.common.errors import InvalidInputError
from tests.kill_scenarios import SCENARIOS, Scenario

KILLED = 9
_CHANGES = (
    "os.rename",
    "os.remove",
    "os.mkdir",
    "os.rmdir",
    "os.link",
    "os.symlink",
    "os.truncate",
    "os.chmod",
)
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC


def count_changes(folder: Path, die_before: int | None = None) -> list[str]:
    """From here on every change of the file system below `folder` is noted, and this process dies before one."""
    seen: list[str] = []

    def change(what: str) -> None:
        seen.append(what)
        if len(seen) - 1 == die_before:
            os._exit(KILLED)

    def hook(event: str, arguments: tuple) -> None:
        if event == "open":
            path, _, flags = arguments
            if not (isinstance(flags, int) and flags & _WRITING):
                return
        elif event in _CHANGES:
            path = arguments[0]
        else:
            return
        # What is named within an open folder is named without it.
        if isinstance(path, (str, os.PathLike)) and (
            not Path(path).is_absolute() or Path(path).is_relative_to(folder)
        ):
            change(f"{event} {Path(path).name}")

    os.fsync = lambda handle: change("fsync")
    sys.addaudithook(hook)
    return seen


def in_child(work, *arguments) -> int:
    """Exit code of a fork that does `work`."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            work(*arguments)
            code = 0
        except BaseException as error:
            print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def tree(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


def try_deaths(scenario: Scenario, folder: Path, picked: int) -> tuple[int, int]:
    """How many changes the scenario makes, and how many deaths were tried.

    Kills the scenario's work before some of its changes, all of them where `picked` is 0."""
    before, whole, now = (folder / name for name in ("before", "whole", "now"))
    before.mkdir(parents=True)
    scenario.prepare(before)
    shutil.copytree(before, whole)

    def counted() -> None:
        seen = count_changes(whole)
        scenario.work(whole)
        done = list(seen)
        (folder / "changes.json").write_text(json.dumps(done))

    assert in_child(counted) == 0
    changes = json.loads((folder / "changes.json").read_text())
    scenario.again(whole)
    expected = tree(whole)
    assert not [name for name in expected if ".partial-" in name or Path(name).match("world/pending*")], (
        expected
    )
    points = range(len(changes))
    if picked:
        points = sorted(random.Random(11).sample(points, min(picked, len(changes))))  # noqa: S311

    def killed(point: int) -> None:
        count_changes(now, point)
        scenario.work(now)

    for point in points:
        shutil.copytree(before, now)
        try:
            code = in_child(killed, point)
            assert code == KILLED, f"ended with {code}"
            scenario.check(now)
            scenario.again(now)
            assert tree(now) == expected, sorted(set(tree(now)) ^ set(expected))
            scenario.check(now)
        except (AssertionError, OSError, InvalidInputError) as error:
            raise AssertionError(f"killed before change {point}, {changes[point]}: {error}") from error
        shutil.rmtree(now)
    return len(changes), len(points)


if __name__ == "__main__":
    # A process that dies loses nothing that was written; only the time is saved.
    os.fsync = lambda handle: None
    place = Path(sys.argv[1]).resolve()
    for name in sys.argv[3:] or SCENARIOS:
        count, tried = try_deaths(SCENARIOS[name], place / name, int(sys.argv[2]))
        print(json.dumps({"scenario": name, "changes": count, "tried": tried}), flush=True)
