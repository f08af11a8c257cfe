"""A Hugging Face Hub on loopback, standard library alone: the parts of its API that the clients of this project use.

    with Hub() as hub:
        repo = hub.repo("datasets", "user/name", {"data/train.parquet": b"..."}, card={"license": "cc-by-4.0"})
        hub.cut("train.parquet", 1000, 0)     # the next two answers break off after so many bytes
        ...                                   # HF_ENDPOINT is hub.url
        assert hub.log[-1].headers["Range"] == "bytes=1000-"

Like the real one it sends callers to another host for a large file (`/cdn/<sha256>`), pages its trees, and does not
tell strangers whether a repository is private or absent. More of the API: a function under `@route`, which gets
the call and the groups of its pattern, and answers with `call.send(...)`.
"""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import json
import re
import sys
import threading
import traceback
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

TEXT = (".md", ".txt", ".json", ".jsonl", ".csv", ".yaml", ".gitattributes")  # kept by git itself, all else as LFS
REPO_TYPE = r"(models|datasets|spaces)"
NAME = r"([^/]+/[^/]+)"
ROUTES: list[tuple[str, re.Pattern[str], Callable[..., None]]] = []


def route(method: str, pattern: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Registers an answer; the first whose pattern is the whole path, unquoted and without its query, is taken."""

    def register(answer: Callable[..., None]) -> Callable[..., None]:
        ROUTES.append((method, re.compile(pattern), answer))
        return answer

    return register


@dataclasses.dataclass
class Repo:
    """`files`: path -> bytes. `gated`: its files need leave. `private`: strangers are told it is not there.
    `swapped`: path -> bytes sent in place of the true ones, whose hash is still announced."""

    repo_type: str
    id: str
    files: dict[str, bytes]
    card: dict[str, Any] = dataclasses.field(default_factory=dict)
    gated: bool = False
    private: bool = False
    swapped: dict[str, bytes] = dataclasses.field(default_factory=dict)

    @property
    def sha(self) -> str:
        """The commit: another one for other files."""
        hashes = [(path, hashlib.sha1(data).hexdigest()) for path, data in sorted(self.files.items())]
        return hashlib.sha1(repr((self.id, hashes)).encode()).hexdigest()

    def entry(self, path: str) -> dict[str, Any]:
        """A file as trees list it."""
        data = self.files[path]
        entry = {"type": "file", "path": path, "size": len(data), "oid": git_hash(data)}
        if large(path):
            entry["lfs"] = {"oid": hashlib.sha256(data).hexdigest(), "size": len(data), "pointerSize": 130}
        return entry


@dataclasses.dataclass(frozen=True)
class Request:
    method: str
    path: str  # unquoted, without the query
    headers: dict[str, str]  # e.g. "User-Agent"
    body: bytes


def large(path: str) -> bool:
    return not path.endswith(TEXT)


def git_hash(data: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


class Hub:
    """The server; `repos` by (type, id), `plain` files by path for any other address, `log` of all requests.

    tokens   those it knows; None: it takes any
    readers  those that may not write
    page     entries of a tree in one answer
    """

    def __init__(self) -> None:
        self.repos: dict[tuple[str, str], Repo] = {}
        self.plain: dict[str, bytes] = {}
        self.blobs: dict[str, bytes] = {}  # large files that were sent, by sha256, for a commit to take
        self.log: list[Request] = []
        self.tokens: set[str] | None = None
        self.readers: set[str] = set()
        self.page = 1000
        self._cuts: dict[str, list[int]] = {}
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), type("Call", (Call,), {"hub": self}))
        self._server.daemon_threads = True
        self._server.handle_error = self._hung_up  # type: ignore[method-assign]
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self.cdn = f"http://localhost:{self._server.server_port}"  # another host to the client, as the real one is

    def __enter__(self) -> Hub:
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    @staticmethod
    def _hung_up(*_: object) -> None:
        if not isinstance(sys.exception(), ConnectionError):
            traceback.print_exc()

    def repo(self, repo_type: str, id: str, files: dict[str, bytes], **options: Any) -> Repo:
        self.repos[repo_type, id] = Repo(repo_type, id, dict(files), **options)
        return self.repos[repo_type, id]

    def cut(self, path: str, *after: int) -> None:
        """The next answers with the bytes of files whose path ends so break off after so many bytes each."""
        self._cuts[path] = list(after)

    def next_cut(self, paths: list[str]) -> int | None:
        with self._lock:
            for end, left in self._cuts.items():
                if left and any(path.endswith(end) for path in paths):
                    return left.pop(0)
        return None

    def requests(self, method: str, end: str = "") -> list[Request]:
        """The requests so far of that method whose path ends so."""
        return [request for request in list(self.log) if request.method == method and request.path.endswith(end)]


class Call(BaseHTTPRequestHandler):
    """One request and its answer."""

    hub: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        pass

    def handle_one(self) -> None:
        parts = urlsplit(self.path)
        self.place, self.query = unquote(parts.path), parse_qs(parts.query)
        self.body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        with self.hub._lock:
            headers = {name.title(): value for name, value in self.headers.items()}
            self.hub.log.append(Request(self.command, self.place, headers, self.body))
        wanted = "GET" if self.command == "HEAD" else self.command
        for method, pattern, answer in ROUTES:
            if method == wanted and (match := pattern.fullmatch(self.place)):
                return answer(self, *match.groups())
        self.fail(404, "EntryNotFound", "no such address")

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = handle_one

    @property
    def token(self) -> str | None:
        """What the caller logs in with; None without, or where it is unknown."""
        token = self.headers.get("Authorization", "").removeprefix("Bearer ")
        return token if token and (self.hub.tokens is None or token in self.hub.tokens) else None

    def repo(self, repo_type: str, id: str) -> Repo | None:
        """The repository, or None after the caller was options that it is not there."""
        repo = self.hub.repos.get((repo_type, id))
        if repo and (self.token or not repo.private):
            return repo
        self.fail(404 if self.token else 401, "RepoNotFound", "Repository not repo")
        return None

    def send(self, status: int, body: bytes = b"", **headers: str) -> None:
        """Header names are given with _ for -."""
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def json(self, content: Any, **headers: str) -> None:
        self.send(200, json.dumps(content).encode(), Content_Type="application/json", **headers)

    def fail(self, status: int, code: str, message: str) -> None:
        self.send(status, json.dumps({"error": message}).encode(), X_Error_Code=code, X_Error_Message=message)

    def bytes(self, data: bytes, paths: list[str], **headers: str) -> None:
        """A file or the range asked for; broken off where that was ordered for one of these paths."""
        total, start = len(data), 0
        if match := re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", "")):
            start, end = int(match[1]), int(match[2] or total - 1)
            if start >= total:
                return self.send(416, Content_Range=f"bytes */{total}")
            data = data[start : end + 1]
            headers["Content_Range"] = f"bytes {start}-{start + len(data) - 1}/{total}"
        cut = self.hub.next_cut(paths) if self.command == "GET" else None
        self.send_response(206 if match else 200)
        for name, value in (headers | {"Accept_Ranges": "bytes", "Content_Length": str(len(data))}).items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data if cut is None else data[:cut])
            self.close_connection = self.close_connection or cut is not None


# Repositories -----------------------------------------------------------------------------------------------------


@route("GET", rf"/api/{REPO_TYPE}/{NAME}(?:/revision/([^/]+))?")
def info(call: Call, repo_type: str, id: str, revision: str | None) -> None:
    if repo := call.repo(repo_type, id):
        if revision not in (None, "main", repo.sha):
            return call.fail(404, "RevisionNotFound", "Invalid rev id")
        files = [{"rfilename": path} for path in sorted(repo.files)]
        call.json(
            {"id": id, "sha": repo.sha, "private": repo.private, "gated": "auto" if repo.gated else False,
             "disabled": False, "tags": [], "downloads": 0, "likes": 0, "cardData": repo.card, "siblings": files}
        )  # fmt: skip


@route("GET", rf"/api/{REPO_TYPE}/{NAME}/tree/([^/]+)(?:/(.+))?")
def tree(call: Call, repo_type: str, id: str, revision: str, below: str | None) -> None:
    if repo := call.repo(repo_type, id):
        if revision not in ("main", repo.sha):
            return call.fail(404, "RevisionNotFound", "Invalid rev id")
        above = f"{below}/" if below else ""
        rows = {}
        for path in sorted(path for path in repo.files if path.startswith(above)):
            parts = path.removeprefix(above).split("/")
            for n in range(1, len(parts)):
                folder = above + "/".join(parts[:n])
                rows[folder] = {"type": "directory", "path": folder, "size": 0, "oid": git_hash(folder.encode())}
            rows[path] = repo.entry(path)
        if call.query.get("recursive", ["false"])[0].lower() != "true":
            rows = {path: row for path, row in rows.items() if "/" not in path.removeprefix(above)}
        start = int(call.query.get("cursor", ["0"])[0])
        stop = start + call.hub.page
        more = {}
        if stop < len(rows):
            more["Link"] = (
                f'<{call.hub.url}{call.place}?recursive={call.query["recursive"][0]}&cursor={stop}>; rel="next"'
            )
        call.json(list(rows.values())[start:stop], **more)


@route("GET", rf"(?:/(datasets|spaces))?/{NAME}/resolve/([^/]+)/(.+)")
def resolve(call: Call, repo_type: str | None, id: str, revision: str, path: str) -> None:
    if repo := call.repo(repo_type or "models", id):
        if revision not in ("main", repo.sha):
            return call.fail(404, "RevisionNotFound", "Invalid rev id")
        if repo.gated:
            return call.fail(403 if call.token else 401, "GatedRepo", f"Access to {repo_type}/{id} is restricted")
        if path not in repo.files:
            return call.fail(404, "EntryNotFound", "Entry not found")
        data = repo.files[path]
        if not large(path):
            return call.bytes(data, [path], ETag=f'"{git_hash(data)}"', X_Repo_Commit=repo.sha)
        sha256 = hashlib.sha256(data).hexdigest()
        call.send(
            302, Location=f"{call.hub.cdn}/cdn/{sha256}", X_Repo_Commit=repo.sha, X_Linked_Size=str(len(data)),
            X_Linked_ETag=f'"{sha256}"',
        )  # fmt: skip


@route("GET", r"/cdn/([0-9a-f]{64})")
def cdn(call: Call, sha256: str) -> None:
    """The bytes of a large file, whichever repository and path it belongs to."""
    for repo in list(call.hub.repos.values()):
        paths = [path for path, data in repo.files.items() if hashlib.sha256(data).hexdigest() == sha256]
        if paths:
            data = repo.swapped.get(paths[0], repo.files[paths[0]])
            return call.bytes(data, paths, ETag=f'"{sha256}"')
    call.fail(404, "EntryNotFound", "Entry not found")


@route("GET", r"(/plain/.+)")
def plain(call: Call, path: str) -> None:
    """A file outside of all repositories, as any web server has it."""
    if path not in call.hub.plain:
        return call.send(404)
    call.bytes(call.hub.plain[path], [path])


# Uploads ----------------------------------------------------------------------------------------------------------


def may_write(call: Call) -> bool:
    """False after the caller was told why not."""
    if not call.token:
        call.fail(401, "", "Invalid credentials in Authorization header")
    elif call.token in call.hub.readers:
        call.fail(403, "", "You need write access")
    return bool(call.token) and call.token not in call.hub.readers


@route("POST", r"/api/repos/create")
def create(call: Call) -> None:
    if may_write(call):
        request = json.loads(call.body)
        key = f"{request.get('type', 'model')}s", f"{request['organization']}/{request['name']}"
        if key in call.hub.repos:
            return call.send(409, json.dumps({"url": f"{call.hub.url}/{key[1]}"}).encode())
        private = request.get("visibility") == "private" or bool(request.get("private"))
        call.hub.repo(*key, {".gitattributes": b"*.safetensors filter=lfs"}, private=private)
        call.json({"url": f"{call.hub.url}/{key[1]}"})


@route("POST", r"/api/validate-yaml")
def validate(call: Call) -> None:
    """Every head of a card is fine here."""
    call.json({"errors": [], "warnings": []})


@route("POST", rf"/api/{REPO_TYPE}/{NAME}/preupload/main")
def preupload(call: Call, repo_type: str, id: str) -> None:
    """Which files are sent as LFS and which in the commit itself."""
    if may_write(call) and call.repo(repo_type, id):
        paths = [file["path"] for file in json.loads(call.body)["files"]]
        modes = {path: "lfs" if large(path) else "regular" for path in paths}
        call.json({"files": [{"path": p, "uploadMode": mode, "shouldIgnore": False} for p, mode in modes.items()]})


@route("POST", rf"(?:/(?:datasets|spaces))?/{NAME}\.git/info/lfs/objects/batch")
def batch(call: Call, id: str) -> None:
    """Where each large file is to be put; nothing to do for one that is there."""
    if may_write(call):
        objects = json.loads(call.body)["objects"]
        for blob in objects:
            if blob["oid"] not in call.hub.blobs:
                blob["actions"] = {"upload": {"href": f"{call.hub.url}/lfs/{blob['oid']}"}}
        call.json({"transfer": "basic", "objects": objects})


@route("PUT", r"/lfs/([0-9a-f]{64})")
def put(call: Call, sha256: str) -> None:
    """As on the real one the address is the leave to write: no token comes with it."""
    if hashlib.sha256(call.body).hexdigest() != sha256:
        return call.fail(400, "", "the content is not that of its address")
    call.hub.blobs[sha256] = call.body
    call.send(200)


@route("POST", rf"/api/{REPO_TYPE}/{NAME}/commit/main")
def commit(call: Call, repo_type: str, id: str) -> None:
    """Lines of JSON: a head, then the files, whole or by the hash of what was put before."""
    if may_write(call) and (repo := call.repo(repo_type, id)):
        for line in map(json.loads, call.body.splitlines()):
            value = line["value"]
            if line["key"] == "file":
                repo.files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                repo.files[value["path"]] = call.hub.blobs[value["oid"]]
        call.json({"commitUrl": f"{call.hub.url}/{id}/commit/{repo.sha}", "commitOid": repo.sha})
