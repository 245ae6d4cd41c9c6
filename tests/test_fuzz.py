"""Damaged files of every kind are refused in one line, within bounds of memory, and never with a traceback."""

import importlib.util
import json
import os
import subprocess
import sys

import pytest

SOAK = bool(os.environ.get("LYRA_SOAK"))
# Mutations of each reader.
COUNT = 20_000 if SOAK else 500
GROUPS = ["pictures", "files", "networks"]
SHOWN = 12


@pytest.mark.soak
@pytest.mark.skipif(sys.platform == "win32", reason="limits of memory are those of POSIX")
@pytest.mark.parametrize("group", GROUPS)
def test_damaged_files_are_refused_in_one_line(tmp_path, group):
    if group == "networks" and importlib.util.find_spec("diffusers") is None:
        pytest.skip("needs the extra lyra-worlds[lyra2]")
    ran = subprocess.run(
        [sys.executable, "-m", "tests.fuzz_readers", group, str(COUNT), str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr[-3000:]
    found = json.loads(ran.stdout.splitlines()[-1])
    assert found
    wrong = [f"{reader}, {failure}" for reader, failures in found.items() for failure in failures]
    assert not wrong, "\n".join([f"{len(wrong)} of {COUNT * len(found)}", *wrong[:SHOWN]])
