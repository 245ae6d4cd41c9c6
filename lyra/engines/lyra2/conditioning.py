"""Conditioning of a chunk besides its text: history, warped newest frame, rays, correspondences.

Published in Lyra 2.0. Everything is computed in float32 and rounded to the network's type once, at the end, which for
the product is bfloat16: the network was trained on rounded coordinates.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from lyra.engines.lyra2.correspondence import history_correspondences, warped_correspondences, with_sky_wall
from lyra.engines.lyra2.framepack import FramePackLayout
from lyra.engines.lyra2.history import History, Vae, padded_retrieval
from lyra.engines.lyra2.latents import FRAMES_PER_LATENT
from lyra.geometry.cameras import Trajectory
from lyra.geometry.rays import PATCH, camera_rays, space_to_depth
from lyra.geometry.warp import WarpSettings, splat, splat_source
from lyra.memory import GeometryCache

# The published splat: rays through integer pixels, 16 targets share the depth that weights refer to.
PUBLISHED_SPLAT = WarpSettings(pixel_offset=0.0, batch=16)
MASK_CHANNELS = 4
RAY_CHANNELS = 6 * PATCH * PATCH


@dataclass(frozen=True)
class Conditioning:
    """One chunk's conditioning, of one device and type; h, w are H/8, W/8.

    `history` (1, 16, history slots, h, w); `condition` (1, 20, slots, h, w): 4 channels of mask, 16 of latents; `rays`
    (1, 384, slots, h, w); `correspondence` (1, 256 * spatial slots, slots, h, w).
    """

    history: torch.Tensor
    condition: torch.Tensor
    rays: torch.Tensor
    correspondence: torch.Tensor


class Conditioner:
    """Builds the conditioning of chunks on `device` in `dtype`."""

    def __init__(
        self,
        layout: FramePackLayout,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
    ):
        self.layout = layout
        self.device, self.dtype = torch.device(device), dtype
        self._own: dict[tuple[int, int], torch.Tensor] = {}

    def build(
        self, history: History, memory: GeometryCache, path: Trajectory, retrieved: list[int], vae: Vae
    ) -> Conditioning:
        """The conditioning of the frames that follow `history`; `path` reaches to the end of the chunk.

        `retrieved` are ids of remembered frames, best last. The newest frame of the history must be remembered in
        `memory`, with the depth from which it is warped.
        """
        known = history.frames
        padded = padded_retrieval(retrieved, len(self.layout.spatial_slots))
        latents = history.slot_latents(self.layout, padded).to(self.device, self.dtype)
        warped = self.warped_latents(history, memory, path, vae)
        condition = torch.cat([latents, warped.to(latents)], 2)
        mask = torch.ones_like(condition[:, :MASK_CHANNELS])
        generated = range(known + FRAMES_PER_LATENT - 1, len(path), FRAMES_PER_LATENT)
        frames = [*history.slot_frames(self.layout, padded), *generated]
        return Conditioning(
            latents,
            torch.cat([mask, condition], 1),
            self.rays(path, frames, known - 1),
            self.correspondence(memory, path, known, retrieved),
        )

    def warped_latents(
        self, history: History, memory: GeometryCache, path: Trajectory, vae: Vae
    ) -> torch.Tensor:
        """Latents (1, 16, generated, h, w) of the newest frame warped into every new camera."""
        newest = history.frames - 1
        entry = memory[newest]
        # Cameras as float32 tensors, so that torch inverts them as the published code does: see arrays.inverse.
        depth, w2c, intrinsics = (
            torch.as_tensor(array).to(self.device, torch.float32)[None, None]
            for array in (with_sky_wall(entry.depth), entry.w2c, entry.intrinsics)
        )
        image = history.newest.to(self.device, torch.float32).permute(0, 2, 3, 1)[None]
        source = splat_source(image, depth, w2c, intrinsics, pixel_offset=PUBLISHED_SPLAT.pixel_offset)
        targets = path[history.frames :]
        views = splat(source, targets.w2c, targets.intrinsics, PUBLISHED_SPLAT).values
        video = views.to(history.newest.dtype).permute(3, 0, 1, 2)[None]
        # The first latent of a video stands for one frame, the others for four: it gets a copy and is dropped.
        return vae.encode(torch.cat([video[:, :, :1], video], 2))[0][:, :, 1:]

    def rays(self, path: Trajectory, frames: list[int], reference: int) -> torch.Tensor:
        """Camera rays (1, 384, len(frames), h, w) of `frames` in the coordinates of the frame `reference`."""
        cameras = path[frames]
        c2w = torch.as_tensor(path.w2c[reference] @ cameras.c2w, dtype=torch.float32, device=self.device)
        rays = space_to_depth(camera_rays(c2w, cameras.intrinsics, path.height, path.width))
        return rays.to(self.dtype).permute(1, 0, 2, 3)[None]

    def correspondence(
        self, memory: GeometryCache, path: Trajectory, known: int, retrieved: list[int]
    ) -> torch.Tensor:
        """Correspondence buffer (1, channels, slots, h, w); zero in temporal slots, which have none."""
        slots = len(self.layout.spatial_slots)
        targets = path[known:]
        generated = warped_correspondences(
            memory,
            retrieved,
            targets.w2c,
            targets.intrinsics,
            PUBLISHED_SPLAT,
            slots,
            like=torch.empty(0, device=self.device),
        )
        channels, h, w = generated.shape[1:]
        buffer = torch.zeros((self.layout.slots, channels, h, w), dtype=self.dtype, device=self.device)
        buffer[list(self.layout.spatial_slots)] = self._own_correspondences(memory.height, memory.width)
        buffer[self.layout.history_slots :] = generated.to(buffer)
        return buffer.permute(1, 0, 2, 3)[None]

    def _own_correspondences(self, height: int, width: int) -> torch.Tensor:
        """What the spatial slots see of themselves, which is the same in every chunk."""
        if (height, width) not in self._own:
            own = history_correspondences(height, width, len(self.layout.spatial_slots))
            self._own = {(height, width): torch.from_numpy(own).to(self.device, self.dtype)}
        return self._own[height, width]
