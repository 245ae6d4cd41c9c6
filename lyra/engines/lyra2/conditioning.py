"""What the network is told about a chunk besides its text: history, warped newest frame, rays, correspondences.

Published in Lyra 2.0. Everything is computed in float32 and rounded to the network's type once, at the end, which for
the product is bfloat16: the network was trained on rounded coordinates.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from lyra.engines.lyra2.correspondence import history_correspondences, warped_correspondences, with_sky_wall
from lyra.engines.lyra2.framepack import FramePackLayout
from lyra.engines.lyra2.history import LATENT_FRAMES, History, Vae, padded_retrieval
from lyra.geometry.rays import PATCH, camera_rays, space_to_depth
from lyra.geometry.warp import SplatSettings, splat, splat_source
from lyra.memory import GeometryCache, GreedyCoverage

# The published splat: rays through integer pixels, 16 targets share the depth that weights refer to.
PUBLISHED_SPLAT = SplatSettings(pixel_offset=0.0, batch=16)
MASK_CHANNELS = 4
RAY_CHANNELS = 6 * PATCH * PATCH


@dataclass(frozen=True)
class Cameras:
    """The cameras of all frames from 0 on: `w2c` (F, 4, 4), `intrinsics` (F, 3, 3), float64."""

    w2c: np.ndarray
    intrinsics: np.ndarray

    def __len__(self) -> int:
        return len(self.w2c)

    def followed_by(self, w2c: np.ndarray, intrinsics: np.ndarray) -> Cameras:
        return Cameras(np.concatenate([self.w2c, w2c]), np.concatenate([self.intrinsics, intrinsics]))


@dataclass(frozen=True)
class Conditioning:
    """One chunk's conditioning, of one device and type; h, w are H/8, W/8.

    `history` (1, 16, history slots, h, w); `condition` (1, 20, slots, h, w): 4 channels of mask, 16 of latents; `rays`
    (1, 384, slots, h, w); `correspondence` (1, 256 * spatial slots, slots, h, w). `retrieved`: ids, best last.
    """

    history: torch.Tensor
    condition: torch.Tensor
    rays: torch.Tensor
    correspondence: torch.Tensor
    retrieved: tuple[int, ...]


class Conditioner:
    """Builds the conditioning of chunks on `device` in `dtype`.

    `retrieval_views`: how many target cameras decide which frames are retrieved; the published one is the last.
    """

    def __init__(
        self,
        layout: FramePackLayout,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
        retrieval_views: int = 1,
    ):
        self.layout = layout
        self.device, self.dtype = torch.device(device), dtype
        self.retrieval_views = retrieval_views
        self._own: dict[tuple[int, int], torch.Tensor] = {}

    def build(self, history: History, memory: GeometryCache, cameras: Cameras, vae: Vae) -> Conditioning:
        """The conditioning of the frames that follow `history`, whose `cameras` reach to the end of the chunk.

        The newest frame of the history must be remembered in `memory`, with the depth from which it is warped.
        """
        known = history.frames
        retrieved = self.retrieve(memory, cameras, known)
        padded = padded_retrieval(retrieved, len(self.layout.spatial_slots))
        latents = history.slot_latents(self.layout, padded).to(self.device, self.dtype)
        warped = self.warped_latents(history, memory, cameras, vae)
        condition = torch.cat([latents, warped.to(latents)], 2)
        mask = torch.ones_like(condition[:, :MASK_CHANNELS])
        generated = range(known + LATENT_FRAMES - 1, len(cameras), LATENT_FRAMES)
        frames = [*history.slot_frames(self.layout, padded), *generated]
        return Conditioning(
            latents,
            torch.cat([mask, condition], 1),
            self.rays(cameras, frames, known - 1, memory.height, memory.width),
            self.correspondence(memory, cameras, known, retrieved),
            tuple(retrieved),
        )

    def retrieve(self, memory: GeometryCache, cameras: Cameras, known: int) -> list[int]:
        """Ids of the frames to show in the spatial slots, best last."""
        new = len(cameras) - known
        offsets = np.linspace(0, new - 1, self.retrieval_views + 1)[1:].astype(int) + known
        return memory.retrieve(
            cameras.w2c[offsets],
            cameras.intrinsics[offsets],
            len(self.layout.spatial_slots),
            GreedyCoverage(),
        )

    def warped_latents(
        self, history: History, memory: GeometryCache, cameras: Cameras, vae: Vae
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
        targets = slice(history.frames, None)
        views = splat(source, cameras.w2c[targets], cameras.intrinsics[targets], PUBLISHED_SPLAT).values
        video = views.to(history.newest.dtype).permute(3, 0, 1, 2)[None]
        # The first latent of a video stands for one frame, the others for four: it gets a copy and is dropped.
        return vae.encode(torch.cat([video[:, :, :1], video], 2))[0][:, :, 1:]

    def rays(
        self, cameras: Cameras, frames: list[int], reference: int, height: int, width: int
    ) -> torch.Tensor:
        """Camera rays (1, 384, len(frames), h, w) of `frames` in the coordinates of the frame `reference`."""
        c2w = cameras.w2c[reference] @ np.linalg.inv(cameras.w2c[frames])
        like = torch.as_tensor(c2w, dtype=torch.float32, device=self.device)
        rays = space_to_depth(camera_rays(like, cameras.intrinsics[frames], height, width))
        return rays.to(self.dtype).permute(1, 0, 2, 3)[None]

    def correspondence(
        self, memory: GeometryCache, cameras: Cameras, known: int, retrieved: list[int]
    ) -> torch.Tensor:
        """Correspondence buffer (1, channels, slots, h, w); zero in temporal slots, which have none."""
        slots = len(self.layout.spatial_slots)
        generated = warped_correspondences(
            memory,
            retrieved,
            cameras.w2c[known:],
            cameras.intrinsics[known:],
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
