"""Files of which other programs have hold, as Windows sees them; whole files on all kinds of file systems; links."""

import errno
import os
import stat
from types import SimpleNamespace

import pytest

from lyra.common import files
from lyra.common.errors import InvalidInputError
from lyra.common.files import (
    inside,
    open_given,
    open_inside,
    refusal,
    retry_while_locked,
    whole_file,
    whole_folder,
)
from lyra.common.temporary import leads_elsewhere


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
    retry_while_locked((tmp_path / "file.txt").unlink, missing_ok=True)
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


def test_a_link_is_replaced_and_what_it_leads_to_stays(tmp_path):
    (tmp_path / "thesis.txt").write_text("keep me")
    (tmp_path / "link.txt").symlink_to(tmp_path / "thesis.txt")
    with whole_file(tmp_path / "link.txt") as path:
        path.write_text("whole")
    assert not (tmp_path / "link.txt").is_symlink()
    assert (tmp_path / "thesis.txt").read_text() == "keep me"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes there")
def test_neither_devices_nor_folders_are_replaced(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    for name, kind in (("pipe", "a pipe or a device"), ("folder", "a folder")):
        with pytest.raises(InvalidInputError, match=f"{name} is {kind}"), whole_file(tmp_path / name) as path:
            path.touch()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["folder", "pipe"]


@pytest.mark.parametrize("code", ["EINVAL", "ENOTSUP", "ENOSYS"])
def test_a_file_system_that_cannot_sync_is_no_failure(tmp_path, monkeypatch, code):
    def fsync(handle):
        raise OSError(getattr(errno, code), code)

    monkeypatch.setattr(os, "fsync", fsync)
    with whole_file(tmp_path / "file.txt") as path:
        path.write_text("whole")
    with whole_folder(tmp_path / "folder") as path:
        (path / "inner").mkdir()
    assert (tmp_path / "file.txt").read_text() == "whole" and (tmp_path / "folder" / "inner").is_dir()


def test_a_disk_that_fails_to_sync_is_one(tmp_path, monkeypatch):
    def fsync(handle):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(OSError, match="Input/output"), whole_file(tmp_path / "file.txt") as path:
        path.write_text("whole")
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(os.name != "posix", reason="folders are synced on POSIX systems alone")
def test_names_are_on_the_disk_with_the_file(tmp_path, monkeypatch):
    synced, fsync = [], os.fsync
    monkeypatch.setattr(
        os, "fsync", lambda handle: (synced.append(stat.S_ISDIR(os.fstat(handle).st_mode)), fsync(handle))
    )
    with whole_file(tmp_path / "file.txt") as path:
        path.write_text("whole")
    assert synced == [False, True]


def test_a_file_inside_is_read_from_when_it_was_opened(tmp_path):
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "splats.ply").write_bytes(b"old")
    (tmp_path / "link").symlink_to(tmp_path, target_is_directory=True)
    handle, size = open_inside(tmp_path / "link", "results/splats.ply")
    with whole_file(tmp_path / "results" / "splats.ply") as path:
        path.write_bytes(b"newer")
    with handle:
        assert (handle.read(), size) == (b"old", 3)


@pytest.mark.parametrize(
    "relative", ["", ".", "..", "../secret", "a/../../secret", "/etc/passwd", "a//b", "./a", "a/", "a\0b"]
)
def test_a_path_that_leads_out_is_refused(tmp_path, relative):
    (tmp_path / "root").mkdir()
    (tmp_path / "secret").write_text("secret")
    for use in (inside, open_inside):
        with pytest.raises(InvalidInputError, match="no path of a file inside"):
            use(tmp_path / "root", relative)


def test_links_inside_are_not_followed(tmp_path):
    outside, root = tmp_path / "outside", tmp_path / "root"
    outside.mkdir()
    root.mkdir()
    (outside / "secret").write_text("secret")
    (root / "folder").symlink_to(outside, target_is_directory=True)
    (root / "file").symlink_to(outside / "secret")
    (root / "nowhere").symlink_to(tmp_path / "nowhere")
    for relative in ("folder", "folder/secret", "folder/new", "file", "nowhere"):
        for use in (inside, open_inside):
            with pytest.raises(InvalidInputError, match="is a link, which is not followed"):
                use(root, relative)
    assert inside(root, "new/file.txt") == root / "new" / "file.txt"
    with pytest.raises(FileNotFoundError):
        open_inside(root, "new/file.txt")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes there")
def test_a_pipe_inside_is_not_waited_for(tmp_path, monkeypatch):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InvalidInputError, match="pipe or a device"):
        open_inside(tmp_path, "pipe")
    # Put there since it was looked at.
    monkeypatch.setattr(files, "inside", lambda root, relative: root / relative)
    with pytest.raises(InvalidInputError, match="is no file"):
        open_inside(tmp_path, "pipe")
    (tmp_path / "link").symlink_to("/etc/passwd")
    with pytest.raises(InvalidInputError, match="is a link"):
        open_inside(tmp_path, "link")


def test_a_junction_of_windows_is_a_link():
    """Its mark is Windows' own; a file that a cloud keeps has another, and is a file."""
    facts = {"st_mode": stat.S_IFDIR, "st_file_attributes": 0x400}
    assert leads_elsewhere(SimpleNamespace(**facts, st_reparse_tag=0xA0000003))
    assert not leads_elsewhere(SimpleNamespace(**facts, st_reparse_tag=0x9000001A))
    assert leads_elsewhere(SimpleNamespace(st_mode=stat.S_IFLNK))


@pytest.mark.skipif(os.name == "nt", reason="Windows has no pipes among its files")
def test_a_pipe_or_a_device_is_no_file_that_was_given(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", "/dev/zero"):
        with pytest.raises(OSError, match="a pipe or a device"):
            open_given(path)
    (tmp_path / "file").write_bytes(b"whole")
    (tmp_path / "link").symlink_to(tmp_path / "file")
    file, size = open_given(tmp_path / "link")
    with file:
        assert (file.read(), size) == (b"whole", 5)
    with pytest.raises(IsADirectoryError):
        open_given(tmp_path)
