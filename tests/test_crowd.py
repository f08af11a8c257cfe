"""Ten visitors at once: right answers for each, a place in the queue in sight, memory given back."""

from __future__ import annotations

import os
import re
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT, stripes
from gradio_client import Client, handle_file
from pages import served

from lab import Detector, image_files

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
        children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
        yield address, int(children[-1])


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
