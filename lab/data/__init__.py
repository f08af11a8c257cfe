"""Data sets: named lists of images, normal ones to train on, normal and anomalous ones to test."""

from .available_sets import categories, load, sets
from .dataset import Dataset, Item, fingerprint

__all__ = ["Dataset", "Item", "categories", "fingerprint", "load", "sets"]
