"""The sessions of one tab: each visitor has one of their own, which ends when they leave or room is needed."""

from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

import gradio as gr

from ..lru_cache import LRUCache

MAX_SESSIONS = 200  # of one tab, where a tab sets no limit of its own


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
        self._sessions: LRUCache[str, S] = LRUCache(limit, size, lambda session: session.close())

    def of(self, request: gr.Request) -> S:
        """The visitor's session; a new one at first."""
        key = session_key(request)
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
