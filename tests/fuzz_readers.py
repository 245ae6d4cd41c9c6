"""Every reader of files that others wrote, each with a small whole file; damaged ones are read in this process.

`python -m tests.fuzz_readers GROUP COUNT FOLDER` reads COUNT damaged files a reader of a group, within a limit of
memory, and prints as JSON what came out other than a refusal of one line.
"""

import gc
import json
import resource
import signal
import sys
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path

from lyra.common.errors import LyraError
from tests.fuzz_files import Reader
from tests.fuzz_mutations import mutated
from tests.fuzz_pictures import depths, pictures
from tests.fuzz_weights import networks, weights
from tests.fuzz_worlds import results, worlds

MEMORY = 1_500_000_000
PATIENCE = 20
LONGEST = 300


def main(group: str, count: int, folder: Path) -> None:
    warnings.simplefilter("ignore")
    found = {}
    for reader in GROUPS[group]():
        place = folder / reader.name.replace(" ", "-").replace(".", "-")
        place.mkdir()
        path = reader.make(place)
        # All that it imports is there before memory is limited.
        reader.read(path)
        found[reader.name] = failures(reader, path, count)
    print(json.dumps(found))


def failures(reader: Reader, path: Path, count: int) -> list[str]:
    whole = path.read_bytes()
    limit_memory()
    found = []
    for number in range(count):
        damaged = mutated(whole, number)
        path.write_bytes(damaged)
        # Where this process dies, the last line says of what.
        print(f"{reader.name}, mutation {number}", file=sys.stderr, flush=True)
        complaint = complaint_of(reader, path)
        if complaint:
            found.append(f"mutation {number}: {complaint}")
    path.write_bytes(whole)
    return found


def complaint_of(reader: Reader, path: Path) -> str:
    """What is wrong with how a damaged file is read, or ""."""
    signal.alarm(PATIENCE)
    try:
        reader.read(path)
    except LyraError as error:
        text = str(error)
        return "" if len(text) <= LONGEST and "\n" not in text else f"{len(text)} characters: {text[:400]!r}"
    except Exception as error:  # whatever else comes out is what is looked for
        last = traceback.extract_tb(error.__traceback__)[-3:]
        places = " < ".join(f"{Path(frame.filename).name}:{frame.lineno}" for frame in reversed(last))
        return f"{type(error).__name__}: {str(error)[:150]!r} at {places}"
    finally:
        signal.alarm(0)
    return ""


def limit_memory() -> None:
    """As much as this process has now, and MEMORY more."""
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (limit, resource.RLIM_INFINITY))


def refuse_to_wait(*_) -> None:
    raise TimeoutError(f"not read within {PATIENCE} seconds")


GROUPS: dict[str, Callable[[], list[Reader]]] = {
    "pictures": pictures,
    "files": lambda: [*depths(), *worlds(), *results(), *weights()],
    "networks": networks,
}

if __name__ == "__main__":
    signal.signal(signal.SIGALRM, refuse_to_wait)
    main(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]))
