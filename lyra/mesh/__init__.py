"""Meshes: fuse, clean, colour, simplify."""

from lyra.mesh.fuse import MeshSettings, NoSurfaceError, fuse

__all__ = ["MeshSettings", "NoSurfaceError", "fuse"]
