"""The depth estimators with ONNX Runtime: whether they can run here, and making them."""

from __future__ import annotations

from pathlib import Path

from lyra.common.errors import EngineNotReadyError
from lyra.depth import joined, onnx_depth_anything, onnx_moge, onnx_session
from lyra.depth.joined import Joined
from lyra.depth.onnx_depth_anything import DepthAnythingOnnx
from lyra.depth.onnx_moge import MoGe
from lyra.hub.catalog import item, needs
from lyra.hub.downloads import download
from lyra.hub.packages import packages_remark
from lyra.hub.sources import choose_source
from lyra.hub.units import bytes_text
from lyra.hub.weights import Weights

# What of IMAGE_DEPTH each estimator needs.
ONNX_NEEDS = {joined.ID: "depth", onnx_moge.ID: "moge-2", onnx_depth_anything.ID: "depth-anything-v2-onnx"}
OnnxDepth = Joined | MoGe | DepthAnythingOnnx


def onnx_requirement(choice: str, folder: str | Path | None = None) -> str | None:
    """Why an estimator of ONNX_NEEDS cannot run here and what to do about it, or None."""
    wanted = needs(ONNX_NEEDS[choice])
    lacking = packages_remark(wanted.packages, wanted.extra, wanted.label)
    if lacking:
        return lacking
    if folder is not None:
        reasons = (onnx_session.missing_requirement(i, folder) for i in wanted.items)
        return next((reason for reason in reasons if reason), None)
    weights = Weights()
    missing = weights.missing(wanted.id)
    if not missing:
        return None
    size = bytes_text(sum(weights.missing_bytes(i) for i in missing))
    return (
        f"{' and '.join(item(i).label for i in missing)} ({size}) {'are' if len(missing) > 1 else 'is'} not on this "
        f"machine; better depth comes with: lyra models download {wanted.id}"
    )


def onnx_estimator(
    choice: str,
    folder: str | Path | None = None,
    device: str | None = None,
    notes: tuple[str, ...] = (),
    allow_download: bool = False,
) -> OnnxDepth:
    """An estimator of ONNX_NEEDS, with `allow_download` after fetching what it lacks.

    Raises EngineNotReadyError when it cannot run.
    """
    if allow_download and folder is None and Weights().missing(ONNX_NEEDS[choice]):
        download(Weights().missing(ONNX_NEEDS[choice]), Weights(), choose_source())
    reason = onnx_requirement(choice, folder)
    if reason:
        raise EngineNotReadyError(f"{reason}. Or choose the built-in depth.".replace("..", "."))
    kinds: dict[str, type[OnnxDepth]] = {
        joined.ID: Joined,
        onnx_moge.ID: MoGe,
        onnx_depth_anything.ID: DepthAnythingOnnx,
    }
    return kinds[choice](folder, device, notes)
