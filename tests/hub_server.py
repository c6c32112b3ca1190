"""A hub on loopback: as much of the protocol as `huggingface_hub` and `pyomni pull` speak, and ways to fail.

with HubServer({"owner/repo": folder}) as hub:
    hub.cut["model.safetensors"] = [1000]      # ends that file's first transfer after 1000 bytes
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import unquote, urlsplit

LFS = ".safetensors"
BLOCK = 1 << 12


class HubServer:
    """Repositories out of folders, at one commit each.

    Attributes
    ----------
    url : what HF_ENDPOINT must be
    store : where large files are, to which the hub redirects
    tokens : (path of the address, Authorization) of every request
    seen : (path in the repository, first byte asked for) of every transfer that began
    cut : for a path, after how many bytes its next transfers end
    statuses : for a path, what its next requests are answered with
    retry_after : seconds to wait, as such an answer says
    swapped : paths whose bytes are other ones than were promised, and how often still
    lost : paths that are listed and not there
    ranges : whether parts of a file can be asked for
    bare : lists names alone, as a simple mirror does
    hold : transfers wait for it when set, once `held` bytes were sent; `holding` says that one does
    """

    def __init__(self, repos: dict[str, Path], commit: str = "c0ffee" + "0" * 34) -> None:
        self.repos, self.commit = repos, commit
        self.seen: list[tuple[str, int]] = []
        self.tokens: list[tuple[str, str | None]] = []
        self.cut: dict[str, list[int]] = {}
        self.statuses: dict[str, list[int]] = {}
        self.swapped: dict[str, int] = {}
        self.lost: set[str] = set()
        self.retry_after = "0"
        self.ranges, self.bare, self.gated = True, False, False
        self.hold: threading.Event | None = None
        self.held, self.holding = 0, threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self.url = self.store = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> HubServer:
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.hold:
            self.hold.set()
        self._server.shutdown()
        self._server.server_close()

    def transfers(self, path: str) -> list[int]:
        """Return the first bytes of a file's transfers."""
        return [start for name, start in self.seen if name == path]

    def listing(self, repo: str) -> dict[str, Any]:
        """Return what the hub says of a repository."""
        folder = self.repos[repo]
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        siblings = [self._sibling(path, path.relative_to(folder).as_posix()) for path in files]
        return {"id": repo, "sha": self.commit, "siblings": siblings}

    def _sibling(self, path: Path, name: str) -> dict[str, Any]:
        if self.bare:
            return {"rfilename": name}
        data = path.read_bytes()
        blob = hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()
        entry: dict[str, Any] = {"rfilename": name, "size": len(data), "blobId": blob}
        if name.endswith(LFS):
            digest = hashlib.sha256(data).hexdigest()
            entry["lfs"] = {"size": len(data), "sha256": digest, "pointerSize": 134}
            entry["blobId"] = "0" * 40
        return entry

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        hub = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
                pass

            def do_GET(self) -> None:
                hub.tokens.append((self.path, self.headers.get("Authorization")))
                parts = [unquote(part) for part in urlsplit(self.path).path.strip("/").split("/")]
                if parts[:2] == ["api", "models"]:
                    self.repository("/".join(parts[2:4]))
                elif parts[0] == "cdn":
                    self.content("/".join(parts[1:3]), "/".join(parts[3:]))
                elif parts[2:3] == ["resolve"]:
                    self.resolve("/".join(parts[:2]), parts[3], "/".join(parts[4:]))
                else:
                    self.fail(404)

            def repository(self, repo: str) -> None:
                if hub.statuses.get(""):
                    self.fail(hub.statuses[""].pop(0))
                elif hub.gated:
                    self.fail(403, "GatedRepo")
                elif repo not in hub.repos:
                    self.fail(401, "RepoNotFound")
                else:
                    body = json.dumps(hub.listing(repo)).encode()
                    self.begin(200, len(body), {"Content-Type": "application/json"})
                    self.wfile.write(body)

            def resolve(self, repo: str, revision: str, path: str) -> None:
                if repo not in hub.repos or revision != hub.commit:
                    self.fail(404, "RevisionNotFound")
                elif path in hub.lost or not (hub.repos[repo] / path).is_file():
                    self.fail(404, "EntryNotFound")
                elif path.endswith(LFS):  # the hub keeps large files elsewhere
                    self.begin(302, 0, {"Location": f"{hub.store}/cdn/{repo}/{path}"})
                else:
                    self.content(repo, path)

            def content(self, repo: str, path: str) -> None:
                if hub.statuses.get(path):
                    self.fail(hub.statuses[path].pop(0))
                    return
                data = (hub.repos[repo] / path).read_bytes()
                if hub.swapped.get(path, 0) > 0:
                    hub.swapped[path] -= 1
                    data = data[:-1] + bytes([data[-1] ^ 1])
                asked = self.headers.get("Range", "") if hub.ranges else ""
                start = int(asked.removeprefix("bytes=").rstrip("-") or 0)
                hub.seen.append((path, start))
                if asked and start >= len(data):
                    self.fail(416)
                elif asked:
                    span = f"bytes {start}-{len(data) - 1}/{len(data)}"
                    self.begin(206, len(data) - start, {"Content-Range": span})
                    self.send(path, data[start:])
                else:
                    self.begin(200, len(data), {})
                    self.send(path, data)

            def send(self, path: str, data: bytes) -> None:
                queue = hub.cut.get(path, [])
                most = min(queue.pop(0), len(data)) if queue else len(data)
                if hub.hold and path.endswith(LFS):
                    first, data = data[: hub.held], data[hub.held :]
                    most -= len(first)
                    self.wfile.write(first)
                    self.wfile.flush()
                    hub.holding.set()
                    hub.hold.wait(60)
                for at in range(0, most, BLOCK):
                    self.wfile.write(data[at : min(at + BLOCK, most)])
                if most < len(data):
                    self.close_connection = True

            def begin(self, status: int, length: int, headers: dict[str, str]) -> None:
                self.send_response(status)
                self.send_header("Content-Length", str(length))
                self.send_header("X-Repo-Commit", hub.commit)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.end_headers()

            def fail(self, status: int, code: str = "") -> None:
                self.begin(status, 2, {"X-Error-Code": code} if code else {"Retry-After": hub.retry_after})
                self.wfile.write(b"no")

            def handle(self) -> None:
                with contextlib.suppress(ConnectionError):  # the client was killed
                    super().handle()

        return Handler
