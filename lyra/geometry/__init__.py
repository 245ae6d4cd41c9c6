"""Cameras, views, projection, rays, forward warping and rasterization; conventions in docs/conventions.md."""

from lyra.common.warp_start import prepare

prepare()
