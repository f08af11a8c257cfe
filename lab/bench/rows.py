"""The rows of a bench: where each comes from, kept on disk whole, found again by a second run."""

from __future__ import annotations

import csv
import datetime
import functools
import json
import os
import platform
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TextIO

import torch

from ..atomic_write import atomic_write
from ..device import device
from ..errors import LabError

Row = dict[str, Any]

# what is known of a row before it is measured; two rows that agree in it are one measurement
IDENTITY = (
    "dataset", "category", "method", "component", "base", "settings", "seed", "train", "train_limit", "folds",
    "eval_size", "weights", "version",
)  # fmt: skip


class Rows:
    """Rows of the folder `out`, read when there are any and written after each new one; without a folder in memory.

    One run at a time writes to a folder.

    LabError for a folder that cannot be written or whose rows.json is not one of a bench.
    """

    def __init__(self, out: Path | None = None):
        self.out, self.held = out, dict[str, Row]()
        path = out / "rows.json" if out else None
        if path and path.is_file():
            try:
                self.held = {_key(row): row for row in json.loads(path.read_text())}
            except (ValueError, TypeError, AttributeError):
                raise LabError(f"{path} is no list of measured rows; move it away, or name another folder") from None

    def find(self, identity: Row) -> Row | None:
        return self.held.get(_key(identity))

    def add(self, row: Row) -> None:
        """Keeps a row; in the folder at once, so that a bench that is stopped loses nothing."""
        self.held[_key(row)] = row
        if not self.out:
            return
        rows = list(self.held.values())
        try:
            self.out.mkdir(parents=True, exist_ok=True)
            with atomic_write(self.out / "rows.json") as part:
                part.write_text(json.dumps(rows, indent=1) + "\n")
            with atomic_write(self.out / "rows.csv") as part, open(part, "w", newline="") as file:
                _csv(rows, file)
        except OSError as error:
            raise LabError(f"cannot write to {self.out}: {error.strerror}") from None


def _csv(rows: list[Row], file: TextIO) -> None:
    """One line a row, nested values as JSON."""
    table = csv.DictWriter(file, list(dict.fromkeys(name for row in rows for name in row)))
    table.writeheader()
    for row in rows:
        table.writerow({k: json.dumps(v) if isinstance(v, dict) else v for k, v in row.items()})


def _key(row: Row) -> str:
    return json.dumps([row.get(name) for name in IDENTITY], sort_keys=True)


def repeatable_command(words: Sequence[str], source: str, out: str | None) -> str:
    """The command line as a reader may repeat it: the set by its name, nothing of where it or the results lie."""
    told: list[str] = []
    for word in words:
        flag, equals, value = word.partition("=")
        if word == out and told:
            told.pop()  # its flag
        elif not (out and equals and value == out):
            name = Path(os.path.abspath(source)).name
            told.append(name if word == source else f"{flag}={name}" if equals and value == source else word)
    return shlex.join(["python", "-m", "lab", *told])


def provenance(typed: str) -> Row:
    """What a row says of its making besides method, settings, seed and weights."""
    return dict(command=typed, machine=machine(), date=datetime.datetime.now(datetime.UTC).date().isoformat())


@functools.cache
def machine() -> dict[str, Any]:
    """Processor (and accelerator, where it computes), cores and torch: what figures of cost hang on. No names."""
    model = platform.processor() or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        model = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), model)
    except OSError:
        pass
    told: dict[str, Any] = dict(
        cpu=model, cores=os.cpu_count(), threads=torch.get_num_threads(), torch=torch.__version__
    )
    return told | ({"gpu": torch.cuda.get_device_name()} if device().type == "cuda" else {})
