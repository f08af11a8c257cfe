from .local_occ import LocalOCC

__all__ = ["LocalOCC"]
