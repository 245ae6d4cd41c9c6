"""Networks in the names and layouts of the published ONNX files, small: some that see what a picture was made to say.

In the pictures that they see, red is depth (1 m where it is 0, 5 m at 255) and blue from 0.8 on is no surface.
"""

from pathlib import Path

import numpy as np
import onnx
from onnx import parser

NEAREST, SPAN = 1.0, 4.0
# Of the lens, in widths of the picture.
FOCAL = 0.9
SCALE, SHIFT = 2.5, 0.7
NORMAL = (0.0, -0.6, -0.8)
DEPTH_ANYTHING = Path("onnx") / "model_fp16.onnx"
MOGE = Path("model.onnx")

_MOGE = """
<ir_version: 9, opset_import: ["" : 17]>
moge (float[batch, 3, height, width] image, int64 num_tokens)
  => (float[batch, height, width, 3] points, float[batch, height, width, 3] normal, float[batch, height, width] mask,
      float[batch] SCALE_NAME)
  <int64 zero = {0}, int64 one = {1}, int64 two = {2}, int64 three = {3}, float half = {0.5}, float limit = {0.8},
   float span = {4.0}, float steep = {-60.0}, float focal = {0.9}, float own = {2.5}, float shift = {0.7},
   float[1] metres = {2.5}, float[3] facing = {0.0, -0.6, -0.8}, int64[1] last = {-1}, int64[1] middle = {1},
   float unit = {1.0}>
{
  size = Shape(image)
  h = Gather(size, two)
  w = Gather(size, three)
  hf = Cast<to = 1>(h)
  wf = Cast<to = 1>(w)
  red = Gather<axis = 1>(image, zero)
  blue = Gather<axis = 1>(image, two)
  stretched = Mul(red, span)
  z = Add(stretched, unit)
  f = Mul(wf, focal)
  ri = Range(zero, h, one)
  ci = Range(zero, w, one)
  rf = Cast<to = 1>(ri)
  cf = Cast<to = 1>(ci)
  halfh = Mul(hf, half)
  halfw = Mul(wf, half)
  rc = Add(rf, half)
  cc = Add(cf, half)
  v0 = Sub(rc, halfh)
  u = Sub(cc, halfw)
  v = Unsqueeze(v0, middle)
  zf0 = Div(z, f)
  zf = Div(zf0, own)
  x = Mul(zf, u)
  y = Mul(zf, v)
  zs = Div(z, own)
  za = Sub(zs, shift)
  x4 = Unsqueeze(x, last)
  y4 = Unsqueeze(y, last)
  z4 = Unsqueeze(za, last)
  points = Concat<axis = -1>(x4, y4, z4)
  pointshape = Shape(points)
  normal = Expand(facing, pointshape)
  over = Sub(blue, limit)
  logit = Mul(over, steep)
  mask = Sigmoid(logit)
  SCALE_NAME = Identity(metres)
}
"""

_DEPTH_ANYTHING = """
<ir_version: 9, opset_import: ["" : 17]>
depth_anything (TYPE[batch, 3, height, width] pixel_values) => (TYPE[batch, height, width] predicted_depth)
  <int64 zero = {0}, float deviation = {0.229}, float mean = {0.485}, float span = {4.0}, float unit = {1.0},
   float gain = {3.0}, float offset = {0.2}>
{
  wide = Cast<to = 1>(pixel_values)
  channel = Gather<axis = 1>(wide, zero)
  scaled = Mul(channel, deviation)
  red = Add(scaled, mean)
  stretched = Mul(red, span)
  z = Add(stretched, unit)
  inverse = Div(unit, z)
  up = Mul(inverse, gain)
  down = Sub(up, offset)
  predicted_depth = Cast<to = KIND>(down)
}
"""


def write(text: str, file: Path) -> Path:
    """A network in the textual form of ONNX as a file."""
    model = parser.parse_model(text)
    onnx.checker.check_model(model, full_check=True)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(model.SerializeToString())
    return file


def write_moge(folder: Path, scale_name: str = "metric_scale") -> Path:
    """Sees metric points that lie on the rays of a lens of FOCAL widths, in units of SCALE metres without SHIFT."""
    return write(_MOGE.replace("SCALE_NAME", scale_name), folder / MOGE)


def write_depth_anything(folder: Path, half: bool = False) -> Path:
    """Sees the inverse depth up to a factor and an offset."""
    text = _DEPTH_ANYTHING.replace("TYPE", "float16" if half else "float").replace(
        "KIND", "10" if half else "1"
    )
    return write(text, folder / DEPTH_ANYTHING)


def picture(depth: np.ndarray, sky: np.ndarray | None = None) -> np.ndarray:
    """(H, W, 3) uint8 of a depth (H, W) between 1 and 5 m and a mask of the sky."""
    red = np.clip((depth - NEAREST) / SPAN, 0, 1)
    blue = np.zeros_like(red) if sky is None else np.where(sky, 1.0, 0.0)
    return np.round(255 * np.stack([red, 0.6 * np.ones_like(red), blue], -1)).astype(np.uint8)
