"""Decodes visitors' images in processes of their own (`lab.image_worker`), bounded in memory and time.

A decoder that crashes, hangs or wants too much memory ends its process, not the page; the visitor reads a sentence.
Nothing that a worker says is unpickled: a line of JSON, then raw pixels.
"""

import atexit
import contextlib
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path
from typing import NamedTuple

import numpy as np

from .. import image_files
from ..errors import LabError
from ..progress import Report, no_report

MAX_SECONDS = 30  # of one image, on a busy machine too
POLL_SECONDS = 0.1  # between two looks at whether the visitor has cancelled
PASSED_ON = ("PATH", "LD_LIBRARY_PATH", "LANG", "LC_ALL", "SYSTEMROOT", "TEMP", "TMP")  # no token, no secret


class ReadImage(NamedTuple):
    """pixels: uint8 (H, W, 3); grey_bits: `image_files.grey_bits`."""

    pixels: np.ndarray
    grey_bits: int | None


NOTHING = ReadImage(np.empty((0, 0, 3), np.uint8), None)


class Worker:
    """One process, with the thread that talks to it."""

    def __init__(self) -> None:
        environment = {name: value for name, value in os.environ.items() if name in PASSED_ON}
        environment |= {"PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "OMP_NUM_THREADS": "1"}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "lab.image_worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # what C libraries say of damaged files
            env=environment,
        )
        self._thread = ThreadPoolExecutor(1, "image worker")

    def read(self, path: Path, name: str, bits: int, max_pixels: int, report: Report) -> ReadImage:
        """LabError for what is no image; the process ends where it fails, takes too long, or `report` raises."""
        request = {"path": str(path), "name": name, "bits": bits, "max_pixels": max_pixels}
        asked, until = self._thread.submit(self._ask, request), time.monotonic() + MAX_SECONDS
        try:
            while not asked.done() and time.monotonic() < until:
                wait([asked], POLL_SECONDS)
                report(0.0, f"reading {name}")
            error, found = asked.result(0)
        except TimeoutError:
            error = f"{name}: takes longer than {MAX_SECONDS} s to read; save it anew, as PNG or JPEG"
            self.close()
        except (OSError, EOFError, ValueError):
            error = f"{name}: cannot be read, it is damaged; save it anew, as PNG or JPEG"
            self.close()
        except BaseException:
            self.close()
            raise
        if error:
            raise LabError(error)
        return found

    def _ask(self, request: dict[str, object]) -> tuple[str, ReadImage]:
        """(what is wrong, "" for nothing; the image)."""
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin and stdout
        stdin.write(json.dumps(request).encode() + b"\n")
        stdin.flush()
        said = json.loads(stdout.readline() or b"null")
        if said is None:
            raise EOFError
        if "error" in said:
            return str(said["error"]), NOTHING
        pixels = np.empty(said["shape"], np.uint8)
        view, done = pixels.reshape(-1).data, 0
        while done < pixels.size:
            count = stdout.readinto(view[done:])  # type: ignore[attr-defined]
            if not count:
                raise EOFError
            done += count
        return "", ReadImage(pixels, said["grey_bits"])

    @property
    def is_alive(self) -> bool:
        return self._process.poll() is None

    def close(self) -> None:
        """Ends the process at once."""
        self._process.kill()
        self._process.wait()
        self._thread.shutdown()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe:
                with contextlib.suppress(OSError):  # what was to be written is of no use any more
                    pipe.close()


class ImageWorkers:
    """At most `count` workers at a time, started when needed and kept for the next image."""

    def __init__(self, count: int):
        self._places = threading.BoundedSemaphore(count)
        self._idle: list[Worker] = []
        atexit.register(self.close)

    def read(
        self,
        path: Path,
        name: str,
        bits: int = 16,
        max_pixels: int = image_files.MAX_PIXELS,
        report: Report = no_report,
        add_waiting: Callable[[float], None] = lambda seconds: None,
    ) -> ReadImage:
        """As `image_files.read`. `add_waiting` is called with the seconds spent waiting for others, bit by bit."""
        since = time.monotonic()
        while not self._places.acquire(timeout=POLL_SECONDS):
            before, since = since, time.monotonic()
            add_waiting(since - before)
            report(0.0, f"waiting to read {name}")
        try:
            worker = self._idle.pop() if self._idle else Worker()
            try:
                return worker.read(path, name, bits, max_pixels, report)
            finally:
                if worker.is_alive:
                    self._idle.append(worker)
        except OSError as error:
            raise LabError(f"{name}: cannot be read now ({error.strerror}); try again later") from None
        finally:
            self._places.release()

    def close(self) -> None:
        """Ends the workers that are idle; others may be started again."""
        while self._idle:
            self._idle.pop().close()


WORKERS = ImageWorkers(os.cpu_count() or 1)
