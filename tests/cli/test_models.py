import argparse
import errno
import json
import shutil

import pytest

from lyra.cli.models import add_parser
from lyra.common.errors import CancelledError, EngineNotReadyError, InvalidInputError
from lyra.hub import ITEMS, AcceptedLicences, Weights


@pytest.fixture(autouse=True)
def settings(tmp_path, monkeypatch):
    """Settings and weights of this test only."""
    monkeypatch.setattr("platformdirs.user_config_dir", lambda *a, **k: str(tmp_path / "settings"))
    monkeypatch.setenv("LYRA_WEIGHTS", str(tmp_path / "weights"))
    monkeypatch.delenv("LYRA_MIRROR", raising=False)


def models(*arguments) -> int:
    parser = argparse.ArgumentParser()
    add_parser(parser.add_subparsers(required=True))
    options = parser.parse_args(["models", *map(str, arguments)])
    return options.run(options)


def refuse(path, *_, **options):
    if not options.get("ignore_errors"):
        raise PermissionError(errno.EACCES, "Access is denied", str(path))


def test_from_nothing_to_checked_weights(mirror, tmp_path, capsys, monkeypatch):
    pytest.importorskip("torch", reason="needs the extra lyra-worlds[lyra2]")
    with pytest.raises(EngineNotReadyError, match="lyra models licence"):
        models("download", "lyra2", "--mirror", mirror)
    assert models("licence", "nvidia-lyra-2.0", "--accept") == 0
    assert "nvidia-lyra-2.0: accepted" in capsys.readouterr().out
    assert models("download", "lyra2", "--mirror", mirror) == 0
    assert "Next: lyra models convert" in capsys.readouterr().out
    with monkeypatch.context() as held, pytest.raises(PermissionError):
        held.setattr("lyra.cli.models.shutil.rmtree", refuse)
        models("convert", "--delete-checkpoint")
    assert "was deleted" not in capsys.readouterr().out
    assert models("convert", "--delete-checkpoint") == 0
    assert "was deleted" in capsys.readouterr().out
    assert models("download", "lyra2", "--mirror", mirror) == 0
    assert "is all here" in capsys.readouterr().out
    assert models("verify", "lyra2") == 0
    shown = capsys.readouterr().out
    assert "lyra2-bf16                       good" in shown and "lyra2-checkpoint" not in shown
    assert models("list") == 0
    shown = capsys.readouterr().out
    assert "68 GB to get" in shown and shown.count("  here ") >= 5


def test_verify_says_what_is_wrong_and_fails(weights, capsys):
    file = weights.path("wan-vae") / "config.json"
    file.write_text("{}")
    assert models("verify", "--weights", weights.root, "wan-vae", "wan-tokenizer") == 2
    shown = capsys.readouterr()
    assert "wan-vae                          NOT GOOD" in shown.out
    assert "wan-tokenizer                    good" in shown.out
    assert f"{file} has 2 bytes" in shown.err and "lyra models download wan-vae" in shown.err


def test_nothing_to_verify():
    with pytest.raises(InvalidInputError, match="lyra models download NAME"):
        models("verify")


def test_the_mirror_may_come_from_the_environment(mirror, monkeypatch, capsys):
    monkeypatch.setenv("LYRA_MIRROR", str(mirror))
    assert models("download", "depth-anything-v2") == 0
    assert Weights().has("depth-anything-v2-outdoor-small")
    assert models("download", "wan-vae") == 0
    assert Weights().has("wan-vae")


def test_list_as_json(capsys):
    assert models("list", "--json") == 0
    listed = json.loads(capsys.readouterr().out)
    rows = {row["id"]: row for row in listed["items"]}
    assert rows["lyra2-checkpoint"]["missing"] == rows["lyra2-checkpoint"]["size"] > 68e9
    assert rows["depth-anything-3"]["memory"] > rows["depth-anything-3"]["size"]
    assert rows["lyra2-checkpoint"]["licence"] == "nvidia-lyra-2.0"
    assert not rows["lyra2-checkpoint"]["accepted"] and rows["wan-vae"]["accepted"]
    assert listed["converted"] == {"lyra2-bf16": False, "lyra2-fp8": False}


def test_the_list_says_size_and_memory(capsys):
    assert models("list") == 0
    lines = capsys.readouterr().out.splitlines()
    (line,) = (line for line in lines if line.startswith("depth-anything-v2-outdoor-small"))
    assert "99 MB" in line and "489 MB in memory" in line
    (line,) = (line for line in lines if line.startswith("lyra2-bf16"))
    assert "34 GB in memory" in line and "not converted" in line


def test_a_depth_model_has_a_plan_too(capsys):
    assert models("plan", "depth-anything-3", "--device", "cpu") == 0
    shown = capsys.readouterr().out
    assert "download     6.8 GB" in shown and "memory       about 26 GB" in shown
    assert "RAM          32 GB of" in shown
    assert models("plan", "depth-anything-v2", "--device", "cpu", "--json") == 0
    made = json.loads(capsys.readouterr().out)
    assert made["licences"] == ["apache-2.0"]
    assert made["download"] == 198_000_000 and made["memory"] == 588_000_000


