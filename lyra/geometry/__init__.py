"""Cameras, projection, splatting and rays. Axes, pixels and units are those of docs/conventions.md."""

import warp as wp

# Warp otherwise greets on the first launch and names every module it compiles.
wp.config.log_level = wp.LOG_WARNING
