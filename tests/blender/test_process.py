"""The service's process and its installation, with small stand-in packages; no network."""

import hashlib
import json
import os
import platform
import subprocess
import sys
import time
import zipfile

import pytest

from tests.blender.addon import load

installer = load("service.installer")
process = load("service.process")


def fake_wheel(folder, code="print('usage: backend')"):
    """A wheel of a package `backend` that does nothing but run `code`."""
    folder.mkdir(exist_ok=True, parents=True)
    path = folder / "lyra_worlds-9.9-py3-none-any.whl"
    info = "lyra_worlds-9.9.dist-info"
    with zipfile.ZipFile(path, "w") as wheel:
        wheel.writestr("backend/__init__.py", "")
        wheel.writestr("backend/__main__.py", code)
        wheel.writestr(
            f"{info}/METADATA",
            "Metadata-Version: 2.1\nName: lyra-worlds\nVersion: 9.9\nProvides-Extra: lyra2\n",
        )
        wheel.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        wheel.writestr(f"{info}/RECORD", "")
    (folder / "constraints.txt").write_text("")
    return path


def fake_dependency(folder):
    """A wheel of a package `dependency`; returns its SHA-256."""
    folder.mkdir()
    path, info = folder / "dependency-1.0-py3-none-any.whl", "dependency-1.0.dist-info"
    with zipfile.ZipFile(path, "w") as wheel:
        wheel.writestr("dependency.py", "")
        wheel.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: dependency\nVersion: 1.0\n")
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/RECORD", "")
    return hashlib.sha256(path.read_bytes()).hexdigest()


def here():
    """The target that this Python is."""
    return f"{sys.version_info[0]}.{sys.version_info[1]} {sys.platform} {platform.machine()}"


def write_lock(tmp_path, name, digest, target):
    folder = tmp_path / "bundle" / "locks"
    folder.mkdir(parents=True, exist_ok=True)
    text = f"# covers: {target}\ndependency==1.0 \\\n    --hash=sha256:{digest}\n"
    (folder / f"{name}.txt").write_text(text)


def install(tmp_path, extra="", **options):
    wheel = fake_wheel(tmp_path / "bundle", **options)
    return installer.Installation(
        python=installer.Path(sys.executable),
        wheel=wheel,
        constraints=wheel.with_name("constraints.txt"),
        environment=tmp_path / "engine",
        log=tmp_path / "install.log",
        extra=extra,
    )


def finish(installation, limit=60.0):
    end = time.monotonic() + limit
    seen = []
    while installation.active:
        assert time.monotonic() < end, installation.line
        installation.poll()
        seen.append((installation.label, installation.progress))
        time.sleep(0.02)
    return seen


def test_installs_into_an_environment_of_its_own(tmp_path):
    installation = install(tmp_path)
    seen = finish(installation)
    assert installation.done and not installation.error
    assert [progress for _, progress in seen] == sorted(progress for _, progress in seen)
    assert installer.installed(tmp_path / "engine").version == "9.9"
    assert installer.installed(tmp_path / "engine").extra == ""
    assert f"no hashes for Python {here()}" in installer.installed(tmp_path / "engine").remark
    python = installer.environment_python(tmp_path / "engine")
    told = subprocess.run([python, "-I", "-m", "backend"], capture_output=True, text=True, check=True)
    assert told.stdout == "usage: backend\n"


def test_the_chosen_extra_comes_along_and_is_remembered(tmp_path):
    installation = install(tmp_path, extra="lyra2")
    finish(installation)
    assert installation.done, installation.error
    assert "does not provide" not in (tmp_path / "install.log").read_text()
    assert installer.installed(tmp_path / "engine").extra == "lyra2"
    assert installer.installed(tmp_path / "nowhere") is None


@pytest.fixture
def wheels(tmp_path, monkeypatch):
    """pip finds one package, in a folder; gives the digest of its wheel."""
    digest = fake_dependency(tmp_path / "wheels")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "wheels"))
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    return digest


def test_a_lock_is_installed_by_its_hashes(tmp_path, wheels):
    write_lock(tmp_path, "base", wheels, here())
    installation = install(tmp_path)
    seen = finish(installation)
    assert installation.done and not installation.remark, installation.error
    assert [progress for _, progress in seen] == sorted(progress for _, progress in seen)
    python = installer.environment_python(tmp_path / "engine")
    subprocess.run([python, "-I", "-c", "import dependency"], check=True)
    assert installer.installed(tmp_path / "engine").remark == ""


def test_another_hash_is_refused(tmp_path, wheels):
    write_lock(tmp_path, "base", "0" * 64, here())
    installation = install(tmp_path)
    finish(installation)
    assert "pip could not install" in installation.error and not installation.done
    assert "DO NOT MATCH THE HASHES" in (tmp_path / "install.log").read_text()
    assert installer.installed(tmp_path / "engine") is None


def test_what_no_lock_covers_is_said(tmp_path):
    write_lock(tmp_path, "base", "0" * 64, here())
    locks = tmp_path / "bundle" / "locks"
    assert installer.plan(locks, "", here()) == installer.InstallPlan(locks / "base.txt", unlocked=False)
    part = installer.plan(locks, "lyra2", here())
    assert (
        part.lock == locks / "base.txt"
        and part.unlocked
        and f"'lyra2' adds has no hashes for Python {here()}" in part.remark
    )
    none = installer.plan(locks, "", "2.7 plan9 vax")
    assert none.lock is None and none.unlocked and "no hashes for Python 2.7 plan9 vax" in none.remark