def test_plan(capsys):
    assert models("plan", "lyra2", "--device", "cpu") == 0
    assert "per 80 frames of 832x480" in capsys.readouterr().out
    assert models("plan", "lyra2-fast", "--device", "cpu", "--json") == 0
    assert json.loads(capsys.readouterr().out)["licences"] == ["nvidia-lyra-2.0", "apache-2.0"]
    with pytest.raises(InvalidInputError, match=r"no plan for 'preview'.*depth-anything-v2-large"):
        models("plan", "preview")


def test_licences_are_shown_and_only_named_ones_accepted(capsys):
    assert models("licence") == 0
    shown = capsys.readouterr().out
    assert "No commercial use" in shown and "cc-by-nc-4.0: not accepted" in shown
    with pytest.raises(InvalidInputError, match="name the licence"):
        models("licence", "--accept")
    assert not AcceptedLicences().accepted("cc-by-nc-4.0")


def test_unknown_names(mirror):
    with pytest.raises(InvalidInputError, match="'unet'"):
        models("download", "unet", "--mirror", mirror)
    with pytest.raises(InvalidInputError, match="'midas'"):
        models("download", "lyra2", "--depth", "midas", "--mirror", mirror)
    with pytest.raises(InvalidInputError, match="'unet'"):
        models("verify", "unet")


def test_a_stop_is_told_with_the_way_on(mirror, monkeypatch, capsys):
    def stopped(*arguments, **options):
        raise CancelledError("download")

    monkeypatch.setattr("lyra.hub.download", stopped)
    assert models("download", "wan-vae", "--mirror", mirror) == 130
    assert "the same command goes on" in capsys.readouterr().err


def test_converting_needs_its_packages(monkeypatch):
    monkeypatch.setattr("lyra.hub.packages.missing_packages", lambda modules: ("diffusers",))
    with pytest.raises(EngineNotReadyError, match="Converting the network needs diffusers"):
        models("convert")


def test_a_checkpoint_elsewhere_can_be_converted(weights, capsys):
    pytest.importorskip("torch", reason="needs the extra lyra-worlds[lyra2]")
    source = weights.path("lyra2-checkpoint")
    assert models("convert", "--source", source, "--dtype", "fp8") == 0
    assert Weights().has("lyra2-fp8")
    assert capsys.readouterr().out.strip() == str(Weights().path("lyra2-fp8"))
    shutil.rmtree(source)


@pytest.fixture
def depth_mirror(tmp_path):
    """The repositories of `lyra models download depth`, with small networks."""
    pytest.importorskip("onnx", reason="needs the extra lyra-worlds[test]")
    folder = tmp_path / "depth-mirror"
    weights = Weights(folder)
    # It imports onnx.
    from tests.depth.onnx_networks import write_depth_anything, write_moge

    write_moge(weights.repository(ITEMS["moge-2-small-onnx"].repository))
    write_depth_anything(weights.repository(ITEMS["depth-anything-v2-small-onnx"].repository))
    return folder


def test_depth_at_one_command(depth_mirror, capsys):
    """Without a licence to accept: they are shown, and both networks are there, are good, and go again."""
    from lyra.depth import create_estimator

    assert models("plan", "depth") == 0
    shown = capsys.readouterr().out
    assert "191 MB" in shown and "MIT License, Apache License 2.0" in shown
    assert models("download", "depth", "--mirror", depth_mirror) == 0
    shown = capsys.readouterr().out
    assert "MIT License: These weights may be used for any purpose." in shown
    assert "Apache License 2.0" in shown and "Ruicheng/moge-2-vits-normal-onnx" in shown
    assert models("download", "depth", "--mirror", depth_mirror) == 0
    assert "depth is all here" in capsys.readouterr().out
    assert models("verify", "depth") == 0
    assert models("list") == 0
    assert any(
        "moge-2-small-onnx" in line and " here " in line for line in capsys.readouterr().out.splitlines()
    )
    assert create_estimator("auto").id == "joined"
    assert models("remove", "depth") == 0
    assert "moge-2-small-onnx, depth-anything-v2-small-onnx" in capsys.readouterr().out
    assert create_estimator("auto").id == "builtin"


def test_a_damaged_network_is_found_and_fetched_again(depth_mirror, capsys):
    assert models("download", "moge-2", "--mirror", depth_mirror) == 0
    file = Weights().path("moge-2-small-onnx")
    file.write_bytes(file.read_bytes()[:700])
    assert models("verify", "depth") == 2
    assert "lyra models download moge-2-small-onnx" in capsys.readouterr().err
    assert models("remove", "moge-2") == 0
    assert models("download", "depth", "--mirror", depth_mirror) == 0
    assert models("verify", "depth") == 0


def test_removal_says_what_else_lacks_the_files(weights, capsys):
    assert models("remove", "wan-vae", "--weights", weights.root) == 0
    assert "missing for lyra2, lyra2-fast as well" in capsys.readouterr().out
