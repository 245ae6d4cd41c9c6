"""The text and image encoders on tiny random models, written to disk as the published ones are."""

import json
import logging
import shutil

import pytest
import torch
from diffusers.pipelines.wan.pipeline_wan import prompt_clean
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import (
    AutoTokenizer,
    CLIPImageProcessor,
    CLIPVisionConfig,
    CLIPVisionModel,
    UMT5Config,
    UMT5EncoderModel,
)

from lyra.common.errors import InvalidInputError
from lyra.engines.lyra2 import text as text_module
from lyra.engines.lyra2.clip import DEVIATION, MEAN, ClipImageEncoder, clip_pixels
from lyra.engines.lyra2.pretrained import load_pretrained
from lyra.engines.lyra2.text import (
    Umt5TextEncoder,
    clean_prompt,
    load_negative_embedding,
    load_tokenizer,
)

WORDS = ["a", "house", "on", "the", "hill", "in", "morning", "light", "with", "tall", "trees"]
CHANNELS = 32
PROMPT = "a house on the hill, tall trees"


def write_tokenizer(folder):
    """A unigram tokenizer of few words and all letters, built like UMT5's, with the settings transformers reads."""
    pieces = ["▁" + word for word in WORDS] + list("▁abcdefghijklmnopqrstuvwxyz,.")
    specials = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0)]
    tokenizer = Tokenizer(models.Unigram([*specials, *((piece, -len(pieces)) for piece in pieces)], unk_id=2))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace()]
    )
    tokenizer.post_processor = processors.TemplateProcessing(
        single=["$A", "</s>"], special_tokens=[("</s>", 1)]
    )
    # Some published files carry padding of their own; it must not matter.
    tokenizer.enable_padding(length=16)
    folder.mkdir()
    tokenizer.save(str(folder / "tokenizer.json"))
    settings = {"tokenizer_class": "T5Tokenizer", "extra_ids": 0}
    settings |= {"pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>"}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    return tokenizer.get_vocab_size()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Tiny random text_encoder/, tokenizer/, image_encoder/ and negative_prompt.pt."""
    root = tmp_path_factory.mktemp("encoders")
    torch.manual_seed(0)
    vocabulary = write_tokenizer(root / "tokenizer")
    config = UMT5Config(vocab_size=vocabulary, d_model=CHANNELS, d_kv=8, d_ff=64, num_layers=2, num_heads=4)
    write_model(UMT5EncoderModel(config), root / "text_encoder")
    write_model(CLIPVisionModel(clip_config()), root / "image_encoder")
    torch.save({"t5_text_embeddings": torch.randn(1, 512, CHANNELS)}, root / "negative_prompt.pt")
    return root


def clip_config(**changes):
    settings = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 3, "num_attention_heads": 4}
    return CLIPVisionConfig(
        **{**settings, "image_size": 224, "patch_size": 14, "hidden_act": "gelu", **changes}
    )


def write_model(model, path):
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    model.save_pretrained(path, max_shard_size="40KB")


@pytest.fixture
def text_encoder(folder):
    return Umt5TextEncoder(folder, folder / "negative_prompt.pt", torch.float32)


@pytest.fixture
def loads(monkeypatch):
    """Names of the model classes that were loaded."""
    names = []

    def counted(model_class, *arguments):
        names.append(model_class.__name__)
        return load_pretrained(model_class, *arguments)

    monkeypatch.setattr(text_module, "load_pretrained", counted)
    return names


class TestPrompts:
    @pytest.mark.parametrize(
        "prompt, cleaned",
        [
            ("  a\thouse \n on\u00a0the hill ", "a house on the hill"),
            ("trees &amp;amp; light", "trees & light"),
            ("caf\u00c3\u00a9 \u201cby\u201d the sea", 'caf\u00e9 "by" the sea'),
            ("", ""),
        ],
    )
    def test_cleaned_as_for_training(self, prompt, cleaned):
        assert clean_prompt(prompt) == cleaned == prompt_clean(prompt)

    @pytest.mark.parametrize("prompt", [PROMPT, "", "zebra &amp; house", "a house " * 400])
    def test_equals_transformers_with_padding_and_mask(self, folder, text_encoder, prompt):
        tokenizer = AutoTokenizer.from_pretrained(folder / "tokenizer", local_files_only=True)
        tokens = tokenizer(
            prompt_clean(prompt), padding="max_length", max_length=512, truncation=True, return_tensors="pt"
        )
        model = UMT5EncoderModel.from_pretrained(folder / "text_encoder").eval()
        with torch.no_grad():
            expected = model(**tokens).last_hidden_state * tokens.attention_mask[..., None]
        encoded = text_encoder.encode(prompt)
        assert encoded.shape == (1, 512, CHANNELS)
        torch.testing.assert_close(encoded, expected, rtol=0, atol=1e-4)
        assert (encoded[0].abs().sum(-1) > 0).sum() == tokens.attention_mask.sum()

    def test_a_cut_prompt_is_told(self, text_encoder, caplog):
        with caplog.at_level(logging.WARNING):
            text_encoder.encode(PROMPT)
            assert not caplog.records
            text_encoder.encode("a house " * 400)
        assert "512 tokens" in caplog.text

    def test_one_load_for_all_prompts_of_a_job(self, text_encoder, loads):
        text_encoder.prepare([PROMPT, "a house", "  a   house ", "the light"])
        embedded = text_encoder.encode("a house")
        assert loads == ["UMT5EncoderModel"]
        assert text_encoder._model is None
        assert torch.equal(text_encoder.encode(" a house\n"), embedded)
        text_encoder.encode("tall trees")
        assert len(loads) == 2

    def test_resident_until_released(self, folder, loads):
        encoder = Umt5TextEncoder(folder, folder / "negative_prompt.pt", torch.float32, resident=True)
        encoder.encode(PROMPT)
        encoder.encode("a house")
        assert len(loads) == 1
        encoder.release()
        encoder.encode("the light")
        assert len(loads) == 2

    def test_forgets_the_oldest(self, text_encoder, loads, monkeypatch):
        monkeypatch.setattr(text_module, "REMEMBERED_PROMPTS", 2)
        text_encoder.prepare(["a", "house"])
        text_encoder.encode("a")
        text_encoder.encode("hill")
        text_encoder.encode("a")
        assert len(loads) == 2
        text_encoder.encode("house")
        assert len(loads) == 3
        text_encoder.prepare(["a", "on", "the"])
        loads.clear()
        text_encoder.prepare(["a", "on", "the"])
        assert not loads

    def test_words_are_looked_up_in_the_shared_table(self, folder, tmp_path):
        """The published file holds the table once and its settings say "tie_word_embeddings": false."""
        copy = tmp_path / "text_encoder"
        shutil.copytree(folder / "text_encoder", copy)
        config = json.loads((copy / "config.json").read_text())
        (copy / "config.json").write_text(json.dumps({**config, "tie_word_embeddings": False}))
        tables = {
            key: value
            for file in copy.glob("*.safetensors")
            for key, value in load_file(file).items()
            if len(value) == config["vocab_size"]
        }
        assert list(tables) == ["shared.weight"]
        model = load_pretrained(UMT5EncoderModel, copy, torch.float32, "cpu")
        assert torch.equal(model.encoder.embed_tokens.weight, tables["shared.weight"])

    def test_result_is_the_callers_own(self, text_encoder):
        text_encoder.encode(PROMPT).zero_()
        assert text_encoder.encode(PROMPT).abs().sum() > 0

    def test_type(self, folder):
        encoder = Umt5TextEncoder(folder, folder / "negative_prompt.pt", torch.bfloat16)
        assert encoder.encode(PROMPT).dtype == encoder.negative().dtype == torch.bfloat16
        assert encoder.encode(PROMPT).device.type == encoder.negative().device.type == "cpu"


class Explosive:
    """Pickled, it would write a file when loaded."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


