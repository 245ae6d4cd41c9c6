"""Drawing of Gaussian splats with Blender's gpu module, given view and projection matrix and size.

Each splat is a rectangle around its ellipse on the screen (EWA projection as in 3D Gaussian Splatting, Kerbl et al.
2023), blended from back to front. The splats lie in one texture on the GPU; only their order, another texture,
changes with the view. Colours are those of the constant coefficient; higher harmonics are ignored.
"""

from __future__ import annotations

import gpu
import numpy as np
from gpu_extras.batch import batch_for_shader

from ..camera.conversion import SH_C0
from ..importers.splats import Cloud

TEXELS = 3
ROW = 1023  # texels in a row of the splat texture, a multiple of TEXELS
ORDER_ROW = 1024
REACH = 2.8
# Cosine between old and new view direction, and motion in parts of the distance, that ask for another order.
TURNED, MOVED = 0.9995, 0.02

_DEFINES = (
    f"#define TEXELS {TEXELS}\n#define ROW {ROW}\n#define ORDER_ROW {ORDER_ROW}\n#define REACH {REACH}\n"
)
_STRUCT = """
struct Parameters {
  mat4 view;        /* from the splats' own space to the camera's */
  mat4 projection;
  vec4 focal;       /* x, y in pixels, 1 for perspective or 0, 1 to write light or 0 for screen values */
  vec4 screen;      /* tangents of the half field of view with a margin, width, height */
};
"""
_VERTEX = """
vec4 texel(int splat, int part) {
  int at = splat * TEXELS + part;
  return texelFetch(splats, ivec2(at % ROW, at / ROW), 0);
}

void main() {
  int splat = int(texelFetch(order, ivec2(gl_InstanceID % ORDER_ROW, gl_InstanceID / ORDER_ROW), 0).r);
  vec4 a = texel(splat, 0);
  vec4 b = texel(splat, 1);
  vec4 c = texel(splat, 2);
  vec3 center = (parameters.view * vec4(a.xyz, 1.0)).xyz;
  mat3 turn = mat3(parameters.view);
  mat3 covariance = turn * mat3(b.x, b.y, b.z, b.y, b.w, c.x, b.z, c.x, c.y) * transpose(turn);

  vec2 focal = parameters.focal.xy;
  float perspective = parameters.focal.z;
  float depth = perspective > 0.5 ? max(-center.z, 1e-6) : 1.0;
  /* Beyond the screen's edge the linear projection of a splat overshoots: it is held there. */
  vec2 offset = clamp(center.xy / depth, -parameters.screen.xy, parameters.screen.xy);
  /* How pixels change with a position before the camera, which looks down -z. */
  vec3 along_x = focal.x / depth * vec3(1.0, 0.0, perspective * offset.x);
  vec3 along_y = focal.y / depth * vec3(0.0, 1.0, perspective * offset.y);
  float xx = dot(along_x, covariance * along_x) + 0.3;
  float xy = dot(along_x, covariance * along_y);
  float yy = dot(along_y, covariance * along_y) + 0.3;

  float middle = 0.5 * (xx + yy);
  float spread = length(vec2(0.5 * (xx - yy), xy));
  vec2 axis = spread > 1e-6 ? vec2(0.5 * (xx - yy) + spread, xy) : vec2(1.0, 0.0);
  axis = dot(axis, axis) > 1e-12 ? normalize(axis) : vec2(0.0, 1.0);
  vec2 reach = min(REACH * sqrt(vec2(middle + spread, max(middle - spread, 0.1))), vec2(1024.0));

  vec4 clip = parameters.projection * vec4(center, 1.0);
  vec2 pixels = axis * corner.x * reach.x + vec2(-axis.y, axis.x) * corner.y * reach.y;
  clip.xy += pixels * 2.0 / parameters.screen.zw * clip.w;
  /* The sky is shown however near the viewport's far plane is. */
  clip.z = min(clip.z, 0.99999 * clip.w);
  bool behind = perspective > 0.5 && center.z > -1e-4;
  gl_Position = behind ? vec4(0.0, 0.0, 2.0, 1.0) : clip;
  place = corner * REACH;
  int bits = int(c.z);
  color = vec4(bits & 255, (bits >> 8) & 255, (bits >> 16) & 255, 0) / 255.0;
  color.a = a.w;
}
"""
_FRAGMENT = """
void main() {
  float squared = dot(place, place);
  float alpha = color.a * exp(-0.5 * squared);
  if (squared > REACH * REACH || alpha < 1.0 / 255.0) {
    discard;
  }
  bvec3 dark = lessThanEqual(color.rgb, vec3(0.04045));
  vec3 light = mix(pow((color.rgb + 0.055) / 1.055, vec3(2.4)), color.rgb / 12.92, dark);
  result = vec4(mix(color.rgb, light, parameters.focal.w) * alpha, alpha);
}
"""
_shader: gpu.types.GPUShader | None = None


def _compiled() -> gpu.types.GPUShader:
    """The shader, compiled when the first splat is drawn: in the background there may be no GPU at all."""
    global _shader
    if _shader is None:
        between = gpu.types.GPUStageInterfaceInfo("lyra_splat")
        between.smooth("VEC2", "place")
        between.flat("VEC4", "color")
        info = gpu.types.GPUShaderCreateInfo()
        info.typedef_source(_DEFINES + _STRUCT)
        info.uniform_buf(0, "Parameters", "parameters")
        info.sampler(0, "FLOAT_2D", "splats")
        info.sampler(1, "FLOAT_2D", "order")
        info.vertex_in(0, "VEC2", "corner")
        info.vertex_out(between)
        info.fragment_out(0, "VEC4", "result")
        info.vertex_source(_VERTEX)
        info.fragment_source(_FRAGMENT)
        _shader = gpu.shader.create_from_info(info)
    return _shader


