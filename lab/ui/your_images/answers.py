"""What one visitor's images were answered with: methods fitted, tried, refitted, taken back. Knows no gradio."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from ...errors import LabError
from ...inspection import nearest_patches, ranking
from ...lru_cache import LRUCache
from ...methods import METHODS
from ...progress import Report
from ..detector_service import DetectorService
from . import report
from .fitting import Fitted, Late, fitted
from .uploads import MEMORY, ROLES, Uploads

QUICK = "patchcore"


class Past(NamedTuple):
    """What marking an image as a false alarm has changed."""

    name: str
    role: str
    fitted: dict[str, Fitted]


class Answers:
    """Of one visit. `desk` is where the panels of all visits fetch what is heavy, by keys that nobody can guess."""

    def __init__(self, service: DetectorService, desk: LRUCache[str, Any]):
        self.service, self.desk, self.uploads = service, desk, Uploads()
        self.fitted: dict[str, Fitted] = {}
        self.method = ""  # of those fitted, the one shown
        self.at = ""  # name of the image shown
        self.past: list[Past] = []
        self.unit = 0.0  # seconds of a pass, once measured
        self._usual = "", np.empty(0)

    def expected(self, method: str) -> float:
        """Seconds its fit will take, by this machine's speed."""
        return ranking.expected_seconds(method, len(self.uploads.of("good")), self.unit or ranking.DEFAULT_PASS_SECONDS)

    def answer(self, method: str, report: Report) -> str:
        gone = self._hold(method, self._fit(method, report))
        self.show(method)
        return f"{self.words()} {gone}".strip()

    def answer_all(self, report: Report) -> str:
        """Methods fitted quickest first while the minute lasts, ranked; the best is shown, the rest offered.

        None is begun that would not fit in, and one that does not come to its end in time is given up.
        """
        left, told, passes, seconds = ranking.BUDGET_SECONDS, list[str](), 0.0, 0.0
        self.unit = self.unit or ranking.seconds_per_pass()
        done = [m for m, held in self.fitted.items() if held.result.auroc is not None]
        for method in sorted(METHODS, key=self.expected):
            if method in done:
                continue
            if done and self.expected(method) > left:
                break

            def now(fraction: float, words: str, method: str = method, left: float = left) -> None:
                share = min(self.expected(method), left) * fraction
                report(
                    (ranking.BUDGET_SECONDS - left + share) / ranking.BUDGET_SECONDS,
                    f"{METHODS[method].title}: {words}",
                )

            cost = self.expected(method) / self.unit
            try:
                made = self._fit(method, now, rank=True, within=left if done else None)
            except Late:
                break
            except LabError as error:
                told.append(str(error))
                continue
            left, passes, seconds = left - made.took, passes + cost, seconds + made.result.seconds
            self.unit = seconds / passes  # what was fitted says best how quick this machine is now
            told.append(self._hold(method, made))
            done.append(method)
        if not self.fitted:
            raise LabError(told[0])
        self.show(self.ranking()[0].method)
        return " ".join(dict.fromkeys([self.words(), *filter(None, told)]))

    def ranking(self) -> list[ranking.RankingResult]:
        """Best first."""
        results = [held.result for held in self.fitted.values()]
        return sorted(results, key=lambda r: (-(r.auroc or 0), r.missed, r.seconds))

    def show(self, method: str) -> None:
        self.method = method
        names = [judged.name for judged in self.fitted[method].judged]
        self.at = self.at if self.at in names else max(self.fitted[method].judged, key=lambda j: j.score).name

    def _fit(
        self, method: str, report: Report, rank: bool = False, within: float | None = None, learn: str = ""
    ) -> Fitted:
        """learn: the name of an image that is taken as good."""
        every = [replace(one, role="good") if name == learn else one for name, one in self.uploads.held.items()]
        good, bad, new = ([one for one in every if one.role == role] for role in ("good", "bad", "new"))
        return fitted(self.service, method, good, [*bad, *new], report, rank=rank, within=within)

    def _hold(self, method: str, made: Fitted) -> str:
        """Keeps it within the visit's memory; returns a sentence on what had to go: what undo needs, then the worst."""
        before, self.fitted[method] = self.fitted.get(method), made
        self.desk.put(made.key, made.payload)
        self._clear([before] if before else [])
        gone = list[str]()
        while self.bytes() > MEMORY * 10**6:
            worst = [r.method for r in reversed(self.ranking()) if r.method not in (method, self.method)]
            if self.past:
                self._clear(self.past.pop(0).fitted.values())
            elif worst:
                self._clear([self.fitted.pop(worst[0])])
                gone.append(METHODS[worst[0]].title)
            else:
                break
        return f"To stay within {MEMORY} MB, this visit no longer holds {', '.join(gone)}." if gone else ""

    def bytes(self) -> int:
        return sum(held.bytes for held in self._every().values())

    def _every(self) -> dict[str, Fitted]:
        """key -> what was fitted, with what undo needs."""
        every = [*self.fitted.values(), *(held for past in self.past for held in past.fitted.values())]
        return {held.key: held for held in every}

    def _clear(self, gone: Iterable[Fitted]) -> None:
        """Takes off the desk what nothing holds any more."""
        held = self._every()
        for one in gone:
            if one.key not in held:
                self.desk.pop(one.key)

    def words(self) -> str:
        """What the method shown says of all, in a sentence."""
        held = self.fitted[self.method]
        return report.summary(METHODS[self.method].title, held.judged, len(held.good))

    def false_alarm(self, name: str, report: Report) -> str:
        """An image that was called bad is sound: it joins the good ones, and the method shown is refitted."""
        one = self.uploads.held.get(name)
        if not self.method or one is None:
            raise LabError("Get answers first, then choose the image that is a false alarm.")
        if one.role == "good":
            raise LabError(f"{name} is among the good images already.")
        made = self._fit(self.method, report, rank=self.fitted[self.method].result.synthetic, learn=name)
        self.past.append(Past(name, one.role, dict(self.fitted)))
        one.role, self.fitted = "good", {self.method: made}
        self._hold(self.method, made)
        self.show(self.method)
        return f"{name} is now one of {len(made.good)} good images. {self.words()}"

    def undo(self) -> str:
        """Takes the last false alarm back; what was fitted before is there at once."""
        if not self.past:
            return "There is nothing to undo."
        past = self.past.pop()
        self.uploads.held[past.name].role = past.role
        taken, self.fitted = self.fitted, dict(past.fitted)
        self._clear(taken.values())
        self.method = self.method if self.method in past.fitted else next(iter(past.fitted))
        self.show(self.method)
        return f"{past.name} is {ROLES[past.role]} again. {self.words()}"

    def bank(self, report: Report) -> Fitted:
        """PatchCore on the good images: its memory knows where its patches came from."""
        if QUICK not in self.fitted:
            self._hold(QUICK, self._fit(QUICK, report))
        return self.fitted[QUICK]

    def usual(self, report: Report) -> np.ndarray:
        """Distances of good patches to the nearest of other images, ascending, of the `bank`."""
        bank = self.bank(report)
        if self._usual[0] != bank.key:
            size = bank.detector.settings.size
            self._usual = (
                bank.key,
                nearest_patches.normal_distances(
                    bank.detector, [self.uploads.held[name].at(size) for name in bank.good]
                ),
            )
        return self._usual[1]

    def _forget(self) -> None:
        gone, self.past, self.fitted, self.method = self._every(), [], {}, ""
        self._clear(gone.values())
