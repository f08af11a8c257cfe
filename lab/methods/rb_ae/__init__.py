from .rb_ae import RBAE

__all__ = ["RBAE"]
