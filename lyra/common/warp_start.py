"""Warp's initialisation: its kernel cache, and its warnings on machines without an NVIDIA driver."""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys
import tempfile
from collections.abc import Iterator

import warp as wp

from lyra.common.folders import cache_folder, has_cache_folder

CACHE_VARIABLE = "WARP_CACHE_PATH"
_DRIVERS = {"win32": ("nvcuda.dll",), "linux": ("libcuda.so", "libcuda.so.1")}
_NO_DRIVER = "Warp CUDA warning: Could not find or load the NVIDIA CUDA driver"
_kept: list[str] = []


def prepare() -> None:
    """Settings of Warp; to be called before its first launch."""
    # Warp otherwise greets on the first launch and names every module it compiles.
    wp.config.log_level = wp.LOG_WARNING
    chosen = CACHE_VARIABLE in os.environ or wp.config.kernel_cache_dir is not None
    if not chosen and not has_cache_folder("warp"):
        wp.config.kernel_cache_dir = str(cache_folder() / "warp")
    # With a driver it starts when it is needed, which takes longer there.
    if not _has_driver():
        with _warning_kept():
            wp.init()


def driver_warning() -> str:
    """What Warp said at its start of a missing driver: for users who ask for a GPU. Otherwise empty."""
    return " ".join(_kept)


def _has_driver() -> bool:
    for library in _DRIVERS.get(sys.platform, ()):
        with contextlib.suppress(OSError):
            ctypes.CDLL(library)
            return True
    return False


@contextlib.contextmanager
def _warning_kept() -> Iterator[None]:
    """Takes the warning out of what is written to stderr in the block, beneath Python; all else is passed on."""
    try:
        sys.stderr.flush()
        real = os.dup(2)
    except (AttributeError, OSError, ValueError):
        # A process without one.
        yield
        return
    with tempfile.TemporaryFile() as written:
        os.dup2(written.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(real, 2)
            os.close(real)
            written.seek(0)
            for line in written.read().decode(errors="replace").splitlines(keepends=True):
                if line.startswith(_NO_DRIVER):
                    _kept.append(line.strip())
                else:
                    sys.stderr.write(line)
