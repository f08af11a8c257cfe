"""The sets this project knows where to get: their sources, licences and official numbers of images."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import NamedTuple

from . import folders


class Counts(NamedTuple):
    train: int  # good images to learn from
    good: int  # to test
    bad: int  # to test, each with its mask


@dataclasses.dataclass(frozen=True)
class Known:
    """A set whose sources this project knows; they are tried in order: a repository, an address, or a folder."""

    licence: str
    sources: tuple[str, ...]
    counts: Mapping[str, Counts]


def _counts(text: str) -> dict[str, Counts]:
    rows = (row.split() for row in text.strip().splitlines())
    return {name: Counts(*map(int, numbers)) for name, *numbers in rows}


_LICENCES = {layout.name: layout.licence for layout in folders.LAYOUTS}
BTAD = "https://avires.dimi.uniud.it/papers/btad/btad.zip"
SHA256 = {  # of whole archives, by their name: those of the makers
    "mvtec_anomaly_detection.tar.xz": "cf4313b13603bec67abb49ca959488f7eedce2a9f7795ec54446c649ac98cd3d",
    "btad.zip": "461c9387e515bfed41ecaae07c50cf6b10def647b36c9e31d239ab2736b10d2a",
}
KNOWN = {
    "mvtec": Known(
        folders._NAMES["mvtec"],
        ("TheoM55/mvtec_all_objects_split", "foersben/mvtec-ad", "micguida1/mvtech_anomaly_detection"),
        _counts("""
            bottle     209 20  63
            cable      224 58  92
            capsule    219 23 109
            carpet     280 28  89
            grid       264 21  57
            hazelnut   391 40  70
            leather    245 32  92
            metal_nut  220 22  93
            pill       267 26 141
            screw      320 41 119
            tile       230 33  84
            toothbrush  60 12  30
            transistor 213 60  40
            wood       247 19  60
            zipper     240 32 119
        """),
    ),
    "btad": Known(
        _LICENCES["BTAD"],
        (BTAD,),
        _counts("""
            01  400  21  49
            02  399  30 200
            03 1000 400  41
        """),
    ),
    "visa": Known(
        _LICENCES["VisA"],
        ("BrachioLab/visa",),
        _counts("""
            candle     900 100 100
            capsules   542  60 100
            cashew     450  50 100
            chewinggum 453  50 100
            fryum      450  50 100
            macaroni1  900 100 100
            macaroni2  900 100 100
            pcb1       904 100 100
            pcb2       901 100 100
            pcb3       905 101 100
            pcb4       904 101 100
            pipe_fryum 450  50 100
        """),
    ),
}
