"""Weights of frozen networks on the Hub: whether they are cached here, how large they are, how they are downloaded."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from ..hub import downloads
from ..hub.hub_errors import NotFound, readable_errors
from ..progress import Report, no_report

FILE = "model.safetensors"  # in a repository of timm's


def download_folder() -> Path:
    """Where `fetch` puts its files."""
    return downloads.cache_folder() / "weights"


def file_name(tag: str) -> str:
    """The file of a tag in a folder of weights."""
    return f"{tag.replace('/', '--')}.safetensors"


def repository(tag: str) -> str:
    """The Hub's model repository of a full timm tag."""
    return tag if "/" in tag else f"timm/{tag}"


def cached(tag: str) -> Path | None:
    """The file of a tag in the cache of the Hub's own client; None where it is not there."""
    import huggingface_hub

    try:
        path = huggingface_hub.try_to_load_from_cache(repository(tag), FILE)
    except huggingface_hub.errors.HFValidationError:  # no name for a repository, so that none is in the cache
        return None
    return Path(path) if isinstance(path, str) else None


class Offer(NamedTuple):
    """What would be downloaded, and the name of its licence."""

    file: downloads.File
    licence: str

    @property
    def size(self) -> int:
        return self.file.size  # bytes


def offer(tag: str) -> Offer:
    """What the Hub has of a tag. Raises LabError where it has none."""
    name = repository(tag)
    contents = downloads.repository(name, "model")
    if file := next((file for file in contents.files if file.path == FILE), None):
        return Offer(file, contents.terms)
    raise NotFound(f"{name}: holds no {FILE}; name a full timm tag such as resnet18.tv_in1k")


def fetch(tag: str, announce: Callable[[Offer], None] = lambda offer: None, report: Report = no_report) -> Path:
    """The path of a tag's downloaded file; `announce` is called first and may raise Cancelled. LabError on failure."""
    with downloads.download_lock(report):
        offered, target = offer(tag), download_folder() / file_name(tag)
        announce(offered)
        downloads.fetch([offered.file], lambda fraction, message: report(fraction, f"downloading {message}"))
        with readable_errors(str(target)):
            target.parent.mkdir(parents=True, exist_ok=True)
            os.replace(offered.file.place, target)
    return target
