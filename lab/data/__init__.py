"""Data sets: named lists of images, normal ones to learn from, normal and anomalous ones to judge."""

from .catalogue import categories, load, sets
from .dataset import Dataset, Item, fingerprint

__all__ = ["Dataset", "Item", "categories", "fingerprint", "load", "sets"]
