"""Cameras, views, projection, rays, forward warping and rasterization; conventions in docs/conventions.md."""

import warp as wp

# Warp otherwise prints a banner on the first launch and a line for every module it compiles.
wp.config.log_level = wp.LOG_WARNING
