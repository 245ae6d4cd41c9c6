"""A service with one small world in it, for scripts that run inside Blender without the real one."""

import json
import struct
import threading
import zlib
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO

import numpy as np
from PIL import Image, ImageOps

from tests.blender.greeting import greeting, is_greeting

WIDTH, HEIGHT = 32, 16
INTRINSICS = [[40.0, 0, WIDTH / 2], [0, 40.0, HEIGHT / 2], [0, 0, 1]]
SPLAT_FIELDS = ("x", "y", "z", "f_dc_0", "f_dc_1", "f_dc_2", "opacity", "scale_0", "scale_1", "scale_2")
SPLAT_FIELDS += ("rot_0", "rot_1", "rot_2", "rot_3")


def _ply(*elements) -> bytes:
    """A file of (name, records, lines that declare its properties)."""
    head = ["ply", "format binary_little_endian 1.0"]
    for name, records, properties in elements:
        head += [f"element {name} {len(records)}", *(f"property {line}" for line in properties)]
    return "\n".join([*head, "end_header", ""]).encode() + b"".join(part[1].tobytes() for part in elements)


def _floats(name: str, fields: tuple[str, ...], values: np.ndarray) -> tuple:
    return name, values.astype("<f4"), [f"float {field}" for field in fields]


def _png() -> bytes:
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = (b"\0" + b"\x80" * 3 * WIDTH) * HEIGHT
    head = struct.pack(">IIBBBBB", WIDTH, HEIGHT, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", head)
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )


def _seed_points() -> bytes:
    points = np.zeros(60, [("place", "<f4", 3), ("color", "u1", 3)])
    points["place"] = np.random.default_rng(0).uniform([-1, -1, 4], [1, 1, 6], (60, 3))
    lines = [f"float {axis}" for axis in "xyz"] + [f"uchar {name}" for name in ("red", "green", "blue")]
    return _ply(("vertex", points, lines))


def _mesh(faces: int) -> bytes:
    """A fan of triangles."""
    vertices = np.zeros(faces + 2, [("place", "<f4", 3), ("color", "u1", 3)])
    turn = np.linspace(0, 3, faces + 1)
    vertices["place"][1:] = np.stack([np.cos(turn), np.sin(turn), np.full_like(turn, 5)], 1)
    lines = [f"float {axis}" for axis in "xyz"] + [f"uchar {name}" for name in ("red", "green", "blue")]
    triangles = np.zeros(faces, [("count", "u1"), ("corners", "<i4", 3)])
    triangles["count"] = 3
    triangles["corners"] = np.stack([np.zeros(faces), np.arange(faces) + 1, np.arange(faces) + 2], 1)
    return _ply(("vertex", vertices, lines), ("face", triangles, ["list uchar int vertex_indices"]))


def _cameras(chunks: int, zooms: bool) -> tuple[np.ndarray, np.ndarray]:
    """w2c and intrinsics of cameras along z; the lens of those that zoom grows longer within each chunk."""
    w2c = np.tile(np.eye(4), (1 + 80 * chunks, 1, 1))
    w2c[:, 2, 3] = -0.01 * np.arange(len(w2c))
    intrinsics = np.tile(INTRINSICS, (len(w2c), 1, 1))
    if zooms:
        intrinsics[1:, 0, 0] = intrinsics[1:, 1, 1] = np.tile(np.linspace(40, 60, 80), chunks)
    return w2c, intrinsics


def _trajectory(w2c: np.ndarray, intrinsics: np.ndarray) -> bytes:
    file = BytesIO()
    np.savez(file, w2c=w2c, intrinsics=intrinsics, image_height=np.int64(HEIGHT), image_width=np.int64(WIDTH))
    return file.getvalue()


