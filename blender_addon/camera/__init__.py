"""Cameras and camera paths: axes and intrinsics, sampling, path presets, a depth rasterizer."""
