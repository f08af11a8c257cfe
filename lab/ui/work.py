"""One visitor's long work: one job at a time, told as it goes on, cancelled at any moment. Knows no gradio."""

from __future__ import annotations

import contextvars
import secrets
import threading
import time
from collections.abc import Callable, Iterator

from ..errors import Cancelled, LabError
from ..method import Report
from ..parts import features
from . import memory, wording
from .service import sentence
from .sharing import WAITED

ENDED = "This visit is over, and its pictures are gone; reload the page and give them again."


class Work:
    """`run` does a job and yields whenever there is news; a newer job ends an older one and begins when that has ended.
    minutes: of all jobs, without waiting in the line; forget: drops what they made, at the end of the visit and again
    where a job outlasts it.

    told   how far it is (None: nothing runs), what is done, what it still takes
    """

    def __init__(self, minutes: float, forget: Callable[[], None] = lambda: None):
        self.minutes, self.forget, self.spent = minutes, forget, 0.0  # spent: seconds
        self.told: tuple[float | None, str, str] = (None, "", "")
        self.stop = threading.Event()
        self.running = self.over = False
        self._one = threading.Lock()  # a job that was stopped goes on to its next report
        self._begin = threading.Lock()
        self.owner = secrets.token_hex(8)  # of what is computed of the visitor's pictures

    def close(self) -> None:
        """The visit is over: its job ends, and all that was made is forgotten."""
        with self._begin:
            self.over = True
            self.stop.set()
        self._forget()

    def _forget(self) -> None:
        self.forget()
        features.CACHE.drop(self.owner)
        memory.give_back()

    def status(self) -> str:
        return wording.progress(*self.told)

    def run(self, job: Callable[[Report], str], beat: Callable[[], None] = lambda: None) -> Iterator[None]:
        """job(report) returns what came of it, in words; `beat` is called again and again while it goes on."""
        with self._begin:
            self.stop.set()
            stop = self.stop = threading.Event()
            if self.over:
                stop.set()
        self.running, self.told = True, (0.0, "beginning", "")
        inside = contextvars.copy_context()  # who asks: a lent GPU is asked for in their name
        inside.run(features.OWNER.set, self.owner)
        thread = threading.Thread(target=inside.run, args=(self._do, job, stop), name=self.owner, daemon=True)
        thread.start()
        shown = None
        while self.stop is stop:
            beat()
            if shown != self.told:
                shown = self.told
                yield
            if not thread.is_alive():
                if shown != self.told:
                    yield
                return
            thread.join(0.25)

    def _do(self, job: Callable[[Report], str], stop: threading.Event) -> None:
        with self._one:
            self._alone(job, stop)

    def _alone(self, job: Callable[[Report], str], stop: threading.Event) -> None:
        began = since = time.monotonic()

        def waited(seconds: float) -> None:
            nonlocal began, since
            began, since = began + seconds, since + seconds

        def report(fraction: float, words: str) -> None:
            nonlocal since
            if stop.is_set():
                raise Cancelled
            now = time.monotonic()
            if self.spent + now - began > 60 * self.minutes:
                raise LabError(f"This visit's {self.minutes:.0f} minutes of computing are used up; reload the page.")
            if not fraction:  # it begins
                since = now
            self.told = (fraction, words, wording.left(words, now - since, fraction))

        WAITED.set(waited)
        try:
            if stop.is_set():  # another job has come while this one waited for the last to end
                raise Cancelled
            words = job(report)
        except Cancelled:
            words = ENDED if self.over else "Cancelled. What was finished stays."
        except Exception as error:  # the end of a thread: whatever it was, the visitor reads a sentence
            words = sentence(error)
        self.spent += time.monotonic() - began
        if self.over:
            self._forget()
        if self.stop is stop:
            self.told, self.running = (None, words, ""), False
