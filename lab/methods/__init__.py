"""All methods by their ids, in the order of the page. A new method is one file or package, and one line here."""

from typing import Any

from ..errors import LabError
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


def preset_settings(method: str, preset: str, changes: dict[str, Any]) -> dict[str, Any]:
    """The preset's settings with the changes that this method knows. LabError for an unknown preset."""
    presets = METHODS[method].presets()
    if preset not in presets:
        raise LabError(f"{method} has no preset {preset!r}; it has {', '.join(presets)}")
    known = METHODS[method].Settings.fields()
    settings = {name: getattr(presets[preset], name) for name in known}
    return settings | {name: value for name, value in changes.items() if name in known}
