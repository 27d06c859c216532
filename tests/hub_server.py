"""A small server on 127.0.0.1 that answers as the Hugging Face hub does.

    with HubServer() as hub:
        hub.add("model", "org/name", {"config.json": b"{}"}, gated=True)
        subprocess.run([...], env={**os.environ, "HF_ENDPOINT": hub.url})
        assert hub.requests[0].status == 200

Status codes, headers and messages are those of the hub. Large files are redirected to a second
path, as to its storage, and can be had in ranges.
"""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import unquote, urlsplit

LARGE_SUFFIXES = (".safetensors", ".parquet", ".bin", ".gguf")
READER, NARROW, STRANGER, WAITING = "hf_reader", "hf_narrow", "hf_stranger", "hf_waiting"
TOKENS = (READER, NARROW, STRANGER, WAITING)  # any other token is invalid


@dataclass
class Repository:
    kind: str
    name: str
    files: dict[str, bytes]
    gated: bool = False
    private: bool = False
    card: dict[str, Any] = field(default_factory=dict)

    @property
    def commit(self) -> str:
        listing = sorted((name, _sha256(data)) for name, data in self.files.items())
        return hashlib.sha1(repr((self.name, listing)).encode()).hexdigest()


@dataclass
class Request:
    method: str
    path: str
    range: str | None
    status: int
    sent: int  # bytes of the body that were sent


@dataclass
class Fault:
    """What goes wrong with the next `times` requests whose method and path match."""

    method: str
    path: str  # a part of it
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    cut_at: int | None = None  # close the connection after so many bytes of the body
    times: int = 1


