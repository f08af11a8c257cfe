"""All methods by their ids, in the order of the page. A new method is one file or package, and one line here."""

from __future__ import annotations

from ..method import Method
from .autoencoder import Autoencoder
from .cdo import CDO
from .fastflow import FastFlow
from .local_occ import LocalOCC
from .padim import PaDiM
from .patchcore import PatchCore
from .rb_ae import RBAE
from .smcc import SMCC
from .stfpm import STFPM

METHODS: dict[str, type[Method]] = {
    "patchcore": PatchCore,
    "padim": PaDiM,
    "cdo": CDO,
    "stfpm": STFPM,
    "smcc": SMCC,
    "rb_ae": RBAE,
    "local_occ": LocalOCC,
    "autoencoder": Autoencoder,
    "fastflow": FastFlow,
}
