"""The sessions of one tab: each visitor has one of their own, which ends when they leave or room is needed."""

import time
import weakref
from collections.abc import Callable
from typing import Any, Generic, Protocol, TypeVar

import gradio as gr

from ..lru_cache import LRUCache

MAX_SESSIONS = 200  # of one tab, where a tab sets no limit of its own
MAX_SILENCE = 2 * 3600  # seconds after a visitor's last sign of life, of their page or program, that their visit ends
_last_seen: dict[str, float] = {}  # visitor's key -> time.monotonic()


class Session(Protocol):
    """What one visitor does on one tab: owns its jobs, its memory and its files, and gives all of them up at once."""

    def close(self) -> None:
        """The visit is over: cancels what runs and forgets everything that was made. May be called more than once."""


S = TypeVar("S", bound=Session)


def session_key(request: gr.Request) -> str:
    """The visitor's key: a hash that the page, or a gradio client, sends. Nobody shares one by leaving it out."""
    if not request.session_hash:
        raise gr.Error("This needs a session of your own: send a session_hash, as gradio_client does.")
    return request.session_hash


class Sessions(Generic[S]):
    """Sessions by visitor, created by `create(key)` at the first request.

    size, limit   of a session, and of all together; past it the one unused for longest is closed
    """

    def __init__(self, create: Callable[[str], S], limit: int = MAX_SESSIONS, size: Callable[[S], int] = lambda _: 1):
        self._create = create
        _all_sessions.add(self)
        self._sessions: LRUCache[str, S] = LRUCache(limit, size, lambda session: session.close())

    def of(self, request: gr.Request) -> S:
        """The visitor's session; a new one at first."""
        _last_seen[key := session_key(request)] = time.monotonic()
        return self._sessions.get_or_create(key, lambda: self._create(key))

    def refresh(self, request: gr.Request) -> None:
        """Marks the visitor's session as in use, and measures it again: another may have to end."""
        self._sessions.refresh(session_key(request))

    def leave(self, request: gr.Request) -> None:
        """The visitor has left: their session is closed."""
        if session := self._sessions.pop(session_key(request)):
            session.close()

    def all(self) -> list[S]:
        """The open sessions, least recently used first."""
        return self._sessions.values()

    def end_silent(self, since: float) -> None:
        """Closes the sessions whose visitors were last seen before `since`."""
        for session in self._sessions.pop_where(lambda key: _last_seen.get(key, 0.0) < since):
            session.close()


_all_sessions: weakref.WeakSet[Sessions[Any]] = weakref.WeakSet()


def seen(key: str) -> None:
    """The page of that key has given a sign of life; one that has no visit is not kept in mind."""
    if key in _last_seen:
        _last_seen[key] = time.monotonic()


def end_silent_visits(now: float) -> None:
    """Ends the visits that were silent for longer than MAX_SILENCE at `now`, a time.monotonic()."""
    for sessions in list(_all_sessions):
        sessions.end_silent(now - MAX_SILENCE)
    for key in [key for key, at in list(_last_seen.items()) if at < now - MAX_SILENCE]:
        _last_seen.pop(key, None)
