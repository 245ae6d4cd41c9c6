"""Folders of a user without a home, and what Warp says of a machine without an NVIDIA driver."""

import os
import subprocess
import sys
from pathlib import Path

import platformdirs
import pytest

from backend.__main__ import parse
from lyra.common import folders, warp_start
from lyra.common.errors import InvalidInputError
from lyra.engines import require_device
from lyra.hub import Weights

pytestmark = pytest.mark.skipif(os.name != "posix", reason="containers without a home run Linux")
ROOT = Path(__file__).parents[2]


@pytest.fixture
def homeless(tmp_path, monkeypatch):
    """No home: as platformdirs answers for a user without HOME and a name."""

    def unknown(*_, **__):
        raise RuntimeError("could not determine the home directory for '~/.cache'")

    for kind in ("cache", "config", "data"):
        monkeypatch.setattr(platformdirs, f"user_{kind}_dir", unknown)
    monkeypatch.setattr(folders.tempfile, "gettempdir", lambda: str(tmp_path))
    folders._stand_in.cache_clear()
    yield tmp_path
    folders._stand_in.cache_clear()


def test_caches_lie_in_a_temporary_folder_of_ones_own_which_is_said_once(homeless, caplog):
    found = {folders.cache_folder(), folders.settings_folder(), folders.cache_folder()}
    own = homeless / f"lyra-worlds-{os.getuid()}"
    assert found == {own / "cache", own / "settings"} and own.stat().st_mode & 0o777 == 0o700
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "LYRA_WEIGHTS" in caplog.text and str(own) in caplog.text


@pytest.mark.parametrize("taken", ["a link", "open to all", "a file"])
def test_a_temporary_folder_that_others_can_use_is_not_used(homeless, monkeypatch, taken):
    monkeypatch.setattr(folders.tempfile, "tempdir", str(homeless))
    own = homeless / f"lyra-worlds-{os.getuid()}"
    if taken == "a link":
        own.symlink_to(homeless)
    elif taken == "a file":
        own.touch()
    else:
        own.mkdir()
        own.chmod(0o777)
    found = folders.cache_folder().parent
    assert found.parent == homeless and found != own and found.stat().st_mode & 0o777 == 0o700


def test_without_any_folder_the_setting_is_named(homeless, monkeypatch):
    def none():
        raise FileNotFoundError(2, "No usable temporary directory found")

    monkeypatch.setattr(folders.tempfile, "gettempdir", none)
    with pytest.raises(InvalidInputError, match=r"No usable temporary directory found.*set HOME"):
        folders.settings_folder()


@pytest.mark.parametrize("answer", ["~/.cache/lyra-worlds", "/dev/null/lyra-worlds"])
def test_a_home_that_is_none_is_none(homeless, monkeypatch, answer):
    monkeypatch.setattr(platformdirs, "user_cache_dir", lambda *_, **__: answer)
    assert folders.cache_folder().is_relative_to(homeless)


def test_what_was_chosen_needs_no_default(homeless, monkeypatch):
    monkeypatch.setenv("LYRA_WEIGHTS", str(homeless / "weights"))
    assert Weights().root == homeless / "weights"
    chosen = [f"--{name}={homeless / name}" for name in ("worlds", "state-file", "log")]
    assert parse(chosen).worlds == homeless / "worlds"
    assert not list(homeless.iterdir())
    with pytest.raises(InvalidInputError, match="give --worlds FOLDER"):
        parse(chosen[1:])
    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.setattr("os.path.expanduser", lambda path: path)
    monkeypatch.setenv("LYRA_WEIGHTS", "~/weights")
    with pytest.raises(InvalidInputError, match="~/weights begins with a home folder"):
        Weights()


def test_a_command_runs_without_home_and_without_a_word_of_cuda(tmp_path):
    """A user whose home cannot be written: the temporary folder holds Warp's kernels too. About 3 s."""
    environment = {
        "HOME": "/dev/null",
        "TMPDIR": str(tmp_path),
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(ROOT),
    }
    script = (
        "import sys, lyra.geometry, warp; from lyra.cli.main import main; print(warp.config.kernel_cache_dir)"
    )
    script += "; warp.init(); sys.exit(main(['engines']))"
    done = subprocess.run(
        [sys.executable, "-c", script], env=environment, cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    own = tmp_path / f"lyra-worlds-{os.getuid()}"
    assert done.stdout.startswith(str(own / "cache" / "warp"))
    assert done.stderr.count("\n") == 1 and str(own) in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == [own.name]


def test_a_missing_driver_is_named_to_who_asks_for_a_gpu(monkeypatch):
    monkeypatch.setattr(warp_start, "_kept", ["Warp CUDA warning: Could not find the driver."])
    monkeypatch.setattr("lyra.engines.default_device", lambda: "cpu")
    require_device("cpu")
    require_device(None)
    with pytest.raises(
        InvalidInputError, match=r"no CUDA GPU .*\(Warp CUDA warning: Could not find the driver"
    ):
        require_device("cuda")


def test_only_the_word_of_a_missing_driver_is_kept_back(capfd, monkeypatch):
    monkeypatch.setattr(warp_start, "_kept", [])
    with warp_start._warning_kept():
        os.write(2, b"first\nWarp CUDA warning: Could not find or load the NVIDIA CUDA driver. None.\nlast\n")
    assert capfd.readouterr().err == "first\nlast\n"
    assert warp_start.driver_warning().endswith("driver. None.")
