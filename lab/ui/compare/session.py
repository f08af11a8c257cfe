"""One visitor's *Compare*: what is compared, and what is offered to download. Knows no gradio."""

from __future__ import annotations

from ..comparison import Comparison
from ..detector_service import DetectorService
from ..jobs import JobRunner
from ..view import View
from .download_offer import DownloadOffer


class CompareSession:
    """The comparison with its runner, and the offer, which has one of its own."""

    def __init__(self, service: DetectorService, start: View):
        self.runner = JobRunner(private=False)
        self.comparison = Comparison(service, start, self.runner)
        self.offer = DownloadOffer()

    def close(self) -> None:
        self.runner.close()
        self.offer.close()
