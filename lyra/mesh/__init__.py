"""Meshes from views: TSDF fusion, extraction, cleaning, colouring, simplification."""

from lyra.mesh.fuse import MeshSettings, NoSurfaceError, fuse

__all__ = ["MeshSettings", "NoSurfaceError", "fuse"]