def test_engine_that_does_not_start_counts_as_not_installed(tmp_path):
    installation = install(tmp_path, code="raise SystemExit('a library is missing')")
    finish(installation)
    assert "does not start" in installation.error and "a library is missing" in installation.error
    assert installer.installed(tmp_path / "engine") is None


def test_cancel_leaves_nothing(tmp_path):
    installation = install(tmp_path)
    while installation.label == "Checking Python":
        installation.poll()
        time.sleep(0.01)
    installation.cancel()
    finish(installation)
    assert "cancelled" in installation.error
    assert not (tmp_path / "engine").exists()


def test_python_that_is_none(tmp_path):
    wheel = fake_wheel(tmp_path / "bundle")
    no_python = tmp_path / "python"
    installation = installer.Installation(no_python, wheel, wheel, tmp_path / "engine", tmp_path / "log")
    assert "cannot make environments" in installation.error


def test_bundle_is_found_or_not(tmp_path):
    assert installer.bundled_wheel(tmp_path) is None
    wheel = fake_wheel(tmp_path)
    assert installer.bundled_wheel(tmp_path) == wheel
    assert installer.wheel_version(wheel) == "9.9"


@pytest.mark.parametrize("text", ["", "{", "[]", '{"host": "127.0.0.1"}'])
def test_state_file_that_says_nothing(tmp_path, text):
    path = tmp_path / "backend.json"
    path.write_text(text)
    assert process.read_state(path) is None


def test_state_file(tmp_path):
    path = tmp_path / "backend.json"
    assert process.read_state(path) is None
    path.write_text(
        json.dumps(
            {
                "api": 1,
                "version": "0.1",
                "host": "127.0.0.1",
                "port": 5,
                "token": "t",
                "pid": 7,
                "owner": "blender",
            }
        )
    )
    state = process.read_state(path)
    assert (state.address.port, state.pid, state.owner) == (5, 7, "blender")


def test_stopping_what_is_gone_is_no_error(tmp_path):
    assert process.stop_if_idle(load("service.wire").Address("127.0.0.1", 9, "t")) is False


def test_last_line(tmp_path):
    log = tmp_path / "log"
    assert process.last_line(log) == ""
    log.write_text("x" * 10_000 + "\nlast words \n\n")
    assert process.last_line(log) == "last words"


def launch(tmp_path, code, worlds=None):
    """A service whose package `backend` runs `code`, by a Python that finds that package alone."""
    folder = tmp_path / "package" / "backend"
    folder.mkdir(parents=True)
    (folder / "__init__.py").touch()
    (folder / "__main__.py").write_text(code)
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\nshift\ncd {folder.parent} && exec {sys.executable} "$@"\n')
    python.chmod(0o755)
    state_file = tmp_path / "state" / "backend.json"
    return process.Launch(python, state_file=state_file, worlds=worlds, log=tmp_path / "log")


@pytest.mark.skipif(sys.platform == "win32", reason="the stand-in for Python is a shell script")
def test_launch_tells_where_it_listens_or_why_not(tmp_path):
    code = "import json, sys, time; f = open(sys.argv[sys.argv.index('--state-file') + 1], 'w'); "
    code += "json.dump({'host': '127.0.0.1', 'port': 5, 'token': 't', 'pid': 7, 'owner': 'blender', 'version': '1'}, f)"
    launched = launch(tmp_path, f"{code}; f.close(); time.sleep(60)")
    end = time.monotonic() + 30
    while (address := launched.look()) is None:
        assert time.monotonic() < end
        time.sleep(0.02)
    assert address.port == 5 and not launched.ended
    process.kill(launched._child)
    launched._child.wait()
    with pytest.raises(process.StartError, match="ended at its start"):
        launched.look()


@pytest.mark.skipif(sys.platform == "win32", reason="the stand-in for Python is a shell script")
@pytest.mark.parametrize("chosen", [True, False])
def test_launch_names_a_worlds_folder_only_when_one_is_chosen(tmp_path, chosen):
    worlds = tmp_path / "worlds" if chosen else None
    launched = launch(tmp_path, "import sys; sys.exit(' '.join(sys.argv[1:]))", worlds)
    launched._child.wait(30)
    with pytest.raises(process.StartError) as ended:
        launched.look()
    assert "--owner blender" in str(ended.value)
    assert ("--worlds" in str(ended.value), (tmp_path / "worlds").is_dir()) == (chosen, chosen)


@pytest.mark.skipif(sys.platform == "win32", reason="the stand-in for Python is a shell script")
def test_launch_ends_with_blender(tmp_path):
    launched = launch(tmp_path, "import time; time.sleep(60)")
    launched.abandon()
    launched._child.wait(10)
    assert launched.ended


@pytest.mark.skipif(sys.platform == "win32", reason="the stand-in for Python is a shell script")
def test_launch_that_never_answers_is_ended(tmp_path, monkeypatch):
    launched = launch(tmp_path, "import time; time.sleep(60)")
    assert launched.look() is None
    monkeypatch.setattr(process, "START_PATIENCE", 0.0)
    with pytest.raises(process.StartError, match="did not answer within 0 s"):
        launched.look()
    launched._child.wait()
    assert launched.ended
