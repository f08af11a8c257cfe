from .local_occ import LocalOCC as LocalOCC
