"""Leftovers of killed writers go with the next write, and nothing else does."""

import os
import subprocess
import sys

import pytest

from lyra.common.files import scratch_folder, whole_file, whole_folder
from lyra.common.temporary import sweep, temporary_name

KILLED = """
import os, sys
from pathlib import Path
from lyra.common.files import whole_file, whole_folder
with {what}(Path(sys.argv[1])) as path:
    (path if path.suffix else path / "inner").write_text("half")
    os._exit(9)
"""


def kill_while_writing(what, target):
    assert subprocess.run([sys.executable, "-c", KILLED.format(what=what), target]).returncode == 9


def test_the_next_write_removes_what_a_killed_one_left(tmp_path):
    for what, name in (("whole_folder", "world"), ("whole_file", "castle.zip")):
        kill_while_writing(what, tmp_path / name)
        # What the other left is gone already.
        assert len(list(tmp_path.iterdir())) == 2
    with whole_file(tmp_path / "other.txt") as path:
        path.write_text("whole")
    assert [path.name for path in tmp_path.iterdir()] == ["other.txt"]


def test_what_a_living_process_writes_stays(tmp_path):
    with (
        whole_file(tmp_path / "castle.zip") as file,
        whole_folder(tmp_path / "castle") as folder,
        scratch_folder(tmp_path) as scratch,
    ):
        file.write_text("whole")
        (folder / "inner").write_text("whole")
        sweep(tmp_path, unmarked=lambda path: True)
        assert file.exists() and (folder / "inner").exists() and scratch.exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["castle", "castle.zip"]


def test_names_of_another_shape_and_links_are_no_leftovers(tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "thesis.txt").write_text("keep me")
    folder = tmp_path / "folder"
    folder.mkdir()
    mine = (".partial-backup", ".partial-", ".partial-0123abcdef", ".partial-0123ABCD", "partial-0123abcd")
    for name in mine:
        (folder / name).mkdir()
    (folder / ".partial-0123abcd").symlink_to(outside)
    # Its lock file is free, as after a kill.
    (folder / ".partial-0123abcd-lock").touch()
    for name in (".partial-89abcdef", ".partial-89abcdef.zip", ".partial-0002"):
        (folder / name).touch()
    sweep(folder)
    assert (folder / ".partial-89abcdef").exists()
    sweep(folder, unmarked=lambda path: True)
    left = {path.name for path in folder.iterdir()}
    assert left >= {*mine, ".partial-0123abcd"} and not left & {".partial-89abcdef", ".partial-0002"}
    assert (outside / "thesis.txt").read_text() == "keep me"


def test_a_swept_folder_is_not_left_through_its_links(tmp_path):
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "one.txt").write_text("keep me")
    folder = tmp_path / ".partial-0123abcd"
    folder.mkdir()
    (folder / "link").symlink_to(tmp_path / "thesis")
    sweep(tmp_path, unmarked=lambda path: True)
    assert not folder.exists() and (tmp_path / "thesis" / "one.txt").exists()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes there")
def test_a_lock_that_is_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / ".partial-0123abcd-lock")
    sweep(tmp_path)
    with temporary_name(tmp_path) as path:
        path.touch()
    assert not path.exists()
