"""Lyra Worlds: one image and a camera path in, a world out."""

import os

# Before NumPy is loaded: after every small matrix OpenBLAS would keep all cores spinning that the kernels need.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from lyra import version

__version__ = version.VERSION
