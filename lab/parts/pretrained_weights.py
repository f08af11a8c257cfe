"""Weights of frozen networks on the Hub: whether they are in a cache here, how large they are, how they are fetched."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable
from pathlib import Path

from ..hub import downloads
from ..hub.hub_errors import NotFound, readable_errors
from ..progress import Report, no_report

FILE = "model.safetensors"  # in a repository of timm's


def pulled() -> Path:
    """The folder of what `fetch` brought, as `<tag>.safetensors`."""
    return downloads.cache_folder() / "weights"


def repository(tag: str) -> str:
    """The Hub's model repository of a full timm tag."""
    return tag if "/" in tag else f"timm/{tag}"


def cached(tag: str) -> Path | None:
    """The file of a tag where the Hub's own client keeps it; None where it does not."""
    import huggingface_hub

    found = huggingface_hub.try_to_load_from_cache(repository(tag), FILE)
    return Path(found) if isinstance(found, str) else None


@dataclasses.dataclass(frozen=True)
class Offer:
    """What would be downloaded, and under which licence, in words."""

    file: downloads.File
    licence: str

    @property
    def size(self) -> int:
        return self.file.size  # bytes


def offer(tag: str) -> Offer:
    """What the Hub has of a tag. Raises LabError where it has none."""
    name = repository(tag)
    found = downloads.repository(name, "model")
    for file in found.files:
        if file.path == FILE:
            return Offer(file, found.terms)
    raise NotFound(f"{name}: holds no {FILE}; name a full timm tag such as resnet18.tv_in1k")


def fetch(tag: str, announce: Callable[[Offer], None] = lambda offer: None, report: Report = no_report) -> Path:
    """Downloads the file of a tag, continuing what broke off. `announce` may raise Cancelled before; LabError."""
    with downloads.download_lock(report):
        found = offer(tag)
        announce(found)
        file = found.file
        downloads.fetch([file], lambda done, words: report(done, f"downloading {words}"))
        target = pulled() / f"{tag.replace('/', '--')}.safetensors"
        with readable_errors(str(target)):
            target.parent.mkdir(parents=True, exist_ok=True)
            os.replace(file.place, target)
    return target
