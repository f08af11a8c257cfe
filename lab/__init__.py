"""Annotation-Free Anomaly Lab: industrial visual anomaly detection from good images alone.

The names below are imported when first asked for: torch takes seconds, which reading an image does not need.
"""

import importlib
import importlib.util
from typing import TYPE_CHECKING, Any

from .errors import Cancelled, LabError
from .version import __version__

if TYPE_CHECKING:
    from .calibration import Calibration
    from .data.dataset import Dataset, Item
    from .detector import Detector, Finding
    from .inspection.auto import auto
    from .method import BaseSettings, Method, Scores, setting
    from .methods import METHODS

__all__ = ["METHODS", "BaseSettings", "Calibration", "Cancelled", "Dataset", "Detector", "Finding", "Item", "LabError"]
__all__ += ["Method", "Scores", "__version__", "auto", "setting"]

_MODULES = {"METHODS": "methods", "Calibration": "calibration", "Dataset": "data.dataset", "Item": "data.dataset"}
_MODULES |= {"Detector": "detector", "Finding": "detector", "auto": "inspection.auto"}
_MODULES |= dict.fromkeys(("BaseSettings", "Method", "Scores", "setting"), "method")


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return getattr(importlib.import_module(f".{_MODULES[name]}", __name__), name)
    if not name.startswith("_") and importlib.util.find_spec(f"{__name__}.{name}"):
        return importlib.import_module(f".{name}", __name__)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
