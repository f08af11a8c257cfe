"""The methods fitted in a visit, the one shown, and what undo needs, all within the visit's memory."""

from typing import NamedTuple

from ...errors import LabError
from ...inspection.ranking import RankingResult
from ...lru_cache import LRUCache
from ...methods import METHODS
from . import limits
from .fitting import FittedMethod, JudgedImage
from .uploads import Role


class UndoStep(NamedTuple):
    """What learning an image as good has changed: its role, and the methods fitted before."""

    image: str
    role: Role
    fitted: dict[str, FittedMethod]


class FittedMethods:
    """The answers of one visit.

    published  where the panels of all visits fetch what is heavy, by `FittedMethod.key`
    fitted     by method
    method     the one shown, "" before there are answers
    image      name of the image shown
    """

    def __init__(self, published: LRUCache[str, FittedMethod]):
        self._published, self._published_keys = published, set[str]()
        self.fitted: dict[str, FittedMethod] = {}
        self.method = self.image = ""
        self.undo_steps: list[UndoStep] = []

    @property
    def shown(self) -> FittedMethod | None:
        return self.fitted.get(self.method)

    def require_shown(self) -> FittedMethod:
        """The method shown. Raises LabError before there are answers."""
        if not self.shown:
            raise LabError("Get answers first.")
        return self.shown

    @property
    def judged_image(self) -> JudgedImage | None:
        """What the method shown says of the image shown; None of an image that it has learned from, or no answers."""
        return next((judged for judged in self.shown.judged if judged.name == self.image), None) if self.shown else None

    def show(self, method: str) -> None:
        """Shows a fitted method; where it has not judged the image shown, the worst miss, else the highest score."""
        self.method, judged = method, self.fitted[method].judged
        if self.judged_image is None:
            score = lambda image: image.score
            missed = [image for image in judged if image.role.defective and image.verdict != "bad"]
            self.image = (min(missed, key=score) if missed else max(judged, key=score)).name

    def ranking(self) -> list[RankingResult]:
        """How the fitted methods did, best first."""
        results = [fitted.result for fitted in self.fitted.values()]
        return sorted(results, key=lambda result: (-(result.auroc or 0), result.missed, result.seconds))

    def add(self, method: str, fitted: FittedMethod) -> str:
        """Keeps it and makes room for it: what undo needs is discarded first, then the worst methods.

        Returns a sentence on the methods discarded, "" where there are none.
        """
        self.fitted[method], discarded = fitted, list[str]()
        while self.bytes() > limits.MAX_DETECTOR_MEGABYTES * limits.MEGABYTE:
            others = [r.method for r in reversed(self.ranking()) if r.method not in (method, self.method)]
            if self.undo_steps:
                self.undo_steps.pop(0)
            elif others:
                del self.fitted[others[0]]
                discarded.append(METHODS[others[0]].title)
            else:
                break
        self._publish()
        if not discarded:
            return ""
        return f"To stay within {limits.MAX_DETECTOR_MEGABYTES} MB, this visit no longer holds {', '.join(discarded)}."

    def replace_all(self, method: str, fitted: FittedMethod, step: UndoStep) -> None:
        """Keeps this method alone, and what it replaces for undo."""
        self.undo_steps.append(step)
        self.fitted = {}
        self.add(method, fitted)
        self.show(method)

    def undo(self) -> UndoStep:
        """Restores what was fitted before the last step, and returns the step."""
        step = self.undo_steps.pop()
        self.fitted = dict(step.fitted)
        self._publish()
        self.show(self.method if self.method in self.fitted else next(iter(self.fitted)))
        return step

    def clear(self) -> None:
        self.undo_steps, self.fitted, self.method = [], {}, ""
        self._publish()

    def bytes(self) -> int:
        """Of all that is held, undo included."""
        return sum(fitted.bytes for fitted in self._all_fitted().values())

    def _all_fitted(self) -> dict[str, FittedMethod]:
        """By key, with what undo needs."""
        every = [self.fitted, *(step.fitted for step in self.undo_steps)]
        return {fitted.key: fitted for by_method in every for fitted in by_method.values()}

    def _publish(self) -> None:
        """Panels may fetch what this visit holds, and nothing else of it."""
        by_key, before = self._all_fitted(), self._published_keys
        self._published_keys = set(by_key)
        for key in before - by_key.keys():
            self._published.pop(key)
        for key in by_key.keys() - before:
            self._published.put(key, by_key[key])
