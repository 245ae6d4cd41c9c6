"""Files of which other programs have hold, as Windows sees them."""

import errno

import pytest

from lyra.common import files
from lyra.common.files import patiently, refusal, whole_file, whole_folder


def held(times: int, monkeypatch, method: str):
    """Path.`method` is refused so many times."""
    original = getattr(files.Path, method)
    left = [times]

    def refusing(path, *arguments, **options):
        if left[0]:
            left[0] -= 1
            raise PermissionError(errno.EACCES, "Access is denied", str(path))
        return original(path, *arguments, **options)

    monkeypatch.setattr(files.Path, method, refusing)


def test_what_is_held_for_a_moment_is_replaced_after_it(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "WAITS", (0.001, 0.001))
    held(2, monkeypatch, "replace")
    with whole_file(tmp_path / "file.txt") as path:
        path.write_text("whole")
    assert (tmp_path / "file.txt").read_text() == "whole"
    held(2, monkeypatch, "rename")
    with whole_folder(tmp_path / "folder") as path:
        (path / "file.txt").write_text("whole")
    assert (tmp_path / "folder" / "file.txt").exists()
    held(2, monkeypatch, "unlink")
    patiently((tmp_path / "file.txt").unlink, missing_ok=True)
    assert not (tmp_path / "file.txt").exists()


def test_what_is_held_for_good_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "WAITS", (0.001,))
    held(2, monkeypatch, "replace")
    with pytest.raises(PermissionError) as caught, whole_file(tmp_path / "file.txt") as path:
        path.write_text("whole")
    assert str(tmp_path / "file.txt") in refusal(caught.value) and "close the program" in refusal(
        caught.value
    )
    assert not list(tmp_path.iterdir())
