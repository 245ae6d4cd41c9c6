"""Splats and camera paths, drawn in the 3D viewports."""
