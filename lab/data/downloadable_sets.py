"""The sets that can be pulled by a name of ours: their sources, licences and official numbers of images."""

import dataclasses
from collections.abc import Mapping
from typing import NamedTuple

from .licences import LICENCES


class Counts(NamedTuple):
    """Official numbers of images of one category."""

    train: int  # good ones to train on
    good: int  # to test
    bad: int  # to test, each with its mask


@dataclasses.dataclass(frozen=True)
class DownloadableSet:
    """A set whose sources are known; they are tried in order: a repository, an address, or a folder."""

    licence: str
    sources: tuple[str, ...]
    counts: Mapping[str, Counts]


def _counts(text: str) -> dict[str, Counts]:
    """Category -> counts, from lines of a category and its three numbers."""
    rows = (row.split() for row in text.strip().splitlines())
    return {name: Counts(*map(int, numbers)) for name, *numbers in rows}


SHA256 = {  # of the makers' own archives, by their name
    "mvtec_anomaly_detection.tar.xz": "cf4313b13603bec67abb49ca959488f7eedce2a9f7795ec54446c649ac98cd3d",
    "btad.zip": "461c9387e515bfed41ecaae07c50cf6b10def647b36c9e31d239ab2736b10d2a",
}
DOWNLOADABLE = {
    "mvtec": DownloadableSet(
        LICENCES["MVTec AD"],
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
    "btad": DownloadableSet(
        LICENCES["BTAD"],
        ("https://avires.dimi.uniud.it/papers/btad/btad.zip",),
        _counts("""
            01  400  21  49
            02  399  30 200
            03 1000 400  41
        """),
    ),
    "visa": DownloadableSet(
        LICENCES["VisA"],
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
