"""The local service between Blender and the engine: HTTP in front, one worker process behind, no model code."""

API_VERSION = 1
