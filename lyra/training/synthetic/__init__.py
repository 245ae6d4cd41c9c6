"""Procedural worlds cast by rays: pictures and camera flights with true depth, on the CPU or a GPU."""

from lyra.training.synthetic.flights import MOTIONS, Flight, flight
from lyra.training.synthetic.generate import Samples, generate
from lyra.training.synthetic.layouts import KINDS
from lyra.training.synthetic.scene import Scene

__all__ = ["KINDS", "MOTIONS", "Flight", "Samples", "Scene", "flight", "generate"]