class TestNegativeEmbedding:
    def test_as_in_the_file(self, folder, text_encoder):
        expected = torch.load(folder / "negative_prompt.pt")["t5_text_embeddings"]
        assert torch.equal(text_encoder.negative(), expected)

    def test_code_is_not_run(self, tmp_path):
        path, written = tmp_path / "negative_prompt.pt", tmp_path / "written"
        torch.save({"t5_text_embeddings": Explosive(written)}, path)
        with pytest.raises(InvalidInputError, match="holds code") as refusal:
            load_negative_embedding(path, CHANNELS)
        assert str(path) in str(refusal.value)
        assert not written.exists()

    @pytest.mark.parametrize(
        "content, reason",
        [
            ({"embeddings": torch.zeros(1)}, r"\['embeddings'\]"),
            (torch.zeros(1, 512, CHANNELS), "holds Tensor"),
            ({"t5_text_embeddings": torch.zeros(1, 512, 16)}, r"\(1, 512, 16\)"),
            ({"t5_text_embeddings": torch.zeros(1, 512, CHANNELS, dtype=torch.int64)}, "int64"),
            ({"t5_text_embeddings": [0.0]}, "no tensor"),
        ],
    )
    def test_other_contents_are_refused(self, tmp_path, content, reason):
        torch.save(content, tmp_path / "negative_prompt.pt")
        with pytest.raises(InvalidInputError, match=reason):
            load_negative_embedding(tmp_path / "negative_prompt.pt", CHANNELS)

    @pytest.mark.parametrize("size", [0, 7, 3000])
    def test_a_damaged_file_is_refused(self, folder, tmp_path, size):
        path = tmp_path / "negative_prompt.pt"
        path.write_bytes((folder / "negative_prompt.pt").read_bytes()[:size])
        with pytest.raises(InvalidInputError, match="damaged"):
            load_negative_embedding(path, CHANNELS)

    def test_missing(self, folder, tmp_path):
        with pytest.raises(InvalidInputError, match="no negative embedding"):
            Umt5TextEncoder(folder, tmp_path / "negative_prompt.pt")
        with pytest.raises(InvalidInputError, match="no text encoder"):
            Umt5TextEncoder(tmp_path, folder / "negative_prompt.pt")
        (tmp_path / "text_encoder").mkdir()
        for content in ("{", "[]", "{}"):
            (tmp_path / "text_encoder" / "config.json").write_text(content)
            with pytest.raises(InvalidInputError, match="does not describe"):
                Umt5TextEncoder(tmp_path, folder / "negative_prompt.pt")


