"""A process that decodes images and does nothing else: `python -m lab.image_worker`, driven by `lab.ui.image_workers`.

Reads requests from standard input, a line of JSON each: {"path", "name", "bits", "max_pixels"}. Answers on standard
output with a line of JSON, {"shape", "grey_bits"} before the pixels as they lie in memory, uint8 (H, W, 3), or
{"error"}: the sentence of a LabError. It may hold only so much memory, write no file and start no process: whatever a
decoder is tricked into ends here.
"""

import json
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np

from . import image_files
from .errors import LabError

MEGABYTES = 700  # of memory beyond what the process has when it begins: some more than the largest image takes


def answer(request: dict[str, Any]) -> tuple[dict[str, Any], np.ndarray | None]:
    """(what is said, the pixels if there are any) of one request."""
    path, name, most = Path(request["path"]), request["name"], request["max_pixels"]
    try:
        pixels = image_files.read(path, name, bits=request["bits"], max_pixels=most)
        return {"shape": pixels.shape, "grey_bits": image_files.grey_bits(path, name, most)}, pixels
    except LabError as error:
        return {"error": str(error)}, None
    except MemoryError:
        return {"error": f"{name}: takes too much memory to read; save it anew, as PNG or JPEG"}, None


def limit_itself() -> None:
    """Memory, files and processes, where the system can limit them."""
    try:
        import resource
    except ImportError:  # Windows
        return
    pages = int(Path("/proc/self/statm").read_text().split()[0]) if Path("/proc/self/statm").exists() else 0
    limits = {resource.RLIMIT_CORE: 0, resource.RLIMIT_FSIZE: 0}
    if pages:
        limits[resource.RLIMIT_AS] = pages * resource.getpagesize() + MEGABYTES * 2**20
    for kind, most in limits.items():
        hard = resource.getrlimit(kind)[1]
        least = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(kind, (least, least))


def main() -> None:
    os.environ["OMP_NUM_THREADS"] = "1"
    limit_itself()
    for line in sys.stdin.buffer:
        said, pixels = answer(json.loads(line))
        sys.stdout.buffer.write(json.dumps(said).encode() + b"\n")
        if pixels is not None:
            sys.stdout.buffer.write(pixels.data)
        sys.stdout.buffer.flush()
        del pixels


if __name__ == "__main__":
    main()
