"""What one visitor is offered to download, and the jobs that ask its source and fetch it. Knows no gradio."""

from __future__ import annotations

import functools
from collections.abc import Iterator

from ...progress import Report
from ..jobs import JobRunner
from .downloadable import Downloadable

MAX_MINUTES = 24 * 60  # of one visitor's downloads


class DownloadOffer:
    """Of one visitor; its jobs run beside those of the comparison.

    item      what is offered; None once it is here, or when another choice was made
    arrived   what needed no download: when its source was asked, another visitor had fetched it
    """

    def __init__(self) -> None:
        self.item: Downloadable | None = None
        self.arrived: Downloadable | None = None
        self.runner = JobRunner(MAX_MINUTES, private=False)

    def make(self, item: Downloadable) -> Iterator[set[str]]:
        """Offers it: what is known at once, then what its source says."""
        self.item = item
        yield from self.runner.run(functools.partial(self.ask, item))

    def take(self) -> Iterator[set[str]]:
        """Downloads what is offered; asks again where its source did not answer."""
        if (item := self.item) and not self.runner.running:
            yield from self.runner.run(functools.partial(self.fetch if item.origin else self.ask, item))

    def withdraw(self) -> None:
        """Another choice was made: what still runs for this one ends, and what it has fetched stays."""
        self.item = None
        self.runner.cancel()

    def close(self) -> None:
        self.runner.close()

    def ask(self, item: Downloadable, report: Report) -> str:
        described = item.described(report)
        if self.item is item:  # not if another choice was made meanwhile
            self.item, self.arrived = described, None if described else item
        return ""

    def fetch(self, item: Downloadable, report: Report) -> str:
        item.fetch(report)
        if self.item is item:
            self.item = None
        return ""
