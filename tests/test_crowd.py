"""Ten visitors at once, and for ten minutes: right answers for each, a place in the queue in sight, memory given back,
nothing left on the disk.
"""

from __future__ import annotations

import contextlib
import os
import random
import re
import signal
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT, stripes
from gradio_client import Client, handle_file
from pages import served, server_process

from lab import Detector, image_files
from lab.ui import web_guard

VISITORS, GOOD = 10, 8
SILENCE = 60  # seconds that a visitor may at most be left without news, on a busy machine


@dataclass
class Visitor:
    """One who judges images of their own; the messages they got, and when."""

    number: int
    messages: list[tuple[float, str]] = field(default_factory=list)
    scores: dict[str, float] = field(default_factory=dict)
    compared: list[dict] = field(default_factory=list)
    failed: BaseException | None = None

    def images(self) -> list[Any]:
        good = [stripes(1000 * self.number + i) for i in range(GOOD)]
        return [*good, stripes(1000 * self.number + 100, defect=True)]

    def go(self, address: str, folder: Path, together: threading.Barrier) -> None:
        try:
            files = []
            for i, image in enumerate(self.images()):
                path = folder / f"{self.number}-{i}.png"
                image_files.write_png(path, image)
                files.append(handle_file(str(path)))
            client = Client(address, verbose=False)
            together.wait()
            client.predict(files[:GOOD], api_name="/yours_good")
            client.predict(files[GOOD:], api_name="/yours_bad")
            self.messages.append((time.monotonic(), "asked"))
            for update in client.submit("padim", api_name="/yours_answer"):
                self.messages.append((time.monotonic(), re.sub(r"<[^>]*>", "", str(update[0]))))
            self.scores = {row["name"]: row["score"] for row in client.predict(api_name="/yours_scores")}
            self.compared = client.predict("samples", "washer", ["padim"], api_name="/compare_scores")
            client.close()
        except BaseException as error:
            self.failed = error


