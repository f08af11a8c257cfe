"""The one cache in memory: the most recently used values, within a limit."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")


class LRUCache(Generic[K, V]):
    """Keeps the most recently used values whose sizes add up to at most `limit`; safe to use from several threads.

    size      of a value, in the unit of `limit`; measured again at every change, since values may grow
    on_evict  called, outside the lock, with each evicted value; not with one that `pop` returns

    The value used last stays, whatever its size.
    """

    def __init__(self, limit: int, size: Callable[[V], int] = lambda _: 1, on_evict: Callable[[V], None] | None = None):
        self.limit, self.size, self.on_evict = limit, size, on_evict
        self._values: OrderedDict[K, V] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: K) -> V | None:
        """The value, now the most recently used one; None where there is none."""
        with self._lock:
            if key in self._values:
                self._values.move_to_end(key)
            return self._values.get(key)

    def put(self, key: K, value: V) -> V:
        """Stores the value and returns it."""
        with self._lock:
            self._values[key] = value
            evicted = self._make_room(key)
        self._report_evicted(evicted)
        return value

    def get_or_create(self, key: K, create: Callable[[], V]) -> V:
        """The value, else a new one. Concurrent callers get the same value; a losing duplicate is evicted.

        `create` may take long: it runs outside the lock, so that other keys need not wait.
        """
        with self._lock:
            if key in self._values:
                self._values.move_to_end(key)
                return self._values[key]
        created = create()
        with self._lock:
            value = self._values.setdefault(key, created)
            evicted = self._make_room(key)
        self._report_evicted(evicted if value is created else [*evicted, created])
        return value

    def refresh(self, key: K) -> None:
        """Marks the value as just used and measures it again, which may evict others."""
        with self._lock:
            evicted = self._make_room(key) if key in self._values else []
        self._report_evicted(evicted)

    def pop(self, key: K) -> V | None:
        """Removes the value and returns it; None where there is none."""
        with self._lock:
            return self._values.pop(key, None)

    def values(self) -> list[V]:
        """A copy, least recently used first."""
        with self._lock:
            return list(self._values.values())

    def _make_room(self, key: K) -> list[V]:
        """Within the lock: makes `key` the most recently used one; removes and returns what exceeds the limit."""
        evicted = list[V]()
        self._values.move_to_end(key)
        while len(self._values) > 1 and sum(map(self.size, self._values.values())) > self.limit:
            evicted.append(self._values.popitem(last=False)[1])
        return evicted

    def _report_evicted(self, evicted: list[V]) -> None:
        if self.on_evict:
            for value in evicted:
                self.on_evict(value)
