"""The preview engine: geometry makes the picture, and what nobody has seen is filled and remembered."""

from lyra.engines.preview.engine import PreviewEngine

__all__ = ["PreviewEngine"]
