"""The newest frame of a job as an icon."""

from __future__ import annotations

from pathlib import Path

import bpy.utils.previews

_previews: bpy.utils.previews.ImagePreviewCollection | None = None
_key = ""


def icon(file: Path) -> int:
    """Icon of an image file, loaded anew when the file has changed; 0 while there is none."""
    global _key
    try:
        key = f"{file}@{file.stat().st_mtime_ns}"
    except FileNotFoundError:
        return 0
    if key != _key:
        _previews.clear()
        # Asking for the size loads the small picture now; otherwise a spinner would flicker at every frame.
        _previews.load(key, str(file), "IMAGE").image_size[:]
        _key = key
    return _previews[key].icon_id


def open_collection() -> None:
    """Called when the extension is registered."""
    global _previews
    _previews = bpy.utils.previews.new()


def close_collection() -> None:
    """Called when the extension is unregistered; frees the icons."""
    global _previews, _key
    bpy.utils.previews.remove(_previews)
    _previews, _key = None, ""
