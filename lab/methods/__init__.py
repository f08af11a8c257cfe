"""All methods by the name they are asked for; one plain, ordered dict. A new method is one file and one line here."""

from __future__ import annotations

from ..method import Method
from .cdo import CDO
from .padim import PaDiM
from .patchcore import PatchCore
from .stfpm import STFPM

METHODS: dict[str, type[Method]] = {
    "patchcore": PatchCore,
    "padim": PaDiM,
    "cdo": CDO,
    "stfpm": STFPM,
}
