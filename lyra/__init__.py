"""Lyra Worlds: one image and a camera path in, a world out."""

from lyra import version

__version__ = version.VERSION
