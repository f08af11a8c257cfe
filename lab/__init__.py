"""Annotation-Free Anomaly Lab: industrial visual anomaly detection from good images alone."""

from .calibration import Calibration
from .data.dataset import Dataset, Item
from .detector import Detector, Finding
from .errors import Cancelled, LabError
from .method import BaseSettings, Method, Scores, setting
from .methods import METHODS
from .version import __version__

__all__ = ["METHODS", "BaseSettings", "Calibration", "Cancelled", "Dataset", "Detector", "Finding", "Item", "LabError"]
__all__ += ["Method", "Scores", "__version__", "setting"]
