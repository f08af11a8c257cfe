"""What stands between the network and gradio: how much may be sent, what is kept of it, and what browsers may do.

Uploads are bounded, each in a folder of its own, and leave nothing behind where they break off. Gradio keeps equal
files of all visitors at one path; here the same file, sent twice, is two, so that no visit's end deletes another's.
"""

import contextlib
import contextvars
import errno
import os
import secrets
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from gradio.utils import get_upload_folder
from starlette.datastructures import MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from . import run_folder
from .your_images.limits import MAX_UPLOAD_MEGABYTES, MEGABYTE

MAX_REQUEST = (MAX_UPLOAD_MEGABYTES + 1) * MEGABYTE  # bytes of one upload, with what the form adds
MAX_WAITING = 10 * MAX_REQUEST  # bytes of all uploads that no visit has taken yet
WAITING_SECONDS = 600  # after which such an upload is deleted
MIN_FREE = 500 * MEGABYTE  # bytes of the disk that stay free
MAX_BODY = 16 * MEGABYTE  # bytes of any other request
TOO_LARGE = f"An upload may have {MAX_UPLOAD_MEGABYTES} MB; send fewer or smaller images at a time."
TOO_LARGE_OTHER = "This request is too large."
FULL = "The server has no room for this upload now; try again in some minutes."
SPACES = "https://huggingface.co https://*.hf.space"  # which show the page in a frame

# Gradio's page has scripts in its HTML and compiles the templates of components: hence unsafe-inline and unsafe-eval.
# What matters more: nothing is loaded from, or sent to, any other host.
POLICY = "; ".join(
    (
        "default-src 'self'",
        "script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:",
        "style-src 'self' 'unsafe-inline'",
        "img-src 'self' data: blob:",
        "font-src 'self' data:",
        "media-src 'self' blob:",
        "connect-src 'self' data: blob:",
        "worker-src 'self' blob:",
        "object-src 'none'",
        "base-uri 'self'",
        "form-action 'self'",
        f"frame-ancestors 'self' {SPACES}",
    )
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Permissions-Policy": "camera=(self), microphone=(), geolocation=()",
}

_folder: contextvars.ContextVar[Path | None] = contextvars.ContextVar("folder", default=None)


class UploadFolder(os.PathLike[str]):
    """Where gradio puts what is sent: within an upload its own folder, elsewhere that of all."""

    def __fspath__(self) -> str:
        return str(_folder.get() or get_upload_folder())

    __str__ = __fspath__  # gradio asks for either


class _Refused(Exception):
    def __init__(self, status: int, reason: str):
        self.status, self.reason = status, reason


class WebGuard:
    """ASGI middleware. `seen`: is called with a visitor's session hash at each sign of life of their page."""

    def __init__(self, app: ASGIApp, seen: Callable[[str], None] = lambda key: None):
        self.app, self.seen = app, seen

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        path = scope["path"].rstrip("/")
        upload = scope["method"] == "POST" and path.endswith("/upload")
        exchange = _Exchange(receive, send, *((MAX_REQUEST, TOO_LARGE) if upload else (MAX_BODY, TOO_LARGE_OTHER)))
        if "/heartbeat/" in path:
            exchange.on_send = lambda: self.seen(path.rsplit("/", 1)[1])
        try:
            exchange.check(length := _stated_length(scope))
            if upload:
                await self._upload(scope, exchange, length)
            else:
                await self.app(scope, exchange.receive, exchange.send)
        except _Refused as refused:
            if not exchange.began:
                await PlainTextResponse(refused.reason, refused.status)(scope, receive, exchange.send)

    async def _upload(self, scope: Scope, exchange: "_Exchange", length: int) -> None:
        """Keeps what was sent only where all of it has arrived."""
        uploads, waiting = _uploads(), delete_old_uploads()
        if waiting + length > MAX_WAITING or shutil.disk_usage(uploads).free < MIN_FREE + length:
            raise _Refused(507, FULL)
        folder = uploads / secrets.token_hex(16)
        folder.mkdir()
        token, kept = _folder.set(folder), False
        try:
            await self.app(scope, exchange.receive, exchange.send)
            kept = exchange.status == 200
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
                raise
            raise _Refused(507, FULL) from None
        finally:
            _folder.reset(token)
            if not kept:
                shutil.rmtree(folder, ignore_errors=True)


class _Exchange:
    """One request and its response: counts what comes, notes what goes.

    most     bytes that the request may have; `too_large` says so
    began    whether a response has begun; status: its status
    on_send  is called at each piece of it
    """

    def __init__(self, receive: Receive, send: Send, most: int, too_large: str):
        self._receive, self._send = receive, send
        self.most, self.too_large = most, too_large
        self.received, self.began, self.status = 0, False, 0
        self.on_send: Callable[[], None] = lambda: None

    def check(self, size: int) -> None:
        """Refuses a request of so many bytes that it is too large."""
        if size > self.most:
            raise _Refused(413, self.too_large)

    async def receive(self) -> Message:
        message = await self._receive()
        self.received += len(message.get("body", b""))
        self.check(self.received)
        return message

    async def send(self, message: Any) -> None:
        if message["type"] == "http.response.start":
            self.began, self.status = True, message["status"]
            headers = MutableHeaders(scope=message)
            for name, value in HEADERS.items():
                headers[name] = value
        self.on_send()
        await self._send(message)


def _stated_length(scope: Scope) -> int:
    """The bytes that a request says it has; 0 where it does not say."""
    stated = dict(scope["headers"]).get(b"content-length", b"") or b"0"
    if not stated.isdigit():
        raise _Refused(400, "This request is damaged.")
    return int(stated[:20])


def _uploads() -> Path:
    """The folder of all uploads that no visit has taken yet."""
    folder = run_folder.path() / "uploads"
    folder.mkdir(exist_ok=True)
    return folder


def delete_old_uploads() -> int:
    """Deletes the uploads that no visit has taken for WAITING_SECONDS; returns the bytes of the others."""
    total = 0
    for folder in _uploads().iterdir():
        with contextlib.suppress(OSError):  # taken at this moment
            if time.time() - folder.stat().st_mtime > WAITING_SECONDS:
                shutil.rmtree(folder, ignore_errors=True)
            else:
                total += sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    return total
