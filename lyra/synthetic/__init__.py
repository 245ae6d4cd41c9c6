"""Ray-cast procedural worlds: images and camera flights with true depth, on the CPU or a GPU."""

from lyra.synthetic.flights import MOTIONS, Flight, flight
from lyra.synthetic.generate import HELD_OUT_SEED, Samples, generate
from lyra.synthetic.layouts import KINDS
from lyra.synthetic.scene import Scene

__all__ = ["HELD_OUT_SEED", "KINDS", "MOTIONS", "Flight", "Samples", "Scene", "flight", "generate"]