class HubServer(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.repositories: dict[tuple[str, str], Repository] = {}
        self.requests: list[Request] = []
        self.faults: list[Fault] = []
        self.lock = threading.Lock()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def add(self, kind: str, name: str, files: Mapping[str, bytes], **facts: Any) -> Repository:
        repository = Repository(kind, name, dict(files), **facts)
        self.repositories[kind, name] = repository
        return repository

    def fail(self, method: str, path: str, **fault: Any) -> None:
        self.faults.append(Fault(method, path, **fault))

    def fault(self, method: str, path: str) -> Fault | None:
        with self.lock:
            for fault in self.faults:
                if fault.times > 0 and fault.method == method and fault.path in path:
                    fault.times -= 1
                    return fault
        return None

    def __enter__(self) -> Self:
        threading.Thread(target=self.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self.server_close()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: clients that go away are part of the tests."""


class Refused(Exception):
    def __init__(self, status: int, message: str, code: str | None = None) -> None:
        self.status, self.message, self.code = status, message, code


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: HubServer

    def do_GET(self) -> None:
        self._answer()

    def do_HEAD(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def log_message(self, *_: object) -> None: ...

    def _answer(self) -> None:
        self.body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        path = unquote(urlsplit(self.path).path)
        fault = self.server.fault(self.command, path)
        if fault is not None and fault.status:
            self._send(fault.status, b"busy", fault.headers)
            return
        self.cut_at = fault.cut_at if fault is not None else None
        try:
            self._route(path)
        except Refused as refusal:
            headers = {"X-Error-Message": refusal.message}
            if refusal.code:
                headers["X-Error-Code"] = refusal.code
            self._send(refusal.status, json.dumps({"error": refusal.message}).encode(), headers)

    def _route(self, path: str) -> None:
        if match := re.fullmatch(r"/storage/(\w+)", path):
            self._file(self._stored(match[1]), {})
        elif match := re.fullmatch(r"/api/(model|dataset)s/([^/]+/[^/]+)(?:/revision/(.+))?", path):
            repository = self._repository(match[1], match[2])
            self._revision(repository, match[3] or "main")
            self._json(self._info(repository))
        elif match := re.fullmatch(
            r"/api/(model|dataset)s/([^/]+/[^/]+)/(tree|paths-info)/([^/]+)(?:/(.*))?", path
        ):
            repository = self._repository(match[1], match[2])
            self._revision(repository, match[4])
            entries = list(_entries(repository, match[5] or ""))
            if match[3] == "paths-info":
                asked = self._asked_paths()
                entries = [entry for entry in entries if entry["path"] in asked]
            elif "recursive=true" not in self.path.lower():
                depth = len([part for part in (match[5] or "").split("/") if part])
                entries = [entry for entry in entries if entry["path"].count("/") == depth]
            self._json(entries)
        elif match := re.fullmatch(r"/(datasets/)?([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path):
            repository = self._repository("dataset" if match[1] else "model", match[2])
            self._resolve(repository, match[3], match[4])
        else:
            raise Refused(404, "Not Found")

    def _asked_paths(self) -> list[str]:
        try:
            return list(json.loads(self.body)["paths"])
        except ValueError:
            from urllib.parse import parse_qs

            return parse_qs(self.body.decode())["paths"]

    def _token(self) -> str | None:
        token = (self.headers.get("Authorization") or "").removeprefix("Bearer ").strip()
        if token and token not in TOKENS:
            raise Refused(401, "Invalid credentials in Authorization header")
        return token or None

    def _repository(self, kind: str, name: str) -> Repository:
        token = self._token()
        repository = self.server.repositories.get((kind, name))
        if repository is None or (repository.private and token != READER):
            raise Refused(404 if token else 401, "Repository not found", "RepoNotFound")
        return repository

    def _revision(self, repository: Repository, revision: str) -> None:
        if revision not in ("main", repository.commit):
            raise Refused(404, f"Invalid rev id: {revision}", "RevisionNotFound")

    def _access(self, repository: Repository) -> None:
        token = self._token()
        if not repository.gated or token == READER:
            return
        name = f"{repository.kind} {repository.name}"
        if token is None:
            raise Refused(
                401,
                f"Access to {name} is restricted. You must have access to it and be authenticated "
                "to access it. Please log in.",
                "GatedRepo",
            )
        if token == NARROW:
            raise Refused(
                403,
                "Please enable access to public gated repositories in your fine-grained token "
                "settings to view this repository.",
            )
        if token == WAITING:
            message = f"Your request to access {name} is awaiting a review from the repo authors."
            raise Refused(403, message, "GatedRepo")
        raise Refused(
            403,
            f"Access to {name} is restricted and you are not in the authorized list. Visit "
            f"https://huggingface.co/{repository.name} to ask for access.",
            "GatedRepo",
        )

    def _resolve(self, repository: Repository, revision: str, file: str) -> None:
        self._revision(repository, revision)
        self._access(repository)
        if file not in repository.files:
            raise Refused(404, "Entry not found", "EntryNotFound")
        data = repository.files[file]
        headers = {"X-Repo-Commit": repository.commit, "ETag": f'"{_oid(file, data)}"'}
        if file.endswith(LARGE_SUFFIXES):
            headers["X-Linked-ETag"], headers["X-Linked-Size"] = headers["ETag"], str(len(data))
            headers["Location"] = (
                f"http://localhost:{self.server.server_address[1]}/storage/{_sha256(data)}"
            )
            self._send(302, b"", headers)
        else:
            self._file(data, headers)

    def _stored(self, digest: str) -> bytes:
        for repository in self.server.repositories.values():
            for data in repository.files.values():
                if _sha256(data) == digest:
                    return data
        raise Refused(404, "Not Found")

    def _info(self, repository: Repository) -> dict[str, Any]:
        return {
            "_id": "0",
            "id": repository.name,
            "sha": repository.commit,
            "private": repository.private,
            "gated": "auto" if repository.gated else False,
            "cardData": repository.card,
            "tags": [],
            "siblings": [
                {"rfilename": name, "size": len(data), "blobId": _oid("", data)}
                for name, data in repository.files.items()
            ],
        }

    def _json(self, value: Any) -> None:
        self._send(200, json.dumps(value).encode(), {"Content-Type": "application/json"})

    def _file(self, data: bytes, headers: dict[str, str]) -> None:
        headers["Accept-Ranges"] = "bytes"
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range") or "")
        if asked:
            first = int(asked[1])
            last = min(int(asked[2]) if asked[2] else len(data) - 1, len(data) - 1)
            headers["Content-Range"] = f"bytes {first}-{last}/{len(data)}"
            self._send(206, data[first : last + 1], headers)
        else:
            self._send(200, data, headers)

    def _send(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        cut = getattr(self, "cut_at", None)
        part = body if cut is None else body[:cut]
        if self.command == "HEAD":
            part = b""
        record = Request(self.command, self.path, self.headers.get("Range"), status, sent=len(part))
        with self.server.lock:
            self.server.requests.append(record)
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(part)
        if cut is not None and self.command != "HEAD":
            self.wfile.flush()
            self.close_connection = True


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _oid(name: str, data: bytes) -> str:
    if name.endswith(LARGE_SUFFIXES):
        return _sha256(data)
    return hashlib.sha1(f"blob {len(data)}\0".encode() + data).hexdigest()


def _entries(repository: Repository, below: str) -> Iterator[dict[str, Any]]:
    folders = {
        "/".join(name.split("/")[:depth])
        for name in repository.files
        for depth in range(1, name.count("/") + 1)
    }
    for folder in sorted(folders):
        if folder.startswith(f"{below}/" if below else ""):
            yield {"type": "directory", "oid": "0" * 40, "size": 0, "path": folder}
    for name, data in sorted(repository.files.items()):
        if name.startswith(f"{below}/" if below else ""):
            entry = {"type": "file", "oid": _oid("", data), "size": len(data), "path": name}
            if name.endswith(LARGE_SUFFIXES):
                entry["lfs"] = {"oid": _sha256(data), "size": len(data), "pointerSize": 130}
            yield entry
