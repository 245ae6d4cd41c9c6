"""Cameras and camera paths as plain maths: axes, intrinsics, sampling, presets, rasterized depth."""
