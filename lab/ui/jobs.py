"""Long work that visitors ask for: one job at a time in a session, one at a time on the machine, cancelled at any
moment. Knows no gradio.
"""

import contextlib
import contextvars
import math
import secrets
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Set
from contextvars import ContextVar
from typing import NamedTuple

from markupsafe import Markup

from ..errors import Cancelled, LabError
from ..parts import features
from ..progress import Report
from . import allocator, phrases
from .html.render import render
from .phrases import error_message

CANCELLED = "Cancelled. What was finished stays."
ENDED = "This visit is over, and its images are gone; reload the page and give them again."
STATUS = "status"  # the part of a page that shows a job's status
Job = Callable[[Report], str]
"""job(report): runs to its end and returns a message"""
Changes = Iterator[set[str]]
add_waiting_seconds: ContextVar[Callable[[float], None]] = ContextVar("add_waiting_seconds")
"""Inside a job: is called with the seconds spent in the `JobQueue`, bit by bit; they do not count as computing."""


class JobStatus(NamedTuple):
    """How far a job is. fraction: in [0, 1], None where nothing runs; time_left: in words, "" where unknown."""

    fraction: float | None
    message: str
    time_left: str = ""

    def html(self) -> Markup:
        return render("html/status.html", **self._asdict())


class JobQueue:
    """One long job at a time on the machine, first come, first served; those who wait hear their position and what
    runs now.

    running   what the job under way does, in words; set by that job
    """

    def __init__(self) -> None:
        self._tickets: deque[object] = deque()
        self._moved = threading.Condition()
        self.running = ""

    @contextlib.contextmanager
    def turn(self, report: Report) -> Iterator[None]:
        """Waits until it is this job's turn and holds it for the block; `report` may raise Cancelled to leave."""
        ticket, since, add_waiting = object(), time.monotonic(), add_waiting_seconds.get(None)
        with self._moved:
            self._tickets.append(ticket)
        try:
            while True:
                with self._moved:
                    if ahead := self._tickets.index(ticket):
                        self._moved.wait(0.3)
                before, since = since, time.monotonic()
                if add_waiting:
                    add_waiting(since - before)
                if not ahead:
                    break
                report(0.0, f"waiting, {ahead} before this one" + (f" (now {self.running})" if self.running else ""))
            yield
        finally:
            with self._moved:
                if self._tickets[0] is ticket:
                    self.running = ""
                self._tickets.remove(ticket)
                self._moved.notify_all()


class JobRunner:
    """Runs the jobs of one session, each in a thread: a newer one ends an older one, and starts when that has ended.

    minutes     of computing that all jobs together may take; waiting in the `JobQueue` does not count
    on_close    gives up what the jobs have made; called at `close`, and again where a job outlasts it
    private     whether the jobs work on the session's own images: what shared caches hold of them goes with it
    status      of the job under way, or what came of the last one
    cancelled   the last job was cancelled
    unfinished  the last job was cancelled, or has ended in an error
    owner       names what shared caches hold of the session's images; "" where these are public
    """

    def __init__(self, minutes: float = math.inf, on_close: Callable[[], None] = lambda: None, private: bool = True):
        self.minutes, self.seconds_used = minutes, 0.0
        self.status = JobStatus(None, "")
        self.running = self.closed = self.cancelled = self.unfinished = False
        self.owner = secrets.token_hex(8) if private else ""
        self._on_close = on_close
        self._stop = threading.Event()  # of the newest job
        self._kept: set[threading.Event] = set()  # of jobs that a newer one does not end
        self._starting = threading.Lock()
        self._thread = threading.Thread()  # of the newest job
        self._changed: set[str] = set()

    def cancel(self) -> None:
        """Ends all jobs at their next reports."""
        for stop in (self._stop, *self._kept):
            stop.set()

    def supersede(self) -> None:
        """Ends the job under way as a newer one would: not where it is kept."""
        if self._stop not in self._kept:
            self._stop.set()

    def close(self) -> None:
        """The visit is over: its jobs end, and all that was made is given up."""
        with self._starting:
            self.closed = True
            self.cancel()
        self._give_up()

    def notify(self, *parts: str) -> None:
        """Called by a job: these parts of the page have changed."""
        self._changed |= set(parts)

    def run(
        self,
        job: Job,
        keep_alive: Callable[[], None] = lambda: None,
        changed: Set[str] = frozenset(),
        kept: bool = False,
    ) -> Changes:
        """Runs `job(report) -> message`; yields the parts of the page that have changed, at most four times a second.

        kept    a newer job does not end this one, but starts when it has ended: nothing that it does may be lost

        The first set holds `changed`; the last one is yielded when the job has ended; nothing is yielded once a newer
        job has begun. STATUS is in a set whenever the status has changed. `keep_alive` is called as long as the job
        goes on.
        """
        context = contextvars.copy_context()  # who asks: a lent GPU is asked for in their name
        context.run(features.OWNER.set, self.owner)
        with self._starting:
            self.supersede()
            stop, previous, shown = threading.Event(), self._thread, None
            work = (self._work, job, stop, previous)
            thread = threading.Thread(target=context.run, args=work, name=self.owner or "job", daemon=True)
            self._stop, self._thread = stop, thread
            if kept:
                self._kept.add(stop)
            if self.closed:
                stop.set()
            self.running, self.cancelled, self.unfinished = True, False, False
            self.status, self._changed = JobStatus(0.0, "beginning"), set(changed)
            thread.start()
        while self._stop is stop:
            keep_alive()
            ended = not thread.is_alive()
            parts, self._changed = self._changed, set()
            if shown != self.status:
                shown, parts = self.status, parts | {STATUS}
            if parts:
                yield parts
            if ended:
                return
            thread.join(0.25)

    def _work(self, job: Job, stop: threading.Event, previous: threading.Thread) -> None:
        if previous.ident:  # a job that was cancelled goes on to its next report
            previous.join()
        self._work_alone(job, stop)
        self._kept.discard(stop)

    def _work_alone(self, job: Job, stop: threading.Event) -> None:
        began = since = time.monotonic()

        def add_waiting(seconds: float) -> None:
            nonlocal began, since
            began, since = began + seconds, since + seconds

        def report(fraction: float, message: str) -> None:
            nonlocal since
            if stop.is_set():
                raise Cancelled
            now = time.monotonic()
            if self.seconds_used + now - began > 60 * self.minutes:
                raise LabError(f"This visit's {self.minutes:.0f} minutes of computing are used up; reload the page.")
            if not fraction:  # a new stage begins
                since = now
            self.status = JobStatus(fraction, message, phrases.time_left(message, now - since, fraction))

        add_waiting_seconds.set(add_waiting)
        cancelled, failed = False, False
        try:
            if stop.is_set():  # a newer job has come while this one waited for the last to end
                raise Cancelled
            message = job(report)
        except Cancelled:
            cancelled, message = True, ENDED if self.closed else CANCELLED
        except Exception as error:  # the end of a thread: whatever it was, the visitor reads a sentence
            failed, message = True, error_message(error)
        self.seconds_used += time.monotonic() - began
        if self.closed:
            self._give_up()
        if self._stop is stop:
            self.status, self.running = JobStatus(None, message), False
            self.cancelled, self.unfinished = cancelled, cancelled or failed

    def _give_up(self) -> None:
        self._on_close()
        if self.owner:
            features.CACHE.drop(self.owner)
        allocator.trim_malloc()
