"""One visitor's own images: what was given, what was fitted to it, what is shown. Knows no gradio."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Any

from ...calibration import MIN_IMAGES
from ...checks import data_check
from ...inspection import ranking
from ...lru_cache import LRUCache
from ...methods import METHODS
from ...progress import Report
from ..detector_service import DetectorService
from ..jobs import Work
from ..panel import payload
from . import report
from .answers import Answers
from .fitting import TRUTH
from .uploads import MINUTES, ROLES, Upload

KIND = {"bad": "given as bad", "new": "to judge", "good": "given as good"}


class Own(Answers):
    """A visit: its images, the data check, and what its panel and its downloads hold."""

    def __init__(self, service: DetectorService, desk: LRUCache[str, Any], key: str = ""):
        super().__init__(service, desk)
        self.key = key  # by which it is known among the visits
        self.work = Work(MINUTES, self._gone)
        self.hints: list[data_check.Hint] = []
        self.kept: set[str] = set()  # words of hints that were settled
        self.checked: list[Upload] = []  # what the data check has seen
        self.sent: set[Path] = set()  # files of a web server: in which images came, and what is offered
        self.offered: set[Path] = set()  # of those, what may be taken along now
        self._thumbs: tuple[str, tuple[str, ...]] = ("", ())

    def close(self) -> None:
        self.work.close()

    def _gone(self) -> None:
        self._forget()
        self.desk.pop(self._thumbs[0])
        self.uploads.close()

    # --- what was given -----------------------------------------------------------------------------------------------

    def take(self, paths: list[str], role: str) -> str:
        """Takes files in; returns what came of it, in words."""
        before = len(self.uploads.held)
        refused = self.uploads.take(paths, role)
        self._changed()
        came = len(self.uploads.held) - before
        told = f"{came} {'image' if came == 1 else 'images'} taken ({ROLES[role]})."
        if refused:
            more = f"; and {len(refused) - 3} more" if refused[3:] else ""
            told += f" Not taken: {'; '.join(refused[:3])}{more}."
        return told

    def leave_out(self, names: list[str]) -> None:
        for name in names:
            self.uploads.drop(name)
        self._changed()

    def keep(self, words: str) -> None:
        """A hint is settled: the images are as they should be."""
        self.kept.add(words)
        self.hints = [hint for hint in self.hints if hint.words not in self.kept]

    def look(self, report: Report) -> str:
        """The data check; fills `hints`."""
        good, others = self.uploads.of("good"), self.uploads.of("bad", "new")
        found = data_check.check_images([one.look for one in good], [one.look for one in others], report)
        self.hints = []  # never with images that they do not speak of
        self.checked = [*good, *others]
        self.hints = [hint for hint in found if hint.words not in self.kept]
        self.unit = ranking.seconds_per_pass()
        if not good:
            return ""
        told = f"{len(self.hints)} to look at, above." if self.hints else "nothing odd found."
        return f"Data check of {len(good)} good images: {told}"

    def _changed(self) -> None:
        """Images have come or gone: what was fitted no longer speaks of them."""
        self.work.stop.set()
        self._forget()

    # --- what is shown ------------------------------------------------------------------------------------------------

    def pick(self, name: str) -> None:
        if name in self.uploads.held:
            self.at = name

    def hottest(self) -> tuple[float, float]:
        """Where the heat of the image shown is greatest, shares of width and height."""
        judged = self.fitted[self.method].judged if self.method else ()
        return next((j.hottest for j in judged if j.name == self.at), (0.5, 0.5))

    def panel(self) -> dict[str, Any] | None:
        """The state of the live panel; see `panel/component.py`. None before there are answers."""
        if not self.method:
            return None
        held = self.fitted[self.method]
        names = [judged.name for judged in held.judged]
        at = names.index(self.at) if self.at in names else 0  # one it has learned from is not judged
        chosen = self.uploads.held[names[at]]
        thumbs = tuple(self.uploads.held[name].thumb for name in names)
        if self._thumbs[1] != thumbs:
            self.desk.pop(self._thumbs[0])
            self._thumbs = secrets.token_hex(16), thumbs
            self.desk.put(*self._thumbs)
        calibration = held.detector.calibration
        assert calibration is not None
        kind, count = METHODS[self.method], len(self.uploads.held)
        return {
            "address": {},
            "set": {
                "key": self._thumbs[0],
                "drawn": len(thumbs),
                "images": [
                    dict(name=j.name, label=j.name, slug=j.name, group=KIND[j.role], bad=TRUTH[j.role])
                    for j in held.judged
                ],
                "source": f"{count} images of this visit, which go with it",
            },
            "chosen": at,
            "image": payload.shown_image(chosen.pixels(), None, KIND[chosen.role]),
            "slots": [{
                "key": self.method, "title": kind.title, "paper": kind.paper, "status": "", "judged": None,
                "scale": payload.scale_payload(calibration), "finding": held.payload["images"][at],
                "payload_key": held.key,
            }],
        }  # fmt: skip

    def ready(self) -> bool:
        return len(self.uploads.of("good")) >= MIN_IMAGES

    def files(self) -> list[str]:
        """Detector, table and report of the method shown, written anew."""
        held = self.fitted[self.method]
        folder = Path(self.uploads.folder)
        paths = [folder / f"{self.method}{ending}" for ending in (".safetensors", ".csv", ".html")]
        held.detector.save(paths[0])
        paths[1].write_text(report.table(held.judged), encoding="utf-8")
        paths[2].write_text(
            report.page(held.detector, held.judged, self.words(), self.ranking(), self.hints), encoding="utf-8"
        )
        return list(map(str, paths))
