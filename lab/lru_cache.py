"""The one cache in memory: the most recently used values, within a limit."""

import contextlib
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")


class LRUCache(Generic[K, V]):
    """Keeps the most recently used values whose sizes add up to at most `limit`; safe to use from several threads.

    size      of a value, in the unit of `limit`; measured again at every change, since values may grow
    on_evict  called, outside the lock, with each evicted value; not with one that `pop` returns

    The value used last stays, whatever its size.
    """

    def __init__(
        self, limit: int, size: Callable[[V], int] = lambda _: 1, on_evict: Callable[[V], object] = lambda _: None
    ):
        self.limit, self.size, self.on_evict = limit, size, on_evict
        self._values: OrderedDict[K, V] = OrderedDict()
        self._lock = threading.Lock()

    @contextlib.contextmanager
    def _using(self, key: K) -> Iterator[list[V]]:
        """Holds the lock; then marks `key` as just used and evicts what exceeds the limit, and what the block lists."""
        evicted = list[V]()
        with self._lock:
            yield evicted
            if key in self._values:
                self._values.move_to_end(key)
                while len(self._values) > 1 and sum(map(self.size, self._values.values())) > self.limit:
                    evicted.append(self._values.popitem(last=False)[1])
        for value in evicted:
            self.on_evict(value)

    def get(self, key: K) -> V | None:
        """The value, now the most recently used one; None where there is none."""
        with self._lock:
            if key in self._values:
                self._values.move_to_end(key)
            return self._values.get(key)

    def put(self, key: K, value: V) -> V:
        """Stores the value and returns it."""
        with self._using(key):
            self._values[key] = value
        return value

    def get_or_create(self, key: K, create: Callable[[], V]) -> V:
        """The value, else a new one, created outside the lock. Concurrent callers share one; duplicates are evicted."""
        if (value := self.get(key)) is None:
            created = create()
            with self._using(key) as evicted:
                value = self._values.setdefault(key, created)
                evicted += [created] if value is not created else []
        return value

    def refresh(self, key: K) -> None:
        """Marks the value as just used and measures it again, which may evict others."""
        with self._using(key):
            pass

    def pop(self, key: K) -> V | None:
        """Removes the value and returns it; None where there is none."""
        with self._lock:
            return self._values.pop(key, None)

    def pop_where(self, condition: Callable[[K], bool]) -> list[V]:
        """Removes the values whose keys fulfil the condition and returns them."""
        with self._lock:
            return [self._values.pop(key) for key in list(self._values) if condition(key)]

    def keys(self) -> list[K]:
        """A copy, least recently used first."""
        with self._lock:
            return list(self._values)

    def values(self) -> list[V]:
        """A copy, least recently used first."""
        with self._lock:
            return list(self._values.values())
