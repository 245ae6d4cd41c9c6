"""Starts real backend processes for the tests and talks to them."""

import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx
import numpy as np
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
ENDED = ("cancelled", "failed", "interrupted", "done")
FORWARD = 0.002


class Service:
    """One backend process over a folder; `client` carries its token."""

    def __init__(self, folder: Path, module: str = "backend", *options: str):
        self.folder = folder
        self.state_file = folder / "backend.json"
        self.worlds = folder / "worlds"
        self.log_file = folder / "backend.log"
        self._command = [
            *(sys.executable, "-m", module),
            *("--state-file", str(self.state_file)),
            *("--worlds", str(self.worlds), "--log", str(self.log_file)),
            *("--device", "cpu"),
            *options,
        ]
        self.process = None
        self.client = None

    def start(self) -> "Service":
        self.process = subprocess.Popen(
            self._command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        deadline = time.monotonic() + 60
        while self.state is None or self.state["pid"] != self.process.pid:
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"no backend: {self.process.communicate(timeout=1)}")
            time.sleep(0.05)
        headers = {"Authorization": f"Bearer {self.state['token']}"}
        self.client = httpx.Client(base_url=self.url, headers=headers, timeout=60)
        return self

    @property
    def state(self) -> dict | None:
        return json.loads(self.state_file.read_text()) if self.state_file.exists() else None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.state['port']}"

    def stop(self) -> int:
        """Asks it to end; returns the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        self.client.close()
        self.process.communicate(timeout=30)
        return self.process.returncode

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate(timeout=30)
        self.client.close()

    def worker_pid(self) -> int:
        """The pid of the worker that was started last, from the log."""
        starts = [line["pid"] for line in self.log() if line["logger"] == "backend.worker" and "pid" in line]
        return starts[-1]

    def log(self) -> list[dict]:
        return [json.loads(line) for line in self.log_file.read_text().splitlines()]

    def new_world(self, settings: dict | None = None, image: bytes | None = None, **files) -> dict:
        """A finished tiny world."""
        answer = self.post_world(settings, image, **files)
        assert answer.status_code == 202, answer.text
        made = answer.json()
        job = self.wait(made["job"]["id"])
        assert job["state"] == "done", job
        return self.client.get(f"/v1/worlds/{made['world']['id']}").json()

    def post_world(self, settings: dict | None = None, image: bytes | None = None, **files) -> httpx.Response:
        settings = {"size": [208, 112], **(settings or {})}
        files = {"image": ("a picture.png", picture() if image is None else image), **files}
        return self.client.post("/v1/worlds", files=files, data={"settings": json.dumps(settings)})

    def extend(self, world_id: str, body: dict | None = None, **changes) -> httpx.Response:
        body = {"trajectory": straight_path(), "reconstruct": False, **(body or {}), **changes}
        return self.client.post(f"/v1/worlds/{world_id}/chunks", json=body)

    def job(self, job_id: str) -> dict:
        answer = self.client.get(f"/v1/jobs/{job_id}")
        assert answer.status_code == 200, answer.text
        return answer.json()

    def wait(self, job_id: str, states: tuple = ENDED, seconds: float = 60) -> dict:
        return self.until(lambda: (job := self.job(job_id))["state"] in states and job, seconds)

    def until(self, condition, seconds: float = 30):
        """The first true value of `condition()`."""
        deadline = time.monotonic() + seconds
        while not (value := condition()):
            assert time.monotonic() < deadline, "waited in vain"
            time.sleep(0.03)
        return value


def picture(width: int = 208, height: int = 112, kind: str = "PNG") -> bytes:
    """A small picture with texture."""
    rng = np.random.default_rng(1)
    pixels = rng.integers(0, 255, (8, 8, 3), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).resize((width, height)).save(buffer, kind)
    return buffer.getvalue()


def straight_path(frames: int = 81) -> dict:
    """A path straight ahead, as the API takes it."""
    w2c = np.tile(np.eye(4), (frames, 1, 1))
    w2c[:, 2, 3] = -FORWARD * np.arange(frames)
    k = [[190.0, 0, 104], [0, 190.0, 56], [0, 0, 1]]
    return {"w2c": w2c.tolist(), "intrinsics": [k] * frames, "image_height": 112, "image_width": 208}


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return "(zombie)" not in Path(f"/proc/{pid}/status").read_text()


def detail(answer, status=400):
    """The refusal's text, which is one line."""
    assert answer.status_code == status, answer.text
    text = answer.json()["detail"]
    assert text and "\n" not in text
    return text
