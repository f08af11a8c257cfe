"""Small mirrors of the known sets on a loopback Hub: a few images of the samples, as rows of parquet or as files."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pytest
from hub_server import Hub
from PIL import Image

from lab.data import samples
from lab.data.downloadable_sets import DOWNLOADABLE, Counts, DownloadableSet
from lab.hub import downloads

TRAIN, GOOD, BAD = 6, 2, 3
Tree = dict[str, bytes]
"""Path in MVTec's layout, e.g. "test/rust/000.png" -> the file."""


def tree() -> Tree:
    """A few images of the samples with their masks, as files."""
    washer, files = samples.load("washer"), {}
    bad = [item for item in washer.test if item.bad][:: samples.BAD // BAD][:BAD]
    for item in [*washer.train[:TRAIN], *washer.test[:GOOD], *bad]:
        files[f"{item.name}.png"] = png(item.image())
        if item.bad and item.mask:
            files[f"{item.name.replace('test', 'ground_truth', 1)}_mask.png"] = png(item.mask())
    return files


@contextlib.contextmanager
def serving(monkeypatch: pytest.MonkeyPatch, cache: Path) -> Iterator[Hub]:
    """A Hub of one's own, an empty cache, and known sets as small as the images above."""
    small = {category: Counts(TRAIN, GOOD, BAD) for category in ("bottle", "01", "pcb1")}
    for name, category in {"mvtec": "bottle", "btad": "01", "visa": "pcb1"}.items():
        known = DOWNLOADABLE[name]
        counts = {category: small[category]}
        monkeypatch.setitem(DOWNLOADABLE, name, DownloadableSet(known.licence, known.sources, counts))
    monkeypatch.setenv("LAB_CACHE", str(cache))
    monkeypatch.setattr(downloads, "PAUSE", 0.0)
    for name in ("LAB_DATA", "LAB_BTAD_REPO", "HF_HUB_OFFLINE", "HF_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    with Hub() as server:
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        yield server


def png(array: np.ndarray) -> bytes:
    out = io.BytesIO()
    Image.fromarray(array.astype(np.uint8) * 255 if array.dtype == bool else array).save(out, "PNG")
    return out.getvalue()


Row = Callable[[str, str, bytes, bytes | None], dict[str, Any]]
"""(path, defect, image, mask) -> a row"""


def table(tree: Tree, split: str, *columns: Row) -> bytes:
    """Parquet with a row per image of a split, as the Hub's own library writes it; several `columns` one after the
    other."""
    rows = []
    for row in columns:
        for path, image in tree.items():
            part, defect, name = path.split("/")
            if part == split:
                rows.append(row(path, defect, image, tree.get(f"ground_truth/{defect}/{name[:-4]}_mask.png")))
    images = {name for row in rows for name, value in row.items() if isinstance(value, dict)}
    dataset = datasets.Dataset.from_dict({name: [row[name] for row in rows] for name in rows[0]})
    for name in images:
        dataset = dataset.cast_column(name, datasets.Image())
    out = io.BytesIO()
    dataset.to_parquet(out)
    return out.getvalue()


def mvtec_row(path: str, defect: str, image: bytes, mask: bytes | None) -> dict[str, Any]:
    """A row of the MVTec mirror."""
    split, name = path.split("/")[0], path.rsplit("/", 1)[1]
    return {
        "object": "bottle", "split": split, "defect": defect, "label": int(defect != "good"),
        "image_path": {"bytes": image, "path": name},
        "mask_path": {"bytes": mask, "path": name} if mask else None,
    }  # fmt: skip


def visa_row(path: str, defect: str, image: bytes, mask: bytes | None) -> dict[str, Any]:
    """A row of the VisA mirror: no kinds of defects, a black mask for a sound image, no names."""
    black = png(np.zeros((256, 256), bool))
    return {
        "image": {"bytes": image, "path": None}, "label": int(defect != "good"),
        "mask": {"bytes": mask or black, "path": None},
    }  # fmt: skip


def tables(tree: Tree, category: str, row: Row) -> Tree:
    return {f"data/{category}.{split}-00000-of-00001.parquet": table(tree, split, row) for split in ("train", "test")}
