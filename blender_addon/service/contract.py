"""Versions, states, names and limits that must be equal in extension and service.

tests/test_contract.py compares them with the service's. The length of a chunk is in `camera.trajectory`, the
spherical-harmonics constant in `camera.conversion`, the splats' attribute names in `importers.splats`. Needs no
Blender.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Range:
    """The limits of a number, and what is taken where nobody chooses."""

    default: float
    min: float
    max: float


API_VERSION = 1
SERVICE = "lyra-worlds"

WORLD_STATES = {"seeding", "ready", "damaged"}
JOB_STATES = {"queued", "running", "cancelling", "cancelled", "failed", "interrupted", "done"}
ACTIVE_STATES = {"queued", "running", "cancelling"}
RESUMABLE_STATES = {"cancelled", "failed", "interrupted"}
# The jobs that the extension tells apart.
BEGIN_JOB, DOWNLOAD_JOB = "seed", "download"

# Files of a world's folder.
SEED_POINTS, SEED_IMAGE = "seed_points.ply", "seed.png"
SPLATS, MESH, WALKTHROUGH = "results/splats.ply", "results/mesh.ply", "walkthrough.mp4"

ENGINE_OPTIONS = {
    "steps": Range(35, 1, 200),
    "guidance": Range(5.0, 1.0, 30.0),
    "styles": Range(0.0, 0.0, 1.0),
}
MEMORY_MODES = ("resident", "fp8", "offload")

DEPTH_MODELS = (
    "auto",
    "builtin",
    "depth-anything-v2",
    "depth-anything-v2-large",
    "depth-anything-3",
    "layout",
    "joined",
    "moge-2",
    "depth-anything-v2-onnx",
)
DEPTH_VALUES = ("metres", "inverse")
DEPTH_SCENES = ("auto", "indoor", "outdoor")

MAX_CHUNKS = 100
MAX_SEED = 2**31 - 1
MAX_NAME = 64
MAX_PROMPT = 10_000
MAX_POSE_SCALE = 1e6
# Sides of a world's frames in pixels.
LANDSCAPE_SIZE = (832, 480)
SIDE_STEP, MIN_SIDE, MAX_SIDE = 16, 64, 1664
