"""The version of the lab, as the package, the command line and every written file state it."""

__version__ = "0.2.0"
