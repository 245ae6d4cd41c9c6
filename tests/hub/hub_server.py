"""A small server that answers like the Hugging Face hub: listings with digests, files by range, gates."""

from __future__ import annotations

import hashlib
import json
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@dataclass
class HubServer:
    """Serves a folder of `<owner>--<name>` repositories. `gated` repositories want `token`; `cut` files break off."""

    folder: Path
    token: str = "right"
    gated: set[str] = field(default_factory=set)
    cut: dict[str, int] = field(default_factory=dict)
    ignores_ranges: bool = False
    ranges: list[str] = field(default_factory=list)
    commit: str = COMMIT
    gone: set[str] = field(default_factory=set)
    revisions: list[str | None] = field(default_factory=list)

    def __enter__(self) -> HubServer:
        hub = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                hub.answer(self)

            def log_message(self, *arguments):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *error) -> None:
        self.server.shutdown()
        self.server.server_close()

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        path = request.path.split("?")[0].strip("/")
        parts = path.split("/")
        listing = parts[:2] == ["api", "models"]
        repository = "/".join(parts[2:4] if listing else parts[:2])
        if repository in self.gated and request.headers.get("Authorization") != f"Bearer {self.token}":
            return self.send(request, 403, b"{}", {"X-Error-Code": "GatedRepo", "X-Error-Message": "gated"})
        folder = self.folder / repository.replace("/", "--")
        if not folder.is_dir():
            return self.send(request, 404, b"{}", {"X-Error-Code": "RepoNotFound"})
        if listing:
            revision = parts[5] if parts[4:5] == ["revision"] else None
            self.revisions.append(revision)
            if revision in self.gone:
                return self.send(request, 404, b"{}", {"X-Error-Code": "RevisionNotFound"})
            listed = self.listing(repository, folder) | {"sha": revision or self.commit}
            return self.send(request, 200, json.dumps(listed).encode(), {})
        return self.send_file(request, folder, "/".join(parts[4:]))

    @staticmethod
    def listing(repository: str, folder: Path) -> dict:
        siblings = []
        for file in sorted(f for f in folder.rglob("*") if f.is_file() and f.name != "SHA256SUMS"):
            data = file.read_bytes()
            entry = {"rfilename": file.relative_to(folder).as_posix(), "size": len(data)}
            if file.suffix == ".json":
                entry["blobId"] = hashlib.sha1(
                    b"blob %d\0" % len(data) + data, usedforsecurity=False
                ).hexdigest()
            else:
                digest = hashlib.sha256(data).hexdigest()
                entry |= {
                    "blobId": "f" * 40,
                    "lfs": {"size": len(data), "sha256": digest, "pointerSize": 134},
                }
            siblings.append(entry)
        return {"id": repository, "modelId": repository, "sha": COMMIT, "siblings": siblings}

    def send_file(self, request: BaseHTTPRequestHandler, folder: Path, path: str) -> None:
        data = (folder / path).read_bytes()
        start, wanted = 0, request.headers.get("Range")
        if wanted:
            self.ranges.append(f"{path} {wanted}")
            start = 0 if self.ignores_ranges else int(wanted.removeprefix("bytes=").partition("-")[0])
        headers = {"Content-Range": f"bytes {start}-{len(data) - 1}/{len(data)}"} if start else {}
        body = data[start:]
        self.send(request, 206 if start else 200, body, headers, self.cut.pop(path, None))

    @staticmethod
    def send(
        request: BaseHTTPRequestHandler,
        status: int,
        body: bytes,
        headers: dict[str, str],
        cut: int | None = None,
    ) -> None:
        request.send_response(status)
        for name, value in ({"Content-Length": str(len(body))} | headers).items():
            request.send_header(name, value)
        request.end_headers()
        request.wfile.write(body[:cut])
        if cut is not None:
            request.close_connection = True
