"""Meshes: fuse, clean, colour, simplify, write."""

from lyra.formats.mesh_files import save_glb, save_ply
from lyra.mesh.fuse import MeshSettings, NoSurfaceError, fuse
from lyra.mesh.surface import Mesh

__all__ = ["Mesh", "MeshSettings", "NoSurfaceError", "fuse", "save_glb", "save_ply"]
