"""The local service between Blender and the engine: HTTP in front, one worker process behind, no model code."""

API_VERSION = 1
SERVICE = "lyra-worlds"  # what `GET /v1/hello` calls itself
