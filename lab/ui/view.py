"""What one visitor has chosen and what is shown of it. Knows neither gradio nor the worker that fills it in."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Mapping
from typing import Any, Self

from .. import data
from ..data.dataset import Dataset, Item
from ..errors import LabError
from ..parts import features
from . import phrases, variant
from .detector_service import DetectorService, JudgedTestSet, Place, ordered_test_items
from .panel import payload

MOST = 4  # methods side by side


@dataclasses.dataclass(frozen=True)
class View:
    """What a visitor has chosen: all of the page's state but the threshold, which lives in the browser."""

    source: str
    category: str
    methods: tuple[str, ...]  # as `variant` names them
    image: str = ""  # name of a test image, or its `wording.slug`; "": the first defective one

    @property
    def place(self) -> Place:
        return self.source, self.category

    @property
    def plain(self) -> tuple[str, ...]:
        """The methods, whatever is changed in them."""
        return tuple(m.partition("?")[0] for m in self.methods)

    @property
    def backbone(self) -> str:
        """The one that was chosen for all methods that have a choice; "" where none was."""
        return next(filter(None, map(variant.backbone, self.methods)), "")

    @property
    def address(self) -> dict[str, str | None]:
        """What names it in an address, beside the image."""
        told = {"set": self.source, "category": self.category, "methods": ",".join(self.plain)}
        return told | {"backbone": self.backbone or None}

    def checked(self) -> Self:
        """Raises LabError when something in it is not at hand."""
        if not 1 <= len(self.methods) <= MOST:
            raise LabError("Choose two to four methods.")
        if self.source not in data.sets():
            raise LabError(f"There is no set {self.source!r} here; there are {', '.join(data.sets())}.")
        if self.backbone and not features.local_weights(self.backbone):  # names methods and settings that are not there, too
            raise LabError(f"The backbone {self.backbone} is not here; choose it under Backbone, which offers it.")
        return self

    def asked(self, query: Mapping[str, str]) -> Self:
        """This view with what an address changes in it. Raises LabError when that is not at hand."""
        methods = tuple(dict.fromkeys(query["methods"].split(","))) if query.get("methods") else self.methods
        if tag := query.get("backbone"):
            methods = tuple(variant.on(m.partition("?")[0], tag) for m in methods)
        view = dataclasses.replace(self, source=query.get("set", self.source), methods=methods).checked()
        known = data.categories(view.source)
        fallback = view.category if view.source == self.source else known[0]
        view = dataclasses.replace(view, category=query.get("category", fallback))
        if view.category not in known:
            raise LabError(f"The set {view.source} has no category {view.category!r}; it has {', '.join(known)}.")
        image = query.get("image", self.image if view.place == self.place else "")
        return dataclasses.replace(view, image=image)


class Shown:
    """What is shown of one category. A worker that outlives its run writes into the one it began with."""

    def __init__(self, service: DetectorService, place: Place):
        self.service, self.place, self.lock = service, place, threading.RLock()
        self.dataset: Dataset | None = None
        self.items: list[Item] = []
        self.thumbs: list[str] = []
        self.at = 0
        self.image: dict[str, Any] | None = None
        self.scales: dict[str, dict[str, Any]] = {}  # method -> evidence.scale
        self.heats: dict[str, dict[str, Any]] = {}  # method -> evidence.image of the chosen one
        self.why: dict[str, str] = {}  # method -> why its map is not there
        self.surveys: dict[str, JudgedTestSet] = {}

    def open(self, image: str) -> None:
        if not self.dataset:
            dataset = self.service.dataset(self.place)
            self.items, self.thumbs = ordered_test_items(dataset), self.service.thumbs(self.place)
            self.dataset = dataset
        self.pick(image, [])

    def pick(self, name: str, methods: list[str]) -> None:
        """Another image, and what the methods that are ready say of it; all changes at once."""
        found = [i for i, item in enumerate(self.items) if name in (item.name, phrases.slug(item.name))] or [self.at]
        with self.lock:
            if self.image and found[0] == self.at:
                return
            item = self.items[found[0]]
            mask = item.mask() if item.bad and item.mask else None
            image = payload.shown_image(item.image(), mask, phrases.truth_label(item))
            held = {m: self._heat(m, found[0]) for m in methods}
            self.at, self.image = found[0], image
            self.heats = {m: anomaly_map for m, anomaly_map in held.items() if anomaly_map}

    def anomaly_map(self, method: str) -> bool:
        """The chosen image's map, if the method is ready."""
        with self.lock:
            if method not in self.heats and (anomaly_map := self._heat(method, self.at)):
                self.heats[method] = anomaly_map
            return method in self.heats

    def _heat(self, method: str, at: int) -> dict[str, Any] | None:
        if (survey := self.surveys.get(method)) and survey.payload:
            found: dict[str, Any] = survey.payload["images"][at]
            return found
        detector = self.service.ready(self.place, method)
        if detector is None or detector.calibration is None:
            return None
        self.scales[method] = payload.scale_payload(detector.calibration)
        size = detector.settings.size
        finding = detector.finding(detector.raw(self.items[at].image()), (size, size))
        return payload.image(detector.calibration, finding)
