"""Lyra Worlds: one image and a camera path in, a world out."""

from lyra.version import VERSION as __version__

__all__ = ["__version__"]
