from .smcc import SMCC as SMCC
