"""What a visitor may choose though it is not here: categories of known sets, and backbones. Licence and size are told
first, it is fetched when told to, and no other is taken in its place. Knows no gradio.
"""

from __future__ import annotations

from dataclasses import dataclass

from ... import data
from ...data import pull as sets_of_the_hub
from ...data.download_sources import Offer
from ...data.known_sets import KNOWN
from ...errors import Cancelled, LabError
from ...hub import downloads
from ...parts import features, pretrained_weights
from ...progress import Report, no_report
from ..view import View

Choice = tuple[str, str]
"""(what a menu says, value)"""
AWAY = "to download"


@dataclass(frozen=True)
class Wanted:
    """A category of a set, or a backbone. `licence`, `size` (bytes) and `source` are known once `asked`."""

    source: str  # set, "" for a backbone
    name: str  # category, or tag
    licence: str = ""
    size: int = 0
    told: str = ""  # where it comes from; "" until asked

    @property
    def title(self) -> str:
        return f"{self.source}, {self.name}" if self.source else f"the backbone {self.name}"

    def words(self, shown: View) -> str:
        """The offer; of what is not asked for yet only what is known without the net."""
        licence = f"Licence: {self.licence}" if self.licence else "Its licence and size are told by the Hub"
        size = f"{downloads.megabytes(self.size)} to download from {self.told}" if self.told else ""
        stays = f"What is shown stays {shown.source}, {shown.category}, until it is here."
        return ". ".join(filter(None, [f"Not here yet: {self.title}", licence, size, stays]))

    def asked(self, report: Report = no_report) -> Wanted | None:
        """What its source says of it, of which no byte is fetched; None if it is here by now. LabError in one sentence;
        Cancelled by `report`."""
        report(0.0, f"asking what {self.title} weighs")
        if not self.source:
            if features.local_weights(self.name):
                return None
            found = pretrained_weights.offer(self.name)
            return Wanted(
                "", self.name, found.licence, found.size, f"{pretrained_weights.repository(self.name)} at the Hub"
            )
        offers = list[Offer]()

        def heard(offer: Offer) -> None:
            offers.append(offer)
            raise Cancelled

        try:
            sets_of_the_hub.pull(self.source, self.name, announce=heard, report=report)
        except Cancelled:
            if offers:
                return Wanted(self.source, self.name, offers[0].licence, offers[0].size, offers[0].source)
            raise
        return None

    def fetch(self, report: Report = no_report) -> None:
        """Downloads it, continuing what broke off. LabError in one sentence; Cancelled by `report`."""
        if self.source:
            sets_of_the_hub.pull(self.source, self.name, report=report)
        else:
            pretrained_weights.fetch(self.name, report=report)


def missing(view: View) -> Wanted | None:
    """The first thing of a view that is not here but could be fetched."""
    known = KNOWN.get(view.source)
    if known and view.category in known.counts and view.category not in here(view.source):
        return Wanted(view.source, view.category, known.licence)
    return Wanted("", view.backbone) if view.backbone and not features.local_weights(view.backbone) else None


def here(source: str) -> list[str]:
    """The categories at hand of a set; none where it is not."""
    try:
        return data.categories(source) if source in data.sets() else []
    except LabError:
        return []


def sets() -> list[Choice]:
    held = list(data.sets())
    return [(name, name) for name in held] + [(f"{name} ({AWAY})", name) for name in KNOWN if name not in held]


def categories(source: str) -> list[Choice]:
    held = here(source)
    away = [name for name in KNOWN[source].counts if name not in held] if source in KNOWN else []
    return [(name, name) for name in held] + [(f"{name} ({AWAY})", name) for name in away]


def backbones(default: str) -> list[Choice]:
    """`default` is the one that methods take by themselves: no other stands for it."""
    tags = [default, *(tag for tag in features.BACKBONES if tag not in (default, "embedded"))]
    return [(tag if features.local_weights(tag) else f"{tag} ({AWAY})", tag) for tag in tags]