def stride(count: int, limit: int) -> int:
    """Of so many splats, every how manieth is drawn so that they are at most `limit`."""
    return max(1, -(-count // limit))


def drawn_count(count: int, limit: int) -> int:
    """How many of so many splats are drawn."""
    return -(-count // stride(count, limit))


class SplatDrawing:
    """The splats of one object on the GPU. `limit` is the most that are drawn: more are thinned out evenly.
    `total` is how many it has."""

    def __init__(self, cloud: Cloud, limit: int):
        self.total = len(cloud)
        step = stride(len(cloud), limit)
        self._position = np.ascontiguousarray(cloud.position[::step])
        packed = _pack(
            Cloud(
                self._position,
                cloud.scale[::step] * step**0.5,
                cloud.rotation[::step],
                cloud.base[::step],
                cloud.sh,
            )
        )
        self._splats = _texture(packed.reshape(-1, 4), ROW, "RGBA32F")
        shader = _compiled()
        corners = [(-1, -1), (1, -1), (-1, 1), (1, 1)]
        self._batch = batch_for_shader(shader, "TRI_STRIP", {"corner": corners})
        self._order: gpu.types.GPUTexture | None = None
        self._sorted_from = np.zeros(4)

    def __len__(self) -> int:
        return len(self._position)

    def draw(self, view: np.ndarray, projection: np.ndarray, width: int, height: int, linear: bool) -> None:
        """Blends the splats into the bound framebuffer; `view` (4, 4) leads from their space to the camera's.

        `linear` framebuffers take light and turn it into screen values themselves.
        """
        self._sort(view)
        shader = _compiled()
        shader.bind()
        # The buffer must outlive the draw call.
        parameters = _parameters(view, projection, width, height, linear)
        shader.uniform_block("parameters", parameters)
        shader.uniform_sampler("splats", self._splats)
        shader.uniform_sampler("order", self._order)
        gpu.state.blend_set("ALPHA_PREMULT")
        gpu.state.depth_mask_set(False)
        gpu.state.depth_test_set("LESS_EQUAL")
        self._batch.draw_instanced(shader, instance_count=len(self))
        gpu.state.depth_test_set("NONE")
        gpu.state.blend_set("NONE")

    def _sort(self, view: np.ndarray) -> None:
        """Orders the splats from far to near, when the view has changed enough to matter."""
        toward = view[2] / max(np.linalg.norm(view[2, :3]), 1e-12)
        same_way = toward[:3] @ self._sorted_from[:3] > TURNED
        if self._order and same_way and abs(toward[3] - self._sorted_from[3]) < MOVED * (1 + abs(toward[3])):
            return
        self._sorted_from = toward
        depth = self._position @ toward[:3].astype(np.float32)
        low, high = float(depth.min()), float(depth.max())
        # 16 bits let numpy sort by radix, about ten times faster than by comparison.
        bins = ((depth - low) * (65535 / max(high - low, 1e-12))).astype(np.uint16)
        order = np.argsort(bins, kind="stable").astype(np.float32)
        self._order = _texture(order[:, None], ORDER_ROW, "R32F")


def _pack(cloud: Cloud) -> np.ndarray:
    """(M, 12) float32: position and opacity, the six numbers of the covariance, the colour as 24 bits, nothing."""
    w, x, y, z = cloud.rotation.T
    axes = np.stack(
        [
            np.stack([1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)], 1),
            np.stack([2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)], 1),
            np.stack([2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)], 1),
        ],
        1,
    )
    stretched = axes * cloud.scale[:, None, :]
    covariance = stretched @ stretched.transpose(0, 2, 1)
    color = np.clip((0.5 + SH_C0 * cloud.base[:, :3]) * 255 + 0.5, 0, 255).astype(np.int64)
    packed = np.zeros((len(cloud), 12), np.float32)
    packed[:, :3] = cloud.position
    packed[:, 3] = cloud.base[:, 3]
    packed[:, 4:10] = covariance[:, [0, 0, 0, 1, 1, 2], [0, 1, 2, 1, 2, 2]]
    packed[:, 10] = color @ np.array([1, 1 << 8, 1 << 16])
    return packed


def _texture(values: np.ndarray, row: int, layout: str) -> gpu.types.GPUTexture:
    """Rows of texels (M, channels) in a texture of `row` texels a row."""
    rows = -(-len(values) // row)
    padded = np.zeros((rows * row, values.shape[1]), np.float32)
    padded[: len(values)] = values
    buffer = gpu.types.Buffer("FLOAT", padded.size, padded.ravel())
    return gpu.types.GPUTexture((row, rows), format=layout, data=buffer)


def _parameters(
    view: np.ndarray, projection: np.ndarray, width: int, height: int, linear: bool
) -> gpu.types.GPUUniformBuf:
    focal = abs(projection[0, 0]) * width / 2, abs(projection[1, 1]) * height / 2
    perspective = float(projection[3, 3] == 0)
    limits = 1.3 / abs(projection[0, 0]), 1.3 / abs(projection[1, 1])
    tail = [*focal, perspective, float(linear), *limits, width, height]
    data = np.concatenate([view.T.ravel(), projection.T.ravel(), tail]).astype(np.float32)
    return gpu.types.GPUUniformBuf(gpu.types.Buffer("FLOAT", data.size, data))
