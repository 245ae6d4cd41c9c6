"""The sidebar tab Lyra."""

from .panels import register, unregister

__all__ = ["register", "unregister"]
