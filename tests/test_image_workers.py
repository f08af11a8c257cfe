"""Decoding in a process of its own: the same pixels, and whatever goes wrong there ends as a sentence, not the page."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT, stripes
from PIL import Image

from lab import LabError, image_files
from lab.errors import Cancelled
from lab.progress import no_report
from lab.ui import image_workers, jobs
from lab.ui.image_workers import ImageWorkers, Worker


@pytest.fixture
def workers() -> Iterator[ImageWorkers]:
    made = ImageWorkers(1)
    yield made
    made.close()


@pytest.fixture
def part(tmp_path: Path) -> Path:
    image_files.write_png(tmp_path / "part.png", stripes(1))
    return tmp_path / "part.png"


def idle(workers: ImageWorkers) -> Worker:
    (worker,) = workers._idle
    return worker


def test_the_same_pixels_and_the_same_sentences(workers: ImageWorkers, part: Path, tmp_path: Path) -> None:
    assert np.array_equal(workers.read(part, "part.png").pixels, image_files.read(part))
    process = idle(workers)._process.pid
    deep = tmp_path / "deep.png"
    Image.fromarray(stripes(2)[..., 0].astype(np.uint16) * 16).save(deep)
    found = workers.read(deep, "deep.png", bits=12)
    assert found.grey_bits == 12 and np.array_equal(found.pixels, image_files.read(deep, bits=12))
    (tmp_path / "notes.png").write_bytes(b"notes")
    for path, name, most in ((tmp_path / "notes.png", "a b.png", 10**7), (part, "part.png", 100)):
        with pytest.raises(LabError) as here:
            image_files.read(path, name, max_pixels=most)
        with pytest.raises(LabError) as there:
            workers.read(path, name, max_pixels=most)
        assert str(there.value) == str(here.value)
    assert idle(workers)._process.pid == process  # one process for all


def test_a_process_that_dies_or_hangs_is_replaced(
    workers: ImageWorkers, part: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workers.read(part, "part.png")
    for fault, patience, message in (
        (signal.SIGKILL, 30, "part.png: cannot be read, it is damaged"),
        (signal.SIGSTOP, 0.3, "part.png: takes longer than 0.3 s to read"),
    ):
        os.kill(idle(workers)._process.pid, fault)
        if fault == signal.SIGKILL:
            idle(workers)._process.wait()
        with monkeypatch.context() as patch:
            patch.setattr(image_workers, "MAX_SECONDS", patience)
            with pytest.raises(LabError, match=message):
                workers.read(part, "part.png")
        assert not workers._idle
        assert np.array_equal(workers.read(part, "part.png").pixels, stripes(1))


def test_cancelling_ends_the_process_at_once(workers: ImageWorkers, part: Path) -> None:
    workers.read(part, "part.png")
    process = idle(workers)._process
    os.kill(process.pid, signal.SIGSTOP)

    def cancel(fraction: float, message: str) -> None:
        raise Cancelled

    since = time.monotonic()
    with pytest.raises(Cancelled):
        workers.read(part, "part.png", report=cancel)
    assert time.monotonic() - since < 5 and process.poll() is not None


def test_waiting_for_others_is_told_and_counted(workers: ImageWorkers, part: Path) -> None:
    workers.read(part, "part.png")
    process, waited, said = idle(workers)._process.pid, list[float](), list[str]()
    os.kill(process, signal.SIGSTOP)
    other = threading.Thread(target=workers.read, args=(part, "other.png"))
    other.start()
    while workers._idle:
        time.sleep(0.01)
    threading.Timer(0.5, os.kill, (process, signal.SIGCONT)).start()
    workers.read(part, "part.png", report=lambda _, message: said.append(message), add_waiting=waited.append)
    other.join()
    assert 0.2 < sum(waited) < 5 and "waiting to read part.png" in said


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="the environment is read from /proc")
def test_it_knows_no_secret_and_may_write_nothing(
    workers: ImageWorkers, part: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    workers.read(part, "part.png")
    process = idle(workers)._process.pid
    assert b"hf_secret" not in Path(f"/proc/{process}/environ").read_bytes()
    limits = Path(f"/proc/{process}/limits").read_text().splitlines()
    (size,) = (line.split()[3:5] for line in limits if line.startswith("Max file size"))
    assert size == ["0", "0"]


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="memory is read from /proc")
def test_too_much_memory_is_a_sentence(tmp_path: Path) -> None:
    Image.new("RGB", (5000, 4000)).save(tmp_path / "large.png")
    code = "from lab import image_worker as w; w.MEGABYTES = 40; w.main()"
    request = dict(path=str(tmp_path / "large.png"), name="large.png", bits=16, max_pixels=10**8)
    lines = json.dumps(request).encode() + b"\n"
    done = subprocess.run([sys.executable, "-c", code], input=2 * lines, capture_output=True, cwd=ROOT, timeout=60)
    said = [json.loads(line)["error"] for line in done.stdout.splitlines()]
    assert len(said) == 2 and all(s.startswith("large.png: ") and "memory" in s for s in said), done


def test_a_kept_job_is_not_ended_by_a_newer_one() -> None:
    """Images dropped one after the other, and a fit asked for meanwhile: each starts when the one before has ended."""
    runner, order, gate = jobs.JobRunner(), list[str](), threading.Event()

    def job(name: str) -> jobs.Job:
        def run(report: object) -> str:
            gate.wait(10)
            no_report(0.5, name)
            order.append(name)
            return name

        return run

    threads = []
    for name, kept in (("first", True), ("second", True), ("fit", False), ("third", True)):
        threads.append(threading.Thread(target=list, args=(runner.run(job(name), kept=kept),)))
        threads[-1].start()
        time.sleep(0.3)  # the order in which they were asked for
    gate.set()
    for thread in threads:
        thread.join()
    assert order == ["first", "second", "third"]  # the newer job has ended the fit before it began
    assert runner.status.message == "third" and not runner.running

    gate.clear()
    thread = threading.Thread(target=list, args=(runner.run(job("kept"), kept=True),))
    thread.start()
    time.sleep(0.3)
    runner.supersede()
    assert not runner._stop.is_set()
    runner.cancel()  # the visitor's own wish
    assert runner._stop.is_set()
    gate.set()
    thread.join()
