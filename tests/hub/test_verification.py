import json
import shutil
import struct

import pytest

from lyra.common.errors import InvalidInputError
from lyra.hub import Weights
from lyra.hub.catalog import CHECKPOINT
from lyra.hub.safetensor_files import read_header
from lyra.hub.verification import present
from tests.engines.lyra2.test_conversion import Evil

torch = pytest.importorskip("torch", reason="needs the extra lyra-worlds[lyra2]")

from safetensors.torch import load_file, save_file  # noqa: E402

from lyra.engines.lyra2.conversion import convert  # noqa: E402
from lyra.engines.lyra2.verification import verify_weights  # noqa: E402

NEGATIVE = "lyra2-negative-prompt"


def problem(weights: Weights, item_id: str, **options) -> str:
    """The one thing that is wrong with an item."""
    findings = verify_weights(weights, [item_id], **options)
    assert [finding.id for finding in findings] == [item_id], findings
    return findings[0].problem


def test_all_is_well(weights):
    convert(weights)
    convert(weights, "lyra2-fp8")
    assert len(present(weights)) == 11
    assert verify_weights(weights) == []


def test_an_empty_folder_has_nothing_to_check(tmp_path):
    assert present(Weights(tmp_path)) == []


def test_a_missing_file_a_short_file_and_a_changed_file(weights):
    file = weights.path("wan-vae") / "diffusion_pytorch_model.safetensors"
    data = bytearray(file.read_bytes())
    file.write_bytes(data[:-10])
    assert f"{file} has {len(data) - 10} bytes and should have {len(data)}" in problem(weights, "wan-vae")
    data[-10] ^= 1
    file.write_bytes(data)
    assert "has SHA-256" in problem(weights, "wan-vae")
    assert verify_weights(weights, ["wan-vae"], quick=True) == []
    file.unlink()
    assert f"{file} is missing" in problem(weights, "wan-vae", quick=True)


def test_files_without_a_manifest_are_checked_by_their_headers(weights):
    weights.manifest_file("wan-vae").unlink()
    file = weights.path("wan-vae") / "diffusion_pytorch_model.safetensors"
    assert verify_weights(weights, ["wan-vae"]) == []
    file.write_bytes(file.read_bytes()[:-10])
    assert "it was cut off" in problem(weights, "wan-vae")
    file.write_bytes(b"\0")
    assert "no whole safetensors file" in problem(weights, "wan-vae")


@pytest.mark.parametrize(
    ("header", "message"),
    [
        (b"{", "damaged header"),
        (b'{"a": {"dtype": "F32", "shape": [1]}}', "damaged header"),
        (b'{"a": {"dtype": "F32", "shape": [1], "data_offsets": [4, 8]}}', "damaged header"),
        (b'{"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 8]}}', "it was cut off"),
    ],
)
def test_damaged_headers(tmp_path, header, message):
    file = tmp_path / "a.safetensors"
    file.write_bytes(struct.pack("<Q", len(header)) + header + b"\0\0\0\0")
    with pytest.raises(InvalidInputError, match=message):
        read_header(file)


def test_headers_say_what_the_library_says(weights):
    file = weights.path("wan-vae") / "diffusion_pytorch_model.safetensors"
    found = {key: shape for key, (_, shape) in read_header(file).items()}
    assert found == {key: tuple(value.shape) for key, value in load_file(file).items()}


def test_a_shard_that_the_index_names_is_missing(weights):
    weights.manifest_file("wan-text-encoder").unlink()
    next(weights.path("wan-text-encoder").glob("model-00003-*")).unlink()
    assert "model-00003-of-00005.safetensors is missing" in problem(weights, "wan-text-encoder")


def test_a_renamed_key_in_a_conversion(weights):
    folder = convert(weights)
    (file,) = folder.glob("*.safetensors")
    tensors = load_file(file)
    tensors["proj_out.bios"] = tensors.pop("proj_out.bias")
    save_file(tensors, file)
    assert "should have" in problem(weights, "lyra2-bf16")
    forget_digests(folder)
    assert "holds 'proj_out.bios', which the index does not place there" in problem(weights, "lyra2-bf16")
    index = folder / "diffusion_pytorch_model.safetensors.index.json"
    index.write_text(index.read_text().replace("proj_out.bias", "proj_out.bios"))
    forget_digests(folder)
    assert "'proj_out.bias' is missing" in problem(weights, "lyra2-bf16")


def test_a_wrong_type_in_a_conversion(weights):
    folder = convert(weights)
    (file,) = folder.glob("*.safetensors")
    save_file({key: value.float() for key, value in load_file(file).items()}, file)
    forget_digests(folder)
    assert "is ('F32'," in problem(weights, "lyra2-bf16")


def forget_digests(folder) -> None:
    """Rewrites a conversion's manifest for the files as they are now, as someone would who changed them."""
    file = folder / ".lyra" / "manifest.json"
    manifest = json.loads(file.read_text())
    for entry in manifest["files"]:
        entry.update(size=(folder / entry["path"]).stat().st_size, sha256=None)
    file.write_text(json.dumps(manifest))


def test_a_half_written_conversion(weights):
    folder = convert(weights)
    shutil.rmtree(folder / ".lyra")
    assert "is no whole conversion" in problem(weights, "lyra2-bf16")


def test_code_in_the_checkpoint_s_metadata(weights, tmp_path):
    import pickle

    weights.manifest_file(CHECKPOINT).unlink()
    (weights.path(CHECKPOINT) / ".metadata").write_bytes(pickle.dumps(Evil(tmp_path / "pwned")))
    assert "may be meant to run code" in problem(weights, CHECKPOINT)
    assert not (tmp_path / "pwned").exists()


def test_code_in_the_negative_embedding(weights, tmp_path):
    weights.manifest_file(NEGATIVE).unlink()
    torch.save({"t5_text_embeddings": Evil(tmp_path / "pwned")}, weights.path(NEGATIVE))
    complaint = problem(weights, NEGATIVE)
    assert "negative_prompt.pt" in complaint and f"lyra models download {NEGATIVE}" in complaint
    assert not (tmp_path / "pwned").exists()


def test_a_lora_of_another_model(weights):
    weights.manifest_file("lyra2-distillation").unlink()
    file = weights.path("lyra2-distillation")
    good = load_file(file)
    save_file({key.replace("self_attn", "attention"): value for key, value in good.items()}, file)
    assert "'diffusion_model.blocks.0.attention.k' is no layer" in problem(weights, "lyra2-distillation")
    save_file({key: torch.cat([value, value], 1) for key, value in good.items()}, file)
    assert "dmd_distillation.safetensors" in problem(weights, "lyra2-distillation")
    assert verify_weights(weights, ["lyra2-distillation"], quick=True) == []


def test_a_checkpoint_of_another_network(weights):
    (weights.path(CHECKPOINT) / "config.json").unlink()
    weights.manifest_file(CHECKPOINT).unlink()
    assert "is [48, 144] and should be [5120, 144]" in problem(weights, CHECKPOINT)


def test_unknown_names(weights):
    with pytest.raises(InvalidInputError, match="'unet'"):
        verify_weights(weights, ["unet"])
