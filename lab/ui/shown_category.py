"""What is shown of one category: its test images, the chosen one, and what each variant says of it."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from typing import Any

from ..data.dataset import Dataset, Item
from ..progress import Report, no_report
from . import phrases
from .detector_service import DetectorService, JudgedTestSet, Place, ordered_test_items
from .panel import payload
from .variant import Variant


class ShownCategory:
    """Filled bit by bit by a job, and read meanwhile.

    at        number of the chosen image; `image` is its payload, None before `open`
    scales    variant -> `payload.scale_payload`
    maps      variant -> `payload.finding_payload` of the chosen image
    reasons   variant -> why its map is not there
    surveys   variant -> what it says of the whole test set, as far as it is judged
    """

    def __init__(self, service: DetectorService, place: Place):
        self.service, self.place = service, place
        self.dataset: Dataset | None = None
        self.items: list[Item] = []
        self.thumbs: list[str] = []
        self.at = 0
        self.image: dict[str, Any] | None = None
        self.scales: dict[Variant, dict[str, Any]] = {}
        self.maps: dict[Variant, dict[str, Any]] = {}
        self.reasons: dict[Variant, str] = {}
        self.surveys: dict[Variant, JudgedTestSet] = {}
        self._lock = threading.RLock()

    def open(self, name: str) -> None:
        """Reads the set and chooses an image. Raises LabError when the set is not at hand."""
        if not self.dataset:
            dataset = self.service.dataset(self.place)
            self.items, self.thumbs = ordered_test_items(dataset), self.service.thumbs(self.place)
            self.dataset = dataset
        self.choose(name, [])

    def choose(self, name: str, variants: Iterable[Variant]) -> None:
        """Another image, and what these variants say of it, where they are ready; all changes at once.

        name   of the image, or its `phrases.slug`; an unknown one leaves the choice as it is
        """
        numbers = [i for i, item in enumerate(self.items) if name in (item.name, phrases.slug(item.name))]
        at = numbers[0] if numbers else self.at
        with self._lock:
            if self.image and at == self.at:
                return
            item = self.items[at]
            mask = item.mask() if item.bad and item.mask else None
            image = payload.shown_image(item.image(), mask, phrases.truth_label(item))
            maps = {variant: self._map(variant, at) for variant in variants}
            self.at, self.image = at, image
            self.maps = {variant: anomaly_map for variant, anomaly_map in maps.items() if anomaly_map}

    def show_map(self, variant: Variant, report: Report = no_report) -> bool:
        """Whether the chosen image's map is shown: it is, if the variant is ready."""
        self.service.key(self.place, variant, report)  # reads the training images once, which may take long
        with self._lock:
            if variant not in self.maps and (anomaly_map := self._map(variant, self.at)):
                self.maps[variant] = anomaly_map
            return variant in self.maps

    def chosen(self) -> tuple[int, dict[str, Any] | None, dict[Variant, dict[str, Any]]]:
        """`at`, `image` and `maps`, of one and the same image."""
        with self._lock:
            return self.at, self.image, dict(self.maps)

    def _map(self, variant: Variant, at: int) -> dict[str, Any] | None:
        if (survey := self.surveys.get(variant)) and survey.payload:
            judged: dict[str, Any] = survey.payload["images"][at]
            return judged
        detector = self.service.ready(self.place, variant)
        if detector is None or detector.calibration is None:
            return None
        self.scales[variant] = payload.scale_payload(detector.calibration)
        size = detector.settings.size
        finding = detector.finding(detector.raw(self.items[at].image()), (size, size))
        return payload.finding_payload(detector.calibration, finding)
