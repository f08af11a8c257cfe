"""What the tests of the page share: a service on small images, the page as a process of its own, and a browser's
page that remembers what happened."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np
import pytest
from conftest import stripes

from lab import METHODS, ui
from lab.data import samples
from lab.data.dataset import Dataset, Item
from lab.ui.detector_service import DetectorService

CHROMIUM = shutil.which("chromium") or "/usr/bin/chromium"
ARGS = [
    "--no-sandbox", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip
PLACE = ("samples", "stripes")
PATIENCE = 200_000  # ms, for machines that are busy with other things


def item(number: int, defect: str = "good", strength: float = 1.0) -> Item:
    """strength in [0, 1]: how far the surface has turned into the defect."""
    blot = np.zeros((96, 96), bool)
    blot[30:50, 30:50] = defect != "good"

    def image() -> np.ndarray:
        good, bad = stripes(number), stripes(number, defect=defect != "good")
        return (good + strength * (bad.astype(float) - good)).astype(np.uint8)

    return Item(f"test/{defect}/{number:03d}", defect, image, lambda: blot)


def small(folder: Path, strengths: tuple[float, ...] = (1.0, 1.0, 1.0)) -> DetectorService:
    """Twelve good images to learn from, three good ones and some bad ones to judge."""
    service = DetectorService(folder=folder, backbone=None)
    bad = (item(60 + n, "blot", strength) for n, strength in enumerate(strengths))
    test = (*(item(50 + n) for n in range(3)), *bad)
    service.datasets.put(PLACE, Dataset(*PLACE, "made for this test", tuple(item(n) for n in range(12)), test))
    return service


@contextlib.contextmanager
def served(folder: Path, log: Path, python: str | Path = sys.executable, **variables: str) -> Iterator[str]:
    """The address of `python app.py`, run in `folder` with an empty cache beside `log` and nothing else of this
    machine's settings but `variables`."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    prefixes = ("LAB_", "GRADIO_", "HF_", "PYTHON", "VIRTUAL_")
    environment = {k: v for k, v in os.environ.items() if not k.startswith(prefixes)}
    environment |= {"LAB_CACHE": str(log.with_name("cache")), "GRADIO_SERVER_PORT": str(port), "OMP_NUM_THREADS": "1"}
    with open(log, "w") as out:
        app = subprocess.Popen([python, "app.py"], cwd=folder, env=environment | variables, stdout=out, stderr=out)
    try:
        patience = time.monotonic() + PATIENCE / 1000
        while True:
            with socket.socket() as knock:
                if not knock.connect_ex(("127.0.0.1", port)):
                    break
            assert app.poll() is None and time.monotonic() < patience, log.read_text()
            time.sleep(0.2)
        yield f"http://127.0.0.1:{port}/"
    finally:
        app.terminate()
        app.wait(20)


def server_process() -> int:
    """The number of the process that `served` has started, by Linux's list of this one's children."""
    children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    command = lambda pid: Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    (pid,) = (int(child) for child in children if b"app.py" in command(child))
    return pid


SMALL = {
    "cdo": dict(size=64, epochs=3, batch_size=4),
    "smcc": dict(size=64, epochs=1),
    "rb_ae": dict(size=64, epochs_1=1, epochs_2=2),
    "local_occ": dict(size=64, epochs=2, matching_epochs=2),
}


def tiny(patch: pytest.MonkeyPatch, only: Mapping[str, Mapping[str, Any]] = SMALL, **more: Any) -> None:
    """What is published, fitted in a moment: `live` presets of these methods, changed."""
    for method, changes in only.items():
        known = dict(METHODS[method].presets())
        known["live"] = known["live"].replace(**{**changes, **more})
        patch.setattr(METHODS[method], "presets", classmethod(lambda cls, known=known: known))


def washers(folder: Path, good: int = 12) -> DetectorService:
    """The samples' washers, few of them: what the page opens with, in a moment."""
    service, whole = DetectorService(folder=folder, backbone=None), samples.load("washer")
    test = [item for item in whole.test if not item.bad][:4] + [item for item in whole.test if item.bad][8:16]
    service.datasets.put(("samples", "washer"), dataclasses.replace(whole, train=whole.train[:good], test=tuple(test)))
    return service


@contextlib.contextmanager
def serve(blocks: gr.Blocks, **more: Any) -> Iterator[str]:
    """The address of a page, served as `app.py` serves it."""
    _, address, _ = ui.launch(blocks, None, server_name="127.0.0.1", prevent_thread_lock=True, quiet=True, **more)
    try:
        yield address
    finally:
        blocks.close()
        for thread in threading.enumerate():
            if thread.name == "warm":  # a thread inside torch when Python ends would end it badly
                thread.join()


class Visit:
    """A browser's page and all that it asked for or complained of."""

    def __init__(self, browser: Any, address: str, script: str = "", **context: Any):
        self.page = browser.new_page(**context)
        if script:
            self.page.add_init_script(script)
        self.requests: list[str] = []
        self.complaints: list[str] = []
        self.page.set_default_timeout(PATIENCE)
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("console", lambda m: m.type == "error" and self.complaints.append(m.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.goto(address)

    def card(self, method: str) -> Any:
        return self.page.locator(f".card[data-method={method}]")

    def maps(self) -> dict[str, str]:
        """method -> the pixels of its finished heat map, as text."""
        script = "all => all.map(c => [c.dataset.method, c.querySelector('.anomaly-map').toDataURL()])"
        return dict(self.page.eval_on_selector_all(".card.done", script))

    def until(self, script: str, argument: Any = None) -> None:
        self.page.wait_for_function(script, arg=argument)

    def finished(self, count: int) -> None:
        """`count` maps are shown and their test images judged."""
        self.until("n => document.querySelectorAll('.card.done').length >= n", count)
        self.until("n => document.querySelectorAll('.area.shared').length >= n", count)

    def told(self, words: str) -> None:
        """A status line that is in sight says so."""
        said = "s => s.offsetParent && s.innerText.includes(words)"
        self.until(f"words => [...document.querySelectorAll('.status')].some({said})", words)

    def answer(self, method: str) -> None:
        """Asks for the answer of the method whose name begins so, in *Your images*."""
        self.page.get_by_label("3 · Method").click()
        self.page.get_by_role("option").filter(has_text=method).click()
        self.page.get_by_role("button", name="Get answers").click()

    def abroad(self, address: str) -> list[str]:
        """What was asked of other hosts."""
        return [url for url in self.requests if not url.startswith((address, "data:", "blob:"))]

    def choose(self, label: str, option: str) -> None:
        self.page.get_by_label(label).first.click()
        self.page.get_by_role("option", name=option, exact=True).click()
        self.page.keyboard.press("Escape")

    def give(self, number: int, files: Iterable[Path]) -> None:
        """Into one of the drop zones of *Your images*, until they are seen."""
        names = sorted(map(str, files))
        self.page.locator("#yours input[type=file]").nth(number).set_input_files(names)
        self.until(f"() => document.querySelectorAll('#yours .pile')[{number}]?.children.length == {len(names)}")

    def remove(self, title: str) -> None:
        self.page.locator(".token", has_text=title).locator(".token-remove").click()