def test_a_file_that_is_no_tokenizer_is_refused(tmp_path):
    path = tmp_path / "tokenizer.json"
    with pytest.raises(InvalidInputError, match="no tokenizer at"):
        load_tokenizer(path)
    for content in ('{"a": 1}', "{", ""):
        path.write_text(content)
        with pytest.raises(InvalidInputError, match="is no tokenizer"):
            load_tokenizer(path)


def test_what_is_no_fault_of_the_tokenizer_s_file_is_not_blamed_on_it(tmp_path, monkeypatch):
    class Library:
        @staticmethod
        def from_file(path):
            raise MemoryError

    (tmp_path / "tokenizer.json").write_text("{}")
    monkeypatch.setattr("lyra.engines.lyra2.text.Tokenizer", Library)
    with pytest.raises(MemoryError):
        load_tokenizer(tmp_path / "tokenizer.json")


@pytest.fixture(scope="module")
def frame():
    return torch.rand(1, 3, 64, 96, generator=torch.manual_seed(0)) * 2 - 1


class TestClip:
    def test_stretched_and_normalised(self):
        """A gradient keeps its ends, and a plain colour is normalised like any image of CLIP's."""
        ramp = torch.linspace(-1, 1, 96).expand(1, 3, 64, 96)
        pixels = clip_pixels(ramp)
        assert pixels.shape == (1, 3, 224, 224)
        mean, deviation = (torch.tensor(values).view(1, 3, 1) for values in (MEAN, DEVIATION))
        assert (pixels[..., 0] * deviation + mean).abs().max() < 0.01
        assert (pixels[..., -1] * deviation + mean - 1).abs().max() < 0.01
        processor = CLIPImageProcessor()
        assert tuple(processor.image_mean) == MEAN
        assert tuple(processor.image_std) == DEVIATION

    def test_equals_transformers_processor_where_it_neither_smooths_nor_crops(self, frame):
        """At CLIP's own size all that is left is the normalisation."""
        square = torch.nn.functional.interpolate(frame, (224, 224))
        processor = CLIPImageProcessor(do_resize=False, do_center_crop=False, do_rescale=False)
        expected = processor(images=square * 0.5 + 0.5, return_tensors="pt").pixel_values
        torch.testing.assert_close(clip_pixels(square), expected, rtol=0, atol=1e-5)

    def test_no_antialiasing(self):
        """Every third pixel is taken as it is, although its neighbours differ."""
        stripes = torch.tensor([-1.0, 1.0]).repeat(336).expand(1, 3, 64, 672)
        red = clip_pixels(stripes)[0, 0] * DEVIATION[0] + MEAN[0]
        inner = slice(2, -2)
        expected = torch.tensor([1.0, 0.0]).repeat(112).expand(224, 224)
        torch.testing.assert_close(red[:, inner], expected[:, inner], rtol=0, atol=1e-5)

    def test_tokens_before_the_last_block(self, folder, frame):
        encoder = ClipImageEncoder(folder, torch.float32)
        tokens = encoder.encode(frame)
        assert tokens.shape == (1, 257, 32)
        model = CLIPVisionModel.from_pretrained(folder / "image_encoder").eval()
        del model.encoder.layers[-1]
        with torch.no_grad():
            expected = model(pixel_values=clip_pixels(frame)).last_hidden_state
        assert torch.equal(tokens, expected)
        encoder.release()
        assert torch.equal(encoder.encode(frame), tokens)

    def test_half_precision(self, folder, frame):
        tokens = ClipImageEncoder(folder, torch.float16).encode(frame.bfloat16())
        assert tokens.dtype == torch.float16
        full = ClipImageEncoder(folder, torch.float32).encode(frame)
        assert (tokens - full).abs().mean() < 0.05 * full.abs().mean()

    @pytest.mark.parametrize("changes", [{"hidden_act": "quick_gelu"}, {"patch_size": 16}])
    def test_another_clip_is_refused(self, tmp_path, frame, changes):
        write_model(CLIPVisionModel(clip_config(**changes)), tmp_path / "image_encoder")
        with pytest.raises(InvalidInputError, match="needs that of Wan"):
            ClipImageEncoder(tmp_path, torch.float32).encode(frame)


