"""One visitor's own pictures: what was given, what was fitted to it and what that says. Knows no gradio."""

from __future__ import annotations

import dataclasses
import secrets
import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from .. import check, plots, trial, why
from ..detector import FEWEST, Detector, Finding
from ..errors import LabError
from ..method import Report
from ..methods import METHODS
from . import encoding, evidence, handout
from .evidence import Truth
from .handout import Judged
from .service import Service
from .sharing import Shelf
from .uploads import MINUTES, ROLES, Upload, Uploads
from .work import Work

QUICK = "patchcore"
KIND = {"bad": "given as bad", "new": "to judge", "good": "given as good"}
TRUTH = {"bad": True, "new": None, "good": False}


@dataclasses.dataclass(frozen=True)
class Fitted:
    """A detector fitted to the pictures `good`, and what it says of `judged`, in the order shown."""

    detector: Detector
    good: tuple[str, ...]
    judged: tuple[Judged, ...]
    payload: dict[str, Any]
    key: str
    result: trial.Result


class Past(NamedTuple):
    """What marking a picture as a false alarm has changed."""

    name: str
    role: str
    fitted: dict[str, Fitted]


class Own:
    """Of one visit. `desk` is where the panels of all visits fetch what is heavy, by keys that nobody can guess."""

    def __init__(self, service: Service, desk: Shelf[str, Any]):
        self.service, self.desk = service, desk
        self.uploads, self.work = Uploads(), Work(MINUTES)
        self.hints: list[check.Hint] = []
        self.kept: set[str] = set()  # words of hints that were settled
        self.checked: list[Upload] = []  # what the data check has seen
        self.fitted: dict[str, Fitted] = {}
        self.method = ""  # of those fitted, the one shown
        self.at = ""  # name of the picture shown
        self.spot = (0.5, 0.5)  # chosen in it, shares of width and height
        self.past: list[Past] = []
        self.unit = 0.0  # seconds of a pass, once measured
        self._thumbs: tuple[str, tuple[str, ...]] = ("", ())
        self._usual = "", np.empty(0)

    def close(self) -> None:
        self.work.stop.set()
        for fitted in self.fitted.values():
            self.desk.drop(fitted.key)
        self.desk.drop(self._thumbs[0])
        self.uploads.close()

    # --- what was given -----------------------------------------------------------------------------------------------

    def take(self, paths: list[str], role: str) -> str:
        """Takes files in; returns what came of it, in words."""
        before = len(self.uploads.held)
        refused = self.uploads.take(paths, role)
        self._changed()
        came = len(self.uploads.held) - before
        told = f"{came} {'picture' if came == 1 else 'pictures'} taken ({ROLES[role]})."
        if refused:
            more = f"; and {len(refused) - 3} more" if refused[3:] else ""
            told += f" Not taken: {'; '.join(refused[:3])}{more}."
        return told

    def leave_out(self, names: list[str]) -> None:
        for name in names:
            self.uploads.drop(name)
        self._changed()

    def keep(self, words: str) -> None:
        """A hint is settled: the pictures are as they should be."""
        self.kept.add(words)
        self.hints = [hint for hint in self.hints if hint.words not in self.kept]

    def look(self, report: Report) -> str:
        """The data check; fills `hints`."""
        good, others = self.uploads.of("good"), self.uploads.of("bad", "new")
        found = check.check([one.look for one in good], [one.look for one in others], report)
        self.hints, self.checked = [hint for hint in found if hint.words not in self.kept], [*good, *others]
        self.unit = trial.a_pass()
        if not good:
            return ""
        told = f"{len(self.hints)} to look at, above." if self.hints else "nothing odd found."
        return f"Data check of {len(good)} good pictures: {told}"

    def _changed(self) -> None:
        """Pictures have come or gone: what was fitted no longer speaks of them."""
        self.work.stop.set()
        self.past, self.fitted, self.method = [], {}, ""

    # --- answers ------------------------------------------------------------------------------------------------------

    def expected(self, method: str) -> float:
        """Seconds its fit will take."""
        return trial.expected(method, len(self.uploads.of("good")), self.unit or 0.02)

    def answer(self, method: str, report: Report) -> str:
        self.fitted[method] = self._fit(method, report)
        self.show(method)
        return self.words()

    def answer_all(self, report: Report) -> str:
        """What fits within a minute, ranked; the best is shown."""
        methods, failed = trial.affordable(len(self.uploads.of("good")), self.unit or trial.a_pass()), list[str]()
        for number, method in enumerate(methods):

            def told(fraction: float, words: str, number: int = number, method: str = method) -> None:
                report((number + fraction) / len(methods), f"{METHODS[method].title}: {words}")

            try:
                if method not in self.fitted or self.fitted[method].result.auroc is None:
                    self.fitted[method] = self._fit(method, told, rank=True)
            except LabError as error:
                failed.append(str(error))
        if not self.fitted:
            raise LabError(failed[0])
        self.show(self.ranking()[0].method)
        return " ".join([self.words(), *dict.fromkeys(failed)])

    def ranking(self) -> list[trial.Result]:
        """Best first."""
        results = [fitted.result for fitted in self.fitted.values()]
        return sorted(results, key=lambda r: (-(r.auroc or 0), r.missed, r.seconds))

    def show(self, method: str) -> None:
        self.method = method
        names = [judged.name for judged in self.fitted[method].judged]
        self.at = self.at if self.at in names else max(self.fitted[method].judged, key=lambda j: j.score).name

    def _fit(self, method: str, report: Report, rank: bool = False) -> Fitted:
        detector, began = Detector(method, **self.service.settings(method)), time.monotonic()
        size, good = detector.settings.size, self.uploads.of("good")
        share = lambda low, high: lambda f, words: report(low + f * (high - low), words)
        with self.service.line.turn(report):
            self.service.line.now = f"{METHODS[method].title} on a visitor's pictures"
            pictures = [one.at(size) for one in good]
            detector.fit(pictures, seed=self.service.seed, report=share(0, 0.6))
            judged: list[tuple[Upload, Finding]] = []
            others = self.uploads.of("bad", "new")
            for number, one in enumerate(others):
                report(0.6 + 0.1 * number / len(others), f"judging {number + 1} of {len(others)} pictures")
                judged.append((one, detector.finding(detector.raw(one.at(size)), (size, size))))
            held = trial.unseen(detector, pictures, share(0.7, 0.8))
            judged += [(good[i], held[i]) for i in sorted(held)]
            seconds = time.monotonic() - began
            scores = {role: [f.score for one, f in judged if one.role == role] for role in ROLES}
            result = trial.result(detector, scores["good"], scores["bad"], seconds)
            if rank and not scores["bad"]:
                result = trial.by_made_marks(detector, pictures, seconds, share(0.8, 1))
        c = detector.calibration
        assert c is not None
        low, high = c.span
        rows = tuple(
            Judged(
                one.name, one.role, found.score, found.verdict, float(found.mask.mean()), plots.place(found.heat),
                encoding.picture(plots.heat_overlay(one.at(size), found.heat, low=low, high=high)),
            )
            for one, found in judged
        )  # fmt: skip
        payload = evidence.payload(c, [found for _, found in judged], [Truth(TRUTH[one.role]) for one, _ in judged])
        fitted = Fitted(detector, tuple(one.name for one in good), rows, payload, secrets.token_hex(16), result)
        report(1.0, "done")  # the last moment to be cancelled: the pictures may have changed meanwhile
        self.desk.put(fitted.key, payload)
        return fitted

    def words(self) -> str:
        """What the method shown says of all, in a sentence."""
        fitted = self.fitted[self.method]
        return handout.summary(METHODS[self.method].title, fitted.judged, len(fitted.good))

    def false_alarm(self, name: str, report: Report) -> str:
        """A picture that was called bad is sound: it joins the good ones, and the method shown is refitted."""
        one = self.uploads.held.get(name)
        if not self.method or one is None:
            raise LabError("Get answers first, then choose the picture that is a false alarm.")
        if one.role == "good":
            raise LabError(f"{name} is among the good pictures already.")
        past, one.role = Past(name, one.role, dict(self.fitted)), "good"
        try:
            fitted = self._fit(self.method, report, rank=self.fitted[self.method].result.made)
        except BaseException:
            one.role = past.role
            raise
        self.past.append(past)
        self.fitted = {self.method: fitted}
        self.show(self.method)
        return f"{name} is now one of {len(fitted.good)} good pictures. {self.words()}"

    def undo(self) -> str:
        """Takes the last false alarm back; what was fitted before is there at once."""
        if not self.past:
            return "There is nothing to undo."
        past = self.past.pop()
        self.uploads.held[past.name].role = past.role
        self.fitted = past.fitted
        self.method = self.method if self.method in past.fitted else next(iter(past.fitted))
        self.show(self.method)
        return f"{past.name} is {ROLES[past.role]} again. {self.words()}"

    # --- what is shown ------------------------------------------------------------------------------------------------

    def pick(self, name: str) -> None:
        if name in self.uploads.held:
            self.at, self.spot = name, (0.5, 0.5)

    def panel(self) -> dict[str, Any] | None:
        """The state of the live panel; see `panel.py`. None before there are answers."""
        if not self.method:
            return None
        fitted = self.fitted[self.method]
        names = [judged.name for judged in fitted.judged]
        at, chosen = names.index(self.at), self.uploads.held[self.at]
        thumbs = tuple(self.uploads.held[name].thumb for name in names)
        if self._thumbs[1] != thumbs:
            self.desk.drop(self._thumbs[0])
            self._thumbs = secrets.token_hex(16), thumbs
            self.desk.put(*self._thumbs)
        calibration = fitted.detector.calibration
        assert calibration is not None
        kind, count = METHODS[self.method], len(self.uploads.held)
        return {
            "address": {},
            "set": {
                "key": self._thumbs[0],
                "drawn": len(thumbs),
                "pictures": [
                    dict(name=j.name, nice=j.name, slug=j.name, kind=KIND[j.role], bad=TRUTH[j.role])
                    for j in fitted.judged
                ],
                "source": f"{count} pictures of this visit, which go with it",
            },
            "at": at,
            "picture": evidence.shown(chosen.pixels(), None, KIND[chosen.role]),
            "slots": [{
                "key": self.method, "title": kind.title, "paper": kind.paper, "why": "", "judged": None,
                "scale": evidence.scale(calibration), "heat": fitted.payload["pictures"][at], "survey": fitted.key,
            }],
        }  # fmt: skip

    def bank(self, report: Report) -> Fitted:
        """PatchCore on the good pictures: its memory knows where its patches came from."""
        if QUICK not in self.fitted:
            self.fitted[QUICK] = self._fit(QUICK, report)
        return self.fitted[QUICK]

    def usual(self, report: Report) -> np.ndarray:
        """Distances of good patches to the nearest of other pictures, ascending, of the `bank`."""
        bank = self.bank(report)
        if self._usual[0] != bank.key:
            size = bank.detector.settings.size
            self._usual = bank.key, why.usual(bank.detector, [self.uploads.held[name].at(size) for name in bank.good])
        return self._usual[1]

    def ready(self) -> bool:
        return len(self.uploads.of("good")) >= FEWEST

    def files(self) -> list[str]:
        """Detector, table and report of the method shown, written anew."""
        fitted = self.fitted[self.method]
        folder = Path(self.uploads.folder)
        paths = [folder / f"{self.method}{ending}" for ending in (".safetensors", ".csv", ".html")]
        fitted.detector.save(paths[0])
        paths[1].write_text(handout.table(fitted.judged), encoding="utf-8")
        paths[2].write_text(
            handout.page(fitted.detector, fitted.judged, self.words(), self.ranking(), self.hints), encoding="utf-8"
        )
        return list(map(str, paths))
