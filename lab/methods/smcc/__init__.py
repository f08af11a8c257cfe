from .smcc import SMCC

__all__ = ["SMCC"]
