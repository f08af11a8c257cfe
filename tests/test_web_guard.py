"""What visitors send: bounded, each visit's own, gone with it however the server ends; browsers ask no other host."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import io
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections import namedtuple
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import gradio as gr
import httpx
import pytest
from conftest import ROOT, stripes
from gradio_client import Client
from pages import serve, served, server_process, small
from PIL import Image

from lab import ui
from lab.ui import phrases, run_folder, sessions, web_guard
from lab.ui.api import errors_shown, event_value, page_error
from lab.ui.sessions import Sessions

Usage = namedtuple("Usage", "total used free")
BOUNDARY = {"Content-Type": "multipart/form-data; boundary=B"}
HEAD = b'--B\r\nContent-Disposition: form-data; name="files"; filename="a.png"\r\nContent-Type: image/png\r\n\r\n'


def png(number: int) -> bytes:
    file = io.BytesIO()
    Image.fromarray(stripes(number)).save(file, "PNG")
    return file.getvalue()


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRADIO_TEMP_DIR", str(run_folder.path()))
        blocks = ui.build(small(tmp_path_factory.mktemp("cache")))
        with serve(blocks) as address:
            yield address.rstrip("/")


def uploads() -> list[Path]:
    while True:
        with contextlib.suppress(FileNotFoundError):  # deleted at this moment
            return [path for path in (run_folder.path() / "uploads").rglob("*") if path.is_file()]


def send(address: str, *contents: bytes) -> list[str]:
    files = [("files", (f"{i}.png", content)) for i, content in enumerate(contents)]
    answer = httpx.post(f"{address}/gradio_api/upload", files=files, timeout=60)
    answer.raise_for_status()
    return answer.json()


def give(address: str, paths: list[str], key: str) -> str:
    """Gives uploaded images to the visit of that session hash, as the page does; returns what it says at the end."""
    functions = httpx.get(f"{address}/config", timeout=60).json()["dependencies"]
    (index,) = (function["id"] for function in functions if function["api_name"] == "yours_good")
    files = [{"path": path, "meta": {"_type": "gradio.FileData"}} for path in paths]
    asked = {"data": [files], "fn_index": index, "session_hash": key}
    httpx.post(f"{address}/gradio_api/queue/join", json=asked, timeout=60).raise_for_status()
    with httpx.stream("GET", f"{address}/gradio_api/queue/data?session_hash={key}", timeout=120) as events:
        for line in events.iter_lines():
            if "process_completed" in line:
                return line
    raise AssertionError("no answer")


def test_every_answer_has_the_headers_and_no_description_of_the_server_is_given(address: str) -> None:
    for path in ("/", "/config", "/gradio_api/info", "/nothing"):
        headers = httpx.get(address + path).headers
        assert {name: headers[name] for name in web_guard.HEADERS} == web_guard.HEADERS, path
    assert {httpx.get(f"{address}/{path}").status_code for path in ("openapi.json", "docs", "redoc")} == {404}
    policy = dict(part.split(" ", 1) for part in web_guard.POLICY.split("; "))
    assert policy["default-src"] == policy["form-action"] == "'self'" and policy["object-src"] == "'none'"
    assert not any("http" in sources or "*" in sources for name, sources in policy.items() if name != "frame-ancestors")


def test_equal_files_are_two(address: str) -> None:
    first, second = send(address, png(1), png(1)), send(address, png(1))
    assert len({*first, *second}) >= 2 and set(first).isdisjoint(second)
    Path(first[0]).unlink()
    assert Path(second[0]).read_bytes() == png(1)


def test_an_upload_is_bounded(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """By its stated length before a byte is read, by what comes where none is stated; nothing of it stays."""
    before = set(uploads())
    monkeypatch.setattr(web_guard, "MAX_REQUEST", 3_000_000)

    def body() -> Iterator[bytes]:
        yield HEAD
        for _ in range(8):
            yield bytes(1_000_000)
        yield b"\r\n--B--\r\n"

    url = f"{address}/gradio_api/upload"
    for content in (body(), b"".join(body())):
        answer = httpx.post(url, content=content, headers=BOUNDARY, timeout=60)
        assert (answer.status_code, answer.text) == (413, web_guard.TOO_LARGE)
    assert httpx.post(f"{address}/gradio_api/queue/join", content=bytes(web_guard.MAX_BODY + 1)).status_code == 413
    assert httpx.post(url, content=b"nothing of a form", headers=BOUNDARY).status_code >= 400
    assert set(uploads()) == before


def test_an_upload_that_breaks_off_leaves_nothing(address: str) -> None:
    before, port = set(uploads()), int(address.rsplit(":", 1)[1])
    with socket.create_connection(("127.0.0.1", port)) as connection:
        length = f"POST /gradio_api/upload HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {10**8}\r\n"
        connection.sendall(length.encode() + b"Content-Type: multipart/form-data; boundary=B\r\n\r\n" + HEAD)
        for _ in range(20):
            connection.sendall(bytes(2**20))
        time.sleep(0.5)
        assert set(uploads()) > before  # it lies there while it comes
    patience = time.monotonic() + 30
    while set(uploads()) != before:
        assert time.monotonic() < patience
        time.sleep(0.1)


def test_a_full_disk_is_said_and_survived(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    url, files, before = f"{address}/gradio_api/upload", [("files", ("a.png", png(1)))], set(uploads())
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "disk_usage", lambda folder: Usage(10**9, 10**9, 0))
        answer = httpx.post(url, files=files)
        assert (answer.status_code, answer.text) == (507, web_guard.FULL)
    with monkeypatch.context() as patch:
        patch.setattr(web_guard, "MAX_WAITING", 10)
        assert httpx.post(url, files=files).status_code == 507
    assert set(uploads()) == before and send(address, png(1))


def test_a_disk_that_fills_while_an_upload_comes() -> None:
    """Whatever gradio has begun to say: the folder of the upload is gone, and the visitor reads a sentence."""

    async def full(scope: Any, receive: Any, send: Any) -> None:
        (Path(web_guard.UploadFolder()) / "half").write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    async def ask() -> httpx.Response:
        transport = httpx.ASGITransport(web_guard.WebGuard(full))
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            return await client.post("/gradio_api/upload", content=b"x")

    before = set(uploads())
    with ThreadPoolExecutor(1) as thread:  # without the loop of a browser that is open here
        answer = thread.submit(lambda: asyncio.run(ask())).result()
    assert (answer.status_code, answer.text) == (507, web_guard.FULL) and set(uploads()) == before


def test_uploads_that_nobody_takes_are_deleted(address: str) -> None:
    (old,) = send(address, png(7))
    folder = Path(old).parents[1]
    os.utime(folder, (0, 0))
    (new,) = send(address, png(8))
    assert not folder.exists() and Path(new).exists()


def test_what_a_visit_has_taken_is_its_own(address: str) -> None:
    """The same eight images in two visits: the end of one, files and all, changes nothing of the other."""
    contents, (first, second) = [png(i) for i in range(8)], (uuid.uuid4().hex for _ in range(2))
    visits = lambda: set(run_folder.path().glob("anomaly-lab-visit-*"))
    before = visits()
    with httpx.stream("GET", f"{address}/gradio_api/heartbeat/{first}", timeout=300) as beat:
        next(beats := beat.iter_bytes())  # kept: the connection ends with it
        taken = send(address, *contents)
        assert "8 images taken" in give(address, taken, first)
        assert not any(Path(path).exists() for path in taken)  # the visit has them
        late = send(address, *contents)  # sent, and not yet taken, when the first visit ends
        beats.close()
    patience = time.monotonic() + 60
    while visits() - before:
        assert time.monotonic() < patience
        time.sleep(0.1)
    assert "8 images taken" in give(address, late, second)


class Closed:
    def __init__(self) -> None:
        self.count = 0

    def close(self) -> None:
        self.count += 1


def test_a_visit_ends_two_hours_after_its_last_sign_of_life() -> None:
    closed: dict[str, Closed] = {}
    own: Sessions[Closed] = Sessions(lambda key: closed.setdefault(key, Closed()))
    page, program = (gr.Request(session_hash=uuid.uuid4().hex) for _ in range(2))
    for request in (page, program):
        own.of(request)
    now = time.monotonic()
    sessions.end_silent_visits(now + sessions.MAX_SILENCE - 60)
    assert len(own.all()) == 2
    sessions._last_seen[str(page.session_hash)] = now + 3600  # its page is open: a heartbeat an hour later
    sessions.end_silent_visits(now + sessions.MAX_SILENCE + 60)
    assert [s.count for s in closed.values()] == [0, 1] and len(own.all()) == 1
    sessions.end_silent_visits(now + 3600 + sessions.MAX_SILENCE + 60)
    assert not own.all() and str(page.session_hash) not in sessions._last_seen


def test_a_heartbeat_is_a_sign_of_life(address: str) -> None:
    visit, stranger = uuid.uuid4().hex, uuid.uuid4().hex
    sessions._last_seen[visit] = 0.0
    for key in (visit, stranger):
        with httpx.stream("GET", f"{address}/gradio_api/heartbeat/{key}", timeout=30) as beat:
            next(beat.iter_bytes())
    assert time.monotonic() - sessions._last_seen.pop(visit) < 30
    assert stranger not in sessions._last_seen  # whoever makes keys up fills no memory


def test_messages_name_no_folder_of_the_server_and_hold_no_markup() -> None:
    folder = run_folder.path()
    for text, shown in (
        (f"{folder}/uploads/ab/a b.png: damaged", "uploads/ab/a b.png: damaged"),
        ("/srv/data/mvtec/x.png: no such file", "x.png: no such file"),
        ("looked in /opt/a/weights, /opt/b/c.safetensors", "looked in weights, c.safetensors"),
        ("see https://huggingface.co/a/b/c", "see https://huggingface.co/a/b/c"),
        ("train/good and test/<defect>", "train/good and test/<defect>"),
    ):
        assert phrases.without_folders(text) == shown
    assert "&lt;img" in str(page_error("there is no '<img src=x onerror=alert(1)>'"))


def test_an_event_that_says_too_little_is_told_once() -> None:
    event = gr.EventData(None, {"x": 1})
    with pytest.raises(gr.Error, match="This event says no name"), errors_shown():
        event_value(event, "name")


@pytest.mark.parametrize("name", ["set", "category", "methods", "backbone"])
def test_markup_in_an_address_is_text(browser: Any, address: str, name: str) -> None:
    page = browser.new_page()
    page.goto(f"{address}/?{name}=<img src=x onerror='window.ran=1'>")
    page.locator(".toast-body").first.wait_for(timeout=60_000)
    assert "<img src=x" in page.locator(".toast-body").first.inner_text()
    assert not page.evaluate("window.ran || document.querySelectorAll('img[src=x]').length")
    page.close()


def test_programs_that_send_other_types_read_a_sentence(address: str) -> None:
    client = Client(address, verbose=False)
    for endpoint, arguments in (
        ("/compare_scores", ("samples", "stripes", True)),
        ("/compare_scores", ("samples", "stripes", [5])),
        ("/yours_leave_out", (7,)),
        ("/yours_false_alarm", ({"a": 1},)),
    ):
        with pytest.raises(Exception, match="is of another type"):
            client.predict(*arguments, api_name=endpoint)
    client.close()


def test_a_folder_whose_server_is_gone_is_deleted(tmp_path: Path) -> None:
    """That of a server that lives is not: it is locked."""
    code = "import sys, time; sys.path.insert(0, 'lab/ui'); import run_folder"  # without the page, which takes seconds
    code += "; f = run_folder.path(); (f / 'image').touch()"
    code += "; print(f, flush=True); time.sleep(600)"
    environment = os.environ | {"GRADIO_TEMP_DIR": str(tmp_path)}
    start = lambda: subprocess.Popen([sys.executable, "-c", code], env=environment, cwd=ROOT, stdout=subprocess.PIPE)
    with start() as first, start() as second:
        assert first.stdout and second.stdout
        folders = [Path(p.stdout.readline().decode().strip()) for p in (first, second)]  # type: ignore[union-attr]
        first.kill()
        first.wait()
        run_folder.delete_stale(tmp_path)
        assert not folders[0].exists() and (folders[1] / "image").exists()
        second.kill()


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="processes are looked up in /proc")
@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_nothing_of_a_visit_outlasts_the_server(how: signal.Signals, tmp_path: Path) -> None:
    """After SIGTERM at once; after a crash once another server starts."""
    kept = tmp_path / "served"
    # gradio leaves an empty file for each that it was sent
    files = lambda: [path for path in kept.rglob("*") if path.is_file() and path.stat().st_size]
    with served(ROOT, tmp_path / "app.log", GRADIO_TEMP_DIR=str(kept)) as address:
        assert "4 images taken" in give(address.rstrip("/"), send(address.rstrip("/"), *map(png, range(4))), "a")
        assert len(files()) == 4
        os.kill(server_process(), how)
        patience = time.monotonic() + 60
        while how == signal.SIGTERM and files():
            assert time.monotonic() < patience
            time.sleep(0.1)
    if how == signal.SIGKILL:
        assert len(files()) == 4
        with served(ROOT, tmp_path / "again.log", GRADIO_TEMP_DIR=str(kept)):
            assert not files()
