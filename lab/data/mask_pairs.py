"""Which mask belongs to which image, by their names: each mask to one image, an image perhaps to several masks.

A mask is called like its image, with or without a word for masks before or behind (`vocabulary.image_names`), or lies
in a folder called like its image. Where folders of images and of masks have the same names, they go together. Upper and
lower case and Unicode forms do not matter, unless they are all that tells two images apart.
"""

import unicodedata
from collections.abc import Iterable, Sequence
from pathlib import Path

from ..errors import LabError
from . import vocabulary

Pairs = dict[Path, list[Path]]


def pair(images: Sequence[Path], masks: Iterable[Path]) -> Pairs:
    """Image -> its masks, of those images that have any. LabError for a mask that may belong to two images."""
    pairs: Pairs = {}
    by_name: dict[str, list[Path]] = {}
    for image in images:
        for name in {_key(image.stem), _key(image.name)}:
            by_name.setdefault(name, []).append(image)
    places = {_place(image)[-1:] for image in images}
    for mask in masks:
        place = _place(mask)
        inside = [] if place[-1:] in places else by_name.get(_key(mask.parent.name), [])
        if place[-2:-1] in places:
            inside = [image for image in inside if _place(image)[-1:] == place[-2:-1]]
        if len(inside) == 1:
            pairs.setdefault(inside[0], []).append(mask)
            continue
        for name in vocabulary.image_names(mask.name):
            candidates = by_name.get(_key(name), [])
            if place[-1:] in places:
                candidates = [image for image in candidates if _place(image)[-1:] == place[-1:]]
            if len(candidates) > 1:
                candidates = _closest(candidates, mask, name)
            if candidates:
                pairs.setdefault(candidates[0], []).append(mask)
                break
    return pairs


def _closest(candidates: list[Path], mask: Path, name: str) -> list[Path]:
    """The one image that is meant of several that a name fits: in the same folders, or of exactly that name."""
    shared = {image: _shared(_place(image), _place(mask)) for image in candidates}
    candidates = [image for image in candidates if shared[image] == max(shared.values())]
    candidates = [image for image in candidates if name in (_nfc(image.stem), _nfc(image.name))] or candidates
    if len(candidates) > 1:
        raise LabError(
            f"{mask}: may be the mask of {candidates[0].name} or of {candidates[1].name}; give each image its own name"
        )
    return candidates


def _key(name: str) -> str:
    return _nfc(name).casefold()


def _nfc(name: str) -> str:
    return unicodedata.normalize("NFC", name)


def _place(path: Path) -> tuple[str, ...]:
    """The folders of a file, as they are compared: without those that only say that masks or images are inside."""
    names = (vocabulary.plain(part) for part in path.parts[:-1])
    return tuple(name for name in names if name not in vocabulary.MASKS | vocabulary.VIEWS)


def _shared(a: tuple[str, ...], b: tuple[str, ...]) -> int:
    """How many of the last folders are the same."""
    count = 0
    for one, other in zip(reversed(a), reversed(b), strict=False):
        if one != other:
            break
        count += 1
    return count