class TestLoading:
    """A model is loaded whole or not at all."""

    @pytest.fixture
    def damaged(self, tmp_path):
        """Folder of a tiny CLIP and a function that changes its tensors."""
        CLIPVisionModel(clip_config()).save_pretrained(tmp_path)
        path = tmp_path / "model.safetensors"
        tensors = load_file(path)

        def change(edit):
            save_file(edit(tensors), path, metadata={"format": "pt"})

        return tmp_path, change

    def load(self, folder):
        return load_pretrained(CLIPVisionModel, folder, torch.float32, "cpu")

    def test_names_of_older_files(self, damaged):
        """Files from before transformers 5 put the tower's name before every tensor."""
        folder, change = damaged
        expected = self.load(folder).state_dict()
        change(lambda tensors: {f"vision_model.{key}": value for key, value in tensors.items()})
        loaded = self.load(folder)
        assert all(torch.equal(value, expected[key]) for key, value in loaded.state_dict().items())
        assert not loaded.training
        assert not any(parameter.requires_grad for parameter in loaded.parameters())

    @pytest.mark.parametrize(
        "edit, reason",
        [
            (
                lambda t: {key.replace("post_", "past_"): v for key, v in t.items()},
                "lacks post_layernorm.bias",
            ),
            (lambda t: {**t, "post_layernorm.bias": torch.zeros(3)}, "another shape for post_layernorm.bias"),
            (lambda t: {key: v for key, v in t.items() if "layers.1" not in key}, "and 13 more"),
        ],
    )
    def test_tensors_that_do_not_fit(self, damaged, edit, reason, capfd):
        folder, change = damaged
        change(edit)
        with pytest.raises(InvalidInputError, match=reason) as refusal:
            self.load(folder)
        assert str(folder) in str(refusal.value)
        assert capfd.readouterr() == ("", "")

    def test_a_truncated_file(self, damaged):
        folder, _ = damaged
        path = folder / "model.safetensors"
        path.write_bytes(path.read_bytes()[:-100])
        with pytest.raises(InvalidInputError, match=r"cannot be loaded from .*; check it with"):
            self.load(folder)

    def test_a_missing_shard(self, folder, tmp_path):
        for path in (folder / "text_encoder").iterdir():
            if "00002-of" not in path.name:
                (tmp_path / path.name).write_bytes(path.read_bytes())
        with pytest.raises(InvalidInputError, match="00002-of"):
            load_pretrained(UMT5EncoderModel, tmp_path, torch.float32, "cpu")

    def test_pickles_are_not_read(self, damaged):
        folder, _ = damaged
        torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
        (folder / "model.safetensors").unlink()
        with pytest.raises(InvalidInputError, match=r"no file named model\.safetensors"):
            self.load(folder)

    def test_an_empty_folder(self, tmp_path):
        with pytest.raises(InvalidInputError, match=r"config\.json is missing"):
            self.load(tmp_path)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_cuda_agrees_with_the_cpu(folder, text_encoder, frame):
    text = Umt5TextEncoder(folder, folder / "negative_prompt.pt", torch.float32, "cuda")
    torch.testing.assert_close(text.encode(PROMPT), text_encoder.encode(PROMPT), rtol=0, atol=5e-3)
    tokens = ClipImageEncoder(folder, torch.float32, "cuda").encode(frame)
    expected = ClipImageEncoder(folder, torch.float32).encode(frame)
    torch.testing.assert_close(tokens.cpu(), expected, rtol=0, atol=2e-2)
