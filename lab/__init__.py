"""Annotation-Free Anomaly Lab: industrial visual anomaly detection from good pictures alone."""

from __future__ import annotations

__version__ = "0.1.0"

from .calibrate import Calibration
from .data import Dataset, Item
from .detector import Detector, Finding
from .errors import Cancelled, LabError
from .method import BaseSettings, Method, Scores, setting
from .methods import METHODS

__all__ = [
    "METHODS",
    "BaseSettings",
    "Calibration",
    "Cancelled",
    "Dataset",
    "Detector",
    "Finding",
    "Item",
    "LabError",
    "Method",
    "Scores",
    "setting",
]
