"""The Lyra 2.0 engine: the published 14-billion-parameter model. Needs torch, diffusers and transformers."""
