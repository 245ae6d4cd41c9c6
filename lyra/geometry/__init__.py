"""Cameras, projection, splatting and rays. Axes, pixels and units are those of docs/conventions.md."""

from lyra.common.warp_start import prepare

prepare()
