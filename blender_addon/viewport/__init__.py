"""What the extension draws into the 3D viewport."""

from .handler import forget, register, unregister

__all__ = ["forget", "register", "unregister"]
