"""A hub on loopback that serves folders, in the protocol that `huggingface_hub` speaks.

``ROOT/org/name/REVISION/`` holds the files of one commit. It answers as the real one does, with as
much of it as a snapshot of a model needs: the model's commit, its tree, and its files.
"""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

_API = re.compile(r"/api/models/(?P<id>[^/]+/[^/]+)/(?P<what>revision|tree)/(?P<revision>[^/?]+)")
_FILE = re.compile(r"/(?P<id>[^/]+/[^/]+)/resolve/(?P<revision>[^/]+)/(?P<file>[^?]+)")


class Hub(ThreadingHTTPServer):
    """The server.

    Attributes:
        root: the folder that is served.
        gated: the ids whose files nobody may have.
        broken: of a file (``org/name/FILE``), how many more answers break off half-way.
    """

    daemon_threads = True

    def __init__(self, root: Path) -> None:
        super().__init__(("127.0.0.1", 0), _Answer)
        self.root = root
        self.gated: set[str] = set()
        self.broken: dict[str, int] = {}

    @property
    def url(self) -> str:
        """What HF_ENDPOINT has to be."""
        return f"http://127.0.0.1:{self.server_port}"


@contextmanager
def hub(root: Path) -> Iterator[Hub]:
    """A hub that serves ``root`` as long as the block runs."""
    with Hub(root) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def commit(model: str, revision: str) -> str:
    """The commit that ``revision`` of ``model`` (``org/name``) is."""
    return hashlib.sha1(f"{model}@{revision}".encode()).hexdigest()


class _Answer(BaseHTTPRequestHandler):
    server: Hub
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def log_message(self, format: str, *args: Any) -> None:
        """Says nothing."""

    def _answer(self) -> None:
        found = _API.match(self.path) or _FILE.match(self.path)
        if not found or not (self.server.root / found["id"]).is_dir():
            return self._refuse(401, "RepoNotFound")
        revisions = {}
        for folder in (self.server.root / found["id"]).iterdir():
            revisions[folder.name] = revisions[commit(found["id"], folder.name)] = folder
        if found["revision"] not in revisions:
            return self._refuse(404, "RevisionNotFound")
        folder = revisions[found["revision"]]
        sha = commit(found["id"], folder.name)
        if "file" in found.groupdict():
            return self._file(folder / found["file"], found["id"], sha)
        if found["what"] == "tree":
            return self._json([_entry(file) for file in sorted(folder.iterdir())])
        return self._json({"id": found["id"], "sha": sha, "siblings": []})

    def _file(self, file: Path, model: str, sha: str) -> None:
        if model in self.server.gated:
            return self._refuse(403, "GatedRepo")
        if not file.is_file():
            return self._refuse(404, "EntryNotFound")
        body = file.read_bytes()
        asked = re.match(r"bytes=(\d+)-", self.headers.get("Range", ""))
        start = int(asked[1]) if asked else 0
        self.send_response(206 if asked else 200)
        self.send_header("X-Repo-Commit", sha)
        self.send_header("ETag", f'"{_blob(body)}"')
        self.send_header("Content-Length", str(len(body) - start))
        if asked:
            self.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
        self.end_headers()
        if self.command == "HEAD":
            return None
        key = f"{model}/{file.name}"
        if self.server.broken.get(key, 0):
            self.server.broken[key] -= 1
            body = body[: len(body) // 2]
            self.close_connection = True
        self.wfile.write(body[start:])
        return None

    def _json(self, value: Any) -> None:
        body = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _refuse(self, status: int, code: str) -> None:
        self.send_response(status)
        self.send_header("X-Error-Code", code)
        self.send_header("Content-Length", "0")
        self.end_headers()


def _entry(file: Path) -> dict[str, Any]:
    body = file.read_bytes()
    return {"type": "file", "path": file.name, "size": len(body), "oid": _blob(body)}


def _blob(body: bytes) -> str:
    return hashlib.sha1(body).hexdigest()
