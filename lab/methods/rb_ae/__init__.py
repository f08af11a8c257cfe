from .rb_ae import RBAE as RBAE
