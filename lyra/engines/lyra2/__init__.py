"""The Lyra 2.0 engine: the published 14-billion-parameter model. Needs torch, diffusers and transformers."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from lyra.world.options import EngineOptions

if TYPE_CHECKING:
    from lyra.engines.lyra2.engine import Lyra2Engine

# PyTorch's limit of what cuDNN may take for one convolution.
CUDNN_WORKSPACE_MB = "2048"


def create_lyra2(engine_id: str, device: str, options: EngineOptions) -> Lyra2Engine:
    """The engine "lyra2" or "lyra2-fast" with the weights of the weights folder; torch is imported here."""
    # Before torch is first used: convolutions of whole frames otherwise take workspaces of many GB.
    os.environ.setdefault("CUDNN_CONV_WSCAP_DBG", CUDNN_WORKSPACE_MB)
    import torch

    from lyra.engines.lyra2.components import load_components
    from lyra.engines.lyra2.engine import Lyra2Engine
    from lyra.engines.lyra2.settings import Lyra2Settings

    settings = Lyra2Settings.of(engine_id, options)
    place = torch.device(device)
    return Lyra2Engine(load_components(settings, place), settings, engine_id, place)
