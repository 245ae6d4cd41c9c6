"""The preview engine: layered RGB-D warping with exemplar-based inpainting; no weights, no GPU."""

from lyra.engines.preview.engine import PreviewEngine

__all__ = ["PreviewEngine"]