class Service:
    """World w1 with some chunks of 80 frames, and what was asked for. `make` grows it and takes chunks off it.

    One that `is_earlier` gives the cameras of each chunk, but not those of the world.
    """

    token = "token"

    def __init__(self):
        self.body = b""
        self.requests: list[str] = []
        self.jobs: list[dict] = []
        self.there = True
        self.is_earlier = False
        self.make(1)

    def make(self, chunks: int, zooms: bool = False, sky: float | None = None) -> None:
        splats = np.random.default_rng(chunks).uniform(-1, 1, (50 * chunks, len(SPLAT_FIELDS)))
        if sky is not None:
            splats[0, :3] = 0, 0, sky
        self.files = {"seed_points.ply": _seed_points(), "seed.png": _png()}
        cameras = _cameras(chunks, zooms)
        self.trajectory = _trajectory(*cameras)
        for k in range(chunks):
            part = (each[1 + 80 * k : 81 + 80 * k] for each in cameras)
            self.files[f"chunks/{k + 1:04d}/trajectory.npz"] = _trajectory(*part)
        if chunks:
            self.files["results/splats.ply"] = _ply(_floats("vertex", SPLAT_FIELDS, splats))
            self.files["results/mesh.ply"] = _mesh(4 * chunks)
            self.files["walkthrough.mp4"] = b"video" * chunks
        self.world = {
            "id": "w1", "name": "yard", "engine": "preview", "created": "2026-01-02T03:04:05", "width": WIDTH,
            "height": HEIGHT, "frames": 1 + 80 * chunks, "state": "ready", "intrinsics": INTRINSICS,
            "last_w2c": np.eye(4).tolist(), "scale": 2.0, "seed": 0, "depth_source": "file", "license": "Mine.",
            "notes": [], "folder": "/nowhere", "results": None,
            "chunks": [{"index": k + 1, "prompt": "", "seed": 0, "seconds": 1.5} for k in range(chunks)],
            "files": [{"path": name, "size": len(data)} for name, data in self.files.items()],
        }  # fmt: skip

    def answer(self, method: str, path: str) -> tuple[int, object]:
        self.requests.append(f"{method} {path}")
        if is_greeting(path):
            return 200, greeting(path, self.token)
        path = path.removeprefix("/v1")
        if path == "/health":
            return 200, {"api": 1, "version": "0", "pid": 1, "owner": "user", "device": "cpu"}
        if path == "/pictures/measure":
            with Image.open(BytesIO(self.body.partition(b"\r\n\r\n")[2])) as image:
                width, height = ImageOps.exif_transpose(image).size
            return 200, {"width": width, "height": height}
        if path == "/engines":
            return 200, []
        if path == "/worlds":
            waiting = self.world | {"id": "w2", "name": "waiting", "state": "seeding", "intrinsics": None}
            return 200, [waiting, self.world] if self.there else [waiting]
        if path.startswith("/worlds/w1/files/"):
            return 200, self.files[path.removeprefix("/worlds/w1/files/")]
        if path == "/worlds/w1/trajectory" and not self.is_earlier:
            return 200, self.trajectory
        if path == "/worlds/w1" and method == "DELETE":
            self.there = False
            return 200, {}
        if path == "/worlds/w1":
            return 200, self.world
        if path.startswith("/jobs?"):
            return 200, [job for job in self.jobs if job["state"] == "running"]
        if path.startswith("/jobs/"):
            return 200, next(job for job in self.jobs if job["id"] == path.removeprefix("/jobs/"))
        return 404, {"detail": f"There is no {path}."}

    def begin(self) -> dict:
        """A job of the world that is under way."""
        job = {
            "id": f"j{len(self.jobs)}", "world_id": "w1", "kind": "extend", "state": "running", "stage": "frames",
            "progress": 0.5, "eta_seconds": 9, "message": "", "error": None, "notes": [], "sequence": 1,
            "preview": False,
        }  # fmt: skip
        self.jobs.append(job)
        return job


def serve(service: Service) -> int:
    """Serves it on a thread; returns the port."""

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_args):
            pass

        def do_GET(self):
            service.body = self.rfile.read(int(self.headers["Content-Length"] or 0))
            status, answer = service.answer(self.command, self.path)
            body = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_POST(self):
            self.do_GET()

        def do_DELETE(self):
            self.do_GET()

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server.server_address[1]
