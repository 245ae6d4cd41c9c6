"""Text embeddings by UMT5-XXL, and the negative embedding.

The encoder has 5.7 billion parameters and is needed for a moment per prompt: it is loaded when a prompt is new and
given up again, while embeddings stay.
"""

from __future__ import annotations

import html
import logging
import re
from collections import OrderedDict
from collections.abc import Iterable
from pathlib import Path

import ftfy
import torch
from tokenizers import Tokenizer
from transformers import UMT5EncoderModel

from lyra.common.errors import InvalidInputError
from lyra.common.json_file import read_object
from lyra.common.quoting import place, value
from lyra.engines.lyra2.allocation import give_back_device
from lyra.engines.lyra2.checkpoint import TORCH_DAMAGE
from lyra.engines.lyra2.encoders import TEXT_TOKENS
from lyra.engines.lyra2.pretrained import REPAIR, load_pretrained

NEGATIVE_KEY = "t5_text_embeddings"
REMEMBERED_PROMPTS = 256
MAX_CHANNELS = 1 << 20

_log = logging.getLogger(__name__)


def clean_prompt(prompt: str) -> str:
    """The text as the model was trained on it: mended encoding, no HTML entities, single spaces."""
    # Twice, because captions from the web may be escaped twice.
    text = html.unescape(html.unescape(ftfy.fix_text(prompt)))
    return re.sub(r"\s+", " ", text).strip()


def load_negative_embedding(path: Path, channels: int) -> torch.Tensor:
    """The embedding (1, 512, `channels`) in a torch file with the key `t5_text_embeddings`, in the file's type.

    Nothing in the file is executed. Raises InvalidInputError, naming the file, for anything else than that.
    """
    if not path.is_file():
        raise InvalidInputError(f"There is no negative embedding at {place(path)}; {REPAIR}")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except TORCH_DAMAGE as error:
        # torch's own words recommend to load it without the safeguard, so they stay out of the message.
        raise InvalidInputError(
            f"{place(path)} is damaged, or holds code, which is never run; {REPAIR}"
        ) from error
    if not isinstance(content, dict) or NEGATIVE_KEY not in content:
        found = (
            f"the keys {value(sorted(map(str, content)))}"
            if isinstance(content, dict)
            else type(content).__name__
        )
        raise InvalidInputError(f"{place(path)} holds {found} instead of the key '{NEGATIVE_KEY}'; {REPAIR}")
    embedding, expected = content[NEGATIVE_KEY], (1, TEXT_TOKENS, channels)
    if not (
        torch.is_tensor(embedding) and embedding.is_floating_point() and tuple(embedding.shape) == expected
    ):
        found = f"{embedding.dtype} {tuple(embedding.shape)}" if torch.is_tensor(embedding) else "no tensor"
        raise InvalidInputError(
            f"'{NEGATIVE_KEY}' in {place(path)} is {found}, not floats {expected}; {REPAIR}"
        )
    return embedding


class Umt5TextEncoder:
    """UMT5 from a folder in diffusers' layout, with `text_encoder/` and `tokenizer/tokenizer.json`.

    Embeddings are kept on the CPU in `dtype`, those of the last 256 prompts.
    """

    def __init__(
        self,
        folder: Path,
        negative_file: Path,
        dtype: torch.dtype = torch.bfloat16,
        device: torch.device | str = "cpu",
        resident: bool = False,
    ):
        """`resident` keeps the model after its first use (11 GB in bfloat16) until `release`.

        Raises InvalidInputError when the folder or the negative embedding cannot be used.
        """
        self.folder, self.dtype, self.device, self.resident = folder, dtype, device, resident
        self.channels = _embedding_channels(folder / "text_encoder" / "config.json")
        self._negative = load_negative_embedding(negative_file, self.channels).to(dtype)
        self._rows: OrderedDict[str, torch.Tensor] = OrderedDict()
        self._model: UMT5EncoderModel | None = None
        self._tokenizer: Tokenizer | None = None

    def prepare(self, prompts: Iterable[str]) -> None:
        """Embeds all new prompts of a job while the model is loaded once."""
        texts = dict.fromkeys(map(clean_prompt, prompts))
        new = [text for text in texts if text not in self._rows]
        for text in new:
            self._rows[text] = self._embed(text)
        for text in texts:
            self._rows.move_to_end(text)
        while len(self._rows) > max(REMEMBERED_PROMPTS, len(texts)):
            self._rows.popitem(last=False)
        if new and not self.resident:
            self.release()

    def encode(self, prompt: str) -> torch.Tensor:
        """(1, 512, channels): the prompt's tokens, zeros after them. Loads the model when the prompt is new."""
        self.prepare([prompt])
        rows = self._rows[clean_prompt(prompt)]
        padded = rows.new_zeros(1, TEXT_TOKENS, self.channels)
        padded[0, : len(rows)] = rows
        return padded

    def negative(self) -> torch.Tensor:
        """(1, 512, channels), as published; the words behind it are not known."""
        return self._negative

    def release(self) -> None:
        """Frees the model's memory; embeddings stay, and a new prompt loads it again."""
        if self._model is not None:
            self._model = None
            give_back_device(self.device)

    @torch.no_grad()
    def _embed(self, text: str) -> torch.Tensor:
        """(tokens, channels). Padding is masked in attention, so running without it gives the same rows."""
        if self._model is None:
            self._model = load_pretrained(
                UMT5EncoderModel, self.folder / "text_encoder", self.dtype, self.device
            )
        if self._tokenizer is None:
            self._tokenizer = load_tokenizer(self.folder / "tokenizer" / "tokenizer.json")
        tokens = self._tokenizer.encode(text)
        if tokens.overflowing:
            _log.warning("The model reads %d tokens of a prompt; the rest is cut: %s", TEXT_TOKENS, text)
        ids = torch.tensor([tokens.ids], device=self.device)
        return self._model(input_ids=ids).last_hidden_state[0].to("cpu", self.dtype)


def _embedding_channels(config: Path) -> int:
    if not config.is_file():
        raise InvalidInputError(f"There is no text encoder: {config} is missing; {REPAIR}")
    try:
        channels = read_object(config, advice=REPAIR).get("d_model")
    except InvalidInputError as error:
        raise InvalidInputError(f"{place(config)} does not describe a UMT5 text encoder; {REPAIR}") from error
    if type(channels) is not int or not 0 < channels <= MAX_CHANNELS:
        raise InvalidInputError(
            f"{place(config)} does not describe a UMT5 text encoder (d_model is {value(channels)}); {REPAIR}"
        )
    return channels


def load_tokenizer(path: Path) -> Tokenizer:
    """The tokenizer exactly as its file defines it, ending every text with its end token within 512 tokens.

    Raises InvalidInputError for a file that is missing or no tokenizer.
    """
    if not path.is_file():
        raise InvalidInputError(f"There is no tokenizer at {place(path)}; {REPAIR}")
    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:
        # The library raises this very class and none of its own; whatever is more than that is no damaged file.
        if type(error) is not Exception:
            raise
        raise InvalidInputError(f"{path} is no tokenizer: {error}; {REPAIR}") from error
    tokenizer.no_padding()
    tokenizer.enable_truncation(TEXT_TOKENS)
    return tokenizer