def resident(pid: int) -> float:
    """MB."""
    return int(re.findall(r"VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())[0]) / 1000


@pytest.fixture
def app(tmp_path: Path) -> Iterator[tuple[str, int]]:
    with served(ROOT, tmp_path / "app.log") as address:
        yield address, server_process()


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is read from /proc")
def test_ten_visitors_at_once(app: tuple[str, int], tmp_path: Path) -> None:
    address, pid = app
    first = Visitor(99)  # the page as it stands once somebody was there
    first.go(address, tmp_path, threading.Barrier(1))
    assert first.failed is None, first.failed
    time.sleep(20)  # until that visit is seen to be over
    before = resident(pid)

    crowd, together = [Visitor(number) for number in range(VISITORS)], threading.Barrier(VISITORS)
    threads = [threading.Thread(target=visitor.go, args=(address, tmp_path, together)) for visitor in crowd]
    for thread in threads:
        thread.start()
    most = 0.0
    while any(thread.is_alive() for thread in threads):
        most = max(most, resident(pid))
        time.sleep(0.5)

    places = []
    for visitor in crowd:
        assert visitor.failed is None, visitor.failed
        *good, bad = visitor.images()
        alone = Detector("padim", backbone="embedded").fit(good)
        assert visitor.scores[f"{visitor.number}-{GOOD}.png"] == pytest.approx(alone.detect(bad).score, abs=1e-4)
        assert len(visitor.scores) == GOOD + 1 and visitor.compared == first.compared
        times = [at for at, _ in visitor.messages]
        assert max(b - a for a, b in zip(times, times[1:])) < SILENCE, visitor.messages
        ahead = [int(n) for _, message in visitor.messages for n in re.findall(r"waiting, (\d+) before", message)]
        assert ahead == sorted(ahead, reverse=True)
        places.append(max(ahead, default=0))
    assert sorted(places)[-1] >= VISITORS // 2, places  # they did wait for each other, and saw it

    patience = time.monotonic() + 120
    while (after := resident(pid)) > 1.15 * before and time.monotonic() < patience:
        time.sleep(1)
    summary = f"{before:.0f} MB before, {most:.0f} MB at most, {after:.0f} MB after; places {places}"
    print(summary)
    assert after <= 1.15 * before, summary


# --- ten minutes -----------------------------------------------------------------------------------------------------

MINUTES, SETS = 10, 4  # few sets: visitors send the same images


class Disk:
    """A folder on a disk of 900 MB of its own, where this machine lets us make one; it can be filled."""

    def __init__(self, folder: Path):
        self.folder, self.filling = folder, folder / "filling"
        folder.mkdir()
        mount = ["mount", "-t", "tmpfs", "-o", "size=900m", "tmpfs", str(folder)]
        self.own = os.name == "posix" and subprocess.run(mount, capture_output=True, check=False).returncode == 0
        self.full = False

    @contextlib.contextmanager
    def filled(self) -> Iterator[None]:
        self.full = True
        try:
            with open(self.filling, "wb") as file, contextlib.suppress(OSError):
                while self.own:
                    file.write(bytes(2**20))
            yield
        finally:
            self.filling.unlink()
            time.sleep(5)  # whoever was refused still reads it
            self.full = False

    def files(self) -> list[Path]:
        """What the server keeps of visits; gradio leaves an empty file for each that it was sent."""
        found = []
        for folder, _, names in os.walk(self.folder / "served"):  # which passes over what is deleted meanwhile
            for path in (Path(folder, name) for name in names):
                with contextlib.suppress(FileNotFoundError):
                    found += [path] if path.stat().st_size else []
        return found

    def close(self) -> None:
        if self.own:
            subprocess.run(["umount", "-l", str(self.folder)], check=True)


class Crowd:
    """Visitors who ask, cancel, leave and come back, and send what is no image, until it is over."""

    def __init__(self, address: str, disk: Disk, folder: Path):
        self.address, self.disk = address, disk
        self.done, self.failed, self.over = Counter[str](), list[BaseException](), threading.Event()
        self.good = [[stripes(1000 * n + i) for i in range(GOOD)] for n in range(SETS)]
        self.bad = [stripes(1000 * n + 100, defect=True) for n in range(SETS)]
        fits = [Detector("padim", backbone="embedded").fit(good) for good in self.good]
        self.scores = [detector.detect(bad).score for detector, bad in zip(fits, self.bad, strict=True)]
        self.files = []
        for n, (good, bad) in enumerate(zip(self.good, self.bad, strict=True)):
            paths = [folder / f"{n}-{i}.png" for i in range(GOOD + 1)]
            for path, image in zip(paths, [*good, bad], strict=True):
                image_files.write_png(path, image)
            self.files.append([handle_file(str(path)) for path in paths])
        (folder / "notes.png").write_text("no image")
        (folder / "cut.png").write_bytes((folder / "0-0.png").read_bytes()[:200])
        self.damaged = [handle_file(str(folder / name)) for name in ("notes.png", "cut.png")]

    def run(self, seconds: float) -> None:
        """Returns when all visitors have gone."""
        until = time.monotonic() + seconds
        threads = [threading.Thread(target=self.visit, args=(number, until)) for number in range(VISITORS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def visit(self, number: int, until: float) -> None:
        dice = random.Random(number)
        while time.monotonic() < until and not self.failed and not self.over.is_set():
            act = dice.choice([self.ask, self.ask, self.cancel, self.reload, self.send_damaged])
            try:
                act(dice.randrange(SETS), dice)
                self.done[act.__name__] += 1
            except BaseException as error:
                if self.over.is_set():
                    return
                if self.disk.full and ("507" in str(error) or "no room" in str(error)):
                    self.done["told that the disk is full"] += 1
                    time.sleep(2)
                    continue
                self.failed.append(error)

    @contextlib.contextmanager
    def client(self, number: int) -> Iterator[Client]:
        """A visit that has given its good images and its bad one."""
        client = Client(self.address, verbose=False)
        try:
            taken = str(client.predict(self.files[number][:GOOD], api_name="/yours_good"))
            assert f"{GOOD} images taken" in taken, taken
            client.predict(self.files[number][GOOD:], api_name="/yours_bad")
            yield client
        finally:
            with contextlib.suppress(Exception):  # the server may be gone
                client.close()

    def answer(self, client: Client, number: int) -> None:
        """Asks, and checks the answer: the score that the lab alone gives."""
        for _ in client.submit("padim", api_name="/yours_answer"):
            pass
        scores = {row["name"]: row["score"] for row in client.predict(api_name="/yours_scores")}
        assert set(scores) == {f"{number}-{i}.png" for i in range(GOOD + 1)}, scores
        assert scores[f"{number}-{GOOD}.png"] == pytest.approx(self.scores[number], abs=1e-4)

    def ask(self, number: int, dice: random.Random) -> None:
        with self.client(number) as client:
            self.answer(client, number)

    def cancel(self, number: int, dice: random.Random) -> None:
        with self.client(number) as client:
            client.submit("padim", api_name="/yours_answer")
            time.sleep(dice.uniform(0, 3))
            client.predict(api_name="/yours_cancel")
            self.answer(client, number)

    def reload(self, number: int, dice: random.Random) -> None:
        """Leaves without a word while the answer is on its way."""
        with self.client(number) as client:
            client.submit("padim", api_name="/yours_answer")
            time.sleep(dice.uniform(0, 3))

    def send_damaged(self, number: int, dice: random.Random) -> None:
        with self.client(number) as client:
            said = str(client.predict(self.damaged, api_name="/yours_good"))
            assert "notes.png" in said and "cut.png" in said, said
            self.answer(client, number)


def gone(disk: Disk) -> None:
    """Waits until nothing of any visit lies on the disk: what was sent and never given to a visit waits for longest."""
    patience = time.monotonic() + web_guard.WAITING_SECONDS + 120
    while files := disk.files():
        assert time.monotonic() < patience, files
        time.sleep(0.5)


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is read from /proc")
def test_ten_visitors_for_ten_minutes(tmp_path: Path) -> None:
    disk = Disk(tmp_path / "disk")
    try:
        kept = {"GRADIO_TEMP_DIR": str(disk.folder / "served")}
        with served(ROOT, disk.folder / "app.log", **kept) as address:
            process, crowd = server_process(), Crowd(address, disk, tmp_path)
            crowd.run(45)  # the page as it stands once visitors were there
            gone(disk)
            time.sleep(20)
            before = resident(process)
            fill = threading.Timer(MINUTES * 30, lambda: fill_for(disk, 30))
            fill.start()
            crowd.run(MINUTES * 60)
            fill.join()
            assert not crowd.failed, crowd.failed[0]
            assert {"ask", "cancel", "reload", "send_damaged"} <= set(crowd.done)
            assert not disk.own or crowd.done["told that the disk is full"], crowd.done
            gone(disk)
            patience = time.monotonic() + 180
            while (after := resident(process)) > 1.15 * before and time.monotonic() < patience:
                time.sleep(1)
            summary = f"{dict(crowd.done)}; {before:.0f} MB before, {after:.0f} MB after; own disk: {disk.own}"
            print(summary)
            assert after <= 1.15 * before, summary

            leaving = threading.Thread(target=crowd.run, args=(600,))
            leaving.start()
            time.sleep(10)  # all are in the midst of something
            crowd.over.set()
            os.kill(process, signal.SIGTERM)
            gone(disk)
            leaving.join(120)
            assert not leaving.is_alive()
        with served(ROOT, disk.folder / "again.log", **kept) as address:
            again = Crowd(address, disk, tmp_path)
            again.run(20)
            assert not again.failed, again.failed[0]
            gone(disk)
    finally:
        disk.close()


def fill_for(disk: Disk, seconds: float) -> None:
    with disk.filled():
        time.sleep(seconds)
