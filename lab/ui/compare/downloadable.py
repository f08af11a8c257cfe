"""What a visitor may choose though it is not here: categories of known sets, and backbones. Its licence and size are
shown first, it is fetched on demand, and no other is taken in its place. Knows no gradio.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from ... import data
from ...data import pulled_sets
from ...data.download_sources import Offer
from ...data.downloadable_sets import DOWNLOADABLE
from ...errors import Cancelled, LabError
from ...hub import downloads
from ...parts import features, pretrained_weights
from ...progress import Report, no_report
from ..detector_service import Place
from ..jobs import JobRunner
from ..view import View

Choice = tuple[str, str]
"""(what a menu says, value)"""
NOT_HERE = "to download"
MAX_MINUTES = 24 * 60  # of one visitor's downloads


@dataclass(frozen=True)
class Downloadable:
    """A category of a set, or a backbone. `licence`, `size` (bytes) and `origin` are those of `described`.

    source   the set; "" for a backbone
    name     the category, or the backbone's tag
    origin   where it comes from; "" until its source has described it
    """

    source: str
    name: str
    licence: str = ""
    size: int = 0
    origin: str = ""

    @property
    def title(self) -> str:
        return f"{self.source}, {self.name}" if self.source else f"the backbone {self.name}"

    def offer(self, shown: Place) -> str:
        """The offer in words, beside what is shown; before `described` only what is known without the net."""
        licence = f"Licence: {self.licence}" if self.licence else "Its licence and size are told by the Hub"
        size = f"{downloads.megabytes(self.size)} to download from {self.origin}" if self.origin else ""
        stays = f"What is shown stays {', '.join(shown)}, until it is here."
        return ". ".join(filter(None, [f"Not here yet: {self.title}", licence, size, stays]))

    def described(self, report: Report = no_report) -> Downloadable | None:
        """What its source says of it, of which no byte is fetched; None if it is here by now.

        Raises LabError in one sentence, and Cancelled by `report`.
        """
        report(0.0, f"asking what {self.title} weighs")
        if not self.source:
            if features.local_weights(self.name):
                return None
            backbone, origin = pretrained_weights.offer(self.name), pretrained_weights.repository(self.name)
            return Downloadable("", self.name, backbone.licence, backbone.size, f"{origin} at the Hub")
        offers = list[Offer]()

        def announce(offer: Offer) -> None:
            offers.append(offer)
            raise Cancelled  # before the first byte

        try:
            pulled_sets.pull(self.source, self.name, announce=announce, report=report)
        except Cancelled:
            if not offers:
                raise
            return Downloadable(self.source, self.name, offers[0].licence, offers[0].size, offers[0].source)
        return None

    def fetch(self, report: Report = no_report) -> None:
        """Downloads it, continuing what broke off. Raises LabError in one sentence, and Cancelled by `report`."""
        if self.source:
            pulled_sets.pull(self.source, self.name, report=report)
        else:
            pretrained_weights.fetch(self.name, report=report)


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


def missing(view: View) -> Downloadable | None:
    """The first thing of a view that is not here but could be fetched."""
    known = DOWNLOADABLE.get(view.source)
    if known and view.category in known.counts and view.category not in categories_here(view.source):
        return Downloadable(view.source, view.category, known.licence)
    return Downloadable("", view.backbone) if view.backbone and not features.local_weights(view.backbone) else None


def categories_here(source: str) -> list[str]:
    """The categories at hand of a set; none where it is not."""
    try:
        return data.categories(source) if source in data.sets() else []
    except LabError:
        return []


def sets() -> list[Choice]:
    return _choices(list(data.sets()), DOWNLOADABLE)


def categories(source: str) -> list[Choice]:
    return _choices(categories_here(source), DOWNLOADABLE[source].counts if source in DOWNLOADABLE else ())


def backbones(default: str) -> list[Choice]:
    """`default` is the one that methods take by themselves: no other stands for it."""
    tags = [default, *(tag for tag in features.BACKBONES if tag not in (default, "embedded"))]
    return [(tag if features.local_weights(tag) else f"{tag} ({NOT_HERE})", tag) for tag in tags]


def _choices(here: list[str], known: Iterable[str]) -> list[Choice]:
    return [(name, name) for name in here] + [(f"{name} ({NOT_HERE})", name) for name in known if name not in here]
