"""How the latents of the causal VAE stand to the frames that they are of."""

# A latent is of four frames, but for the very first, which is of one; its camera is that of the last of them.
FRAMES_PER_LATENT = 4
PIXELS_PER_LATENT = 8
LATENT_CHANNELS = 16
