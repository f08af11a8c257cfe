"""`python -m lab`: the command line; see `lab.cli`."""

from __future__ import annotations

import sys

from .cli.parser import main

if __name__ == "__main__":
    sys.exit(main())
