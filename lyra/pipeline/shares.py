"""Shares of the progress that the steps of the pipeline take, on the command line and in the service alike.

A share is where a step ends, from 0 to 1; the next one begins there.
"""

from __future__ import annotations

# A new world: the image is read, its depth estimated, the folder written.
IMAGE_END, DEPTH_END = 0.1, 0.9

# A run that extends a world: its frames, then splats and mesh.
FRAMES_END = 0.7
# A run that makes the world as well: this much goes before.
WORLD_END = 0.05

# Frames: the chunks, then the walkthrough. A chunk: its frames, then what is saved of it.
CHUNKS_END = 0.95
CHUNK_FRAMES_END = 0.95

# Splats and mesh: building the splats, rendering them for their figures, fusing the mesh, writing the files.
SPLATS_END, CHECK_END, MESH_END = 0.5, 0.6, 0.95

# Weights: fetching, then the conversion of the network.
DOWNLOAD_END = 0.8
