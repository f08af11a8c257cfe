"""`python -m lab`: the command line; see `lab.cli`."""

import sys

from .cli.parser import main

if __name__ == "__main__":
    sys.exit(main())
