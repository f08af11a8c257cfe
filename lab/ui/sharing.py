"""What visitors share: a shelf that forgets what is used least, and a line for long jobs."""

from __future__ import annotations

import contextlib
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import Generic, TypeVar

from ..method import Report

K = TypeVar("K")
V = TypeVar("V")


class Shelf(Generic[K, V]):
    """The most recently used values, at most `limit` in total of what `size` says of each; `gone` hears of others."""

    def __init__(self, limit: int, size: Callable[[V], int] = lambda _: 1, gone: Callable[[V], None] = lambda _: None):
        self.limit, self.size, self.gone = limit, size, gone
        self._held: OrderedDict[K, V] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: K) -> V | None:
        with self._lock:
            if key in self._held:
                self._held.move_to_end(key)
            return self._held.get(key)

    def put(self, key: K, value: V) -> V:
        with self._lock:
            self._held[key] = value
            gone = self._used(key)
        self._tell(gone)
        return value

    def take(self, key: K, make: Callable[[], V]) -> V:
        """The value there, else a new one: the same one for all who ask at once, and what was made to no use is gone.

        `make` may take long: who wants another key does not wait for it.
        """
        with self._lock:
            if key in self._held:
                self._held.move_to_end(key)
                return self._held[key]
        made = make()
        with self._lock:
            held = self._held.setdefault(key, made)
            gone = self._used(key)
        self._tell(gone if held is made else [*gone, made])
        return held

    def grown(self, key: K) -> None:
        """It is in use and may weigh more than it did: others may have to go."""
        with self._lock:
            gone = self._used(key) if key in self._held else []
        self._tell(gone)

    def all(self) -> list[V]:
        with self._lock:
            return list(self._held.values())

    def drop(self, key: K) -> V | None:
        with self._lock:
            return self._held.pop(key, None)

    def _used(self, key: K) -> list[V]:
        """Within the lock: what has to go now that this one is the most recently used."""
        gone = list[V]()
        self._held.move_to_end(key)
        while len(self._held) > 1 and sum(map(self.size, self._held.values())) > self.limit:
            gone.append(self._held.popitem(last=False)[1])
        return gone

    def _tell(self, gone: list[V]) -> None:
        for one in gone:
            self.gone(one)


WAITED: ContextVar[Callable[[float], None]] = ContextVar("waited", default=lambda seconds: None)
"""Hears of the seconds that pass in a line, bit by bit: whoever counts the time of a job sets it."""


class Line:
    """One long job at a time, first come, first served; those who wait hear their position and what runs now."""

    def __init__(self) -> None:
        self._tickets: deque[object] = deque()
        self._moved = threading.Condition()
        self.now = ""

    @contextlib.contextmanager
    def turn(self, report: Report) -> Iterator[None]:
        """Waits for its turn; `report` may raise Cancelled to leave the line."""
        ticket, since = object(), time.monotonic()
        with self._moved:
            self._tickets.append(ticket)
        try:
            while True:
                with self._moved:
                    if before := self._tickets.index(ticket):
                        self._moved.wait(0.3)
                now = time.monotonic()
                WAITED.get()(now - since)
                since = now
                if not before:
                    break
                report(0.0, f"waiting, {before} before this one" + (f" (now {self.now})" if self.now else ""))
            yield
        finally:
            with self._moved:
                if self._tickets[0] is ticket:
                    self.now = ""
                self._tickets.remove(ticket)
                self._moved.notify_all()
