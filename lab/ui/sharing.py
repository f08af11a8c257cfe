"""What visitors share: a shelf that forgets what is used least, and a line for long jobs."""

from __future__ import annotations

import contextlib
import threading
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator
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
        gone = list[V]()
        with self._lock:
            self._held[key] = value
            self._held.move_to_end(key)
            while len(self._held) > 1 and sum(map(self.size, self._held.values())) > self.limit:
                gone.append(self._held.popitem(last=False)[1])
        for one in gone:
            self.gone(one)
        return value

    def all(self) -> list[V]:
        with self._lock:
            return list(self._held.values())

    def drop(self, key: K) -> V | None:
        with self._lock:
            return self._held.pop(key, None)


class Line:
    """One long job at a time, first come, first served; those who wait hear their position and what runs now."""

    def __init__(self) -> None:
        self._tickets: deque[object] = deque()
        self._moved = threading.Condition()
        self.now = ""

    @contextlib.contextmanager
    def turn(self, report: Report) -> Iterator[None]:
        """Waits for its turn; `report` may raise Cancelled to leave the line."""
        ticket = object()
        with self._moved:
            self._tickets.append(ticket)
        try:
            while True:
                with self._moved:
                    if not (before := self._tickets.index(ticket)):
                        break
                    self._moved.wait(0.3)
                report(0.0, f"waiting, {before} before this one" + (f" (now {self.now})" if self.now else ""))
            yield
        finally:
            with self._moved:
                self._tickets.remove(ticket)
                self.now = ""
                self._moved.notify_all()
