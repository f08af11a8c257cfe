"""Rewrites files of version 0.1 as version 0.2 names things: studies, rows and the ready detectors.

    python tests/migrate_0_1.py FILE.json ...            studies (ablation.json) and rows (rows.json)
    python tests/migrate_0_1.py FILE.safetensors ...     ready detectors, format 3 -> 4

No figure and no tensor changes. Settings, command-line flags and keys get their new names, keys computed from them are
computed again, and texts say image. Files of 0.2 stay as they are. Detectors of visitors are not migrated: they are
fitted again.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
import sys
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).parents[1]))

from lab import quantized_safetensors, ready_detectors
from lab.atomic_write import atomic_write
from lab.detector import FILE_FORMAT
from lab.errors import LabError
from lab.version import __version__

SETTINGS = {
    "rate": "learning_rate",
    "batch": "batch_size",
    "decay": "lr_decay",
    "drop": "lr_drop_at",
    "clip": "grad_clip",
    "matching_rate": "matching_learning_rate",
    "matching_batch": "matching_batch_size",
    "rate_backbone": "learning_rate_backbone",
    "rate_adapter": "learning_rate_adapter",
    "epochs_matching": "matching_epochs",
    "bank_pictures": "bank_images",
}
"""Names of settings in version 0.1 -> names in 0.2."""

METADATA = {"bits": "quantization_bits", "packed": "quantized_shapes", "count": "n_images", "key": "request_key"}
CALIBRATION = {"how": "hold_out", "pixel": "pixel_scale", "score": "score_scale"}
"""Keys of a detector's file, format 3 -> format 4."""

_FLAG = re.compile(r"--(no-)?([a-z_0-9-]+)")


def migrate_settings(settings: dict[str, Any]) -> dict[str, Any]:
    """The same settings under their names of 0.2."""
    return _renamed(settings, SETTINGS)


def _renamed(values: dict[str, Any], names: dict[str, str]) -> dict[str, Any]:
    return {names.get(name, name): value for name, value in values.items()}


def migrate_command(command: str) -> str:
    """The same command with the flags of 0.2."""

    def flag(match: re.Match[str]) -> str:
        name = match[2].replace("-", "_")
        return f"--{match[1] or ''}{SETTINGS.get(name, name).replace('_', '-')}"

    return _FLAG.sub(flag, command)


def migrate_texts(value: Any) -> Any:
    """Texts that say image instead of picture, in nested lists and dicts too."""
    if isinstance(value, str):
        value = re.sub(r"\b([Aa]) (?=[Pp]icture)", r"\1n ", value)
        return value.replace("picture", "image").replace("Picture", "Image")
    if isinstance(value, list):
        return [migrate_texts(item) for item in value]
    if isinstance(value, dict):
        return {name: migrate_texts(item) for name, item in value.items()}
    return value


def migrate(entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Studies (`ablation.json`) or rows (`rows.json`), each as a new dict; figures and provenance stay as measured."""
    bases: dict[str, str] = {}
    for entry in entries:
        if "base" in entry and entry.get("component", "full") == "full":
            bases[entry["base"]] = _digest(migrate_settings(entry["settings"]))
    migrated = []
    for entry in entries:
        new = dict(entry) | {"settings": migrate_settings(entry["settings"])}
        if "base" in entry:
            new["base"] = bases.get(entry["base"], entry["base"])
        if "command" in entry:
            new["command"] = migrate_command(entry["command"])
        if "commands" in entry:
            new["commands"] = [migrate_command(command) for command in entry["commands"]]
        if "notes" in entry:
            new["notes"] = migrate_texts(entry["notes"])
        migrated.append(new)
    return migrated


def _digest(settings: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:12]


def migrate_json(path: Path) -> None:
    """Rewrites a file of studies or rows in place."""
    content = json.loads(path.read_text(encoding="utf-8"))
    entries = migrate(content["rows"] if isinstance(content, dict) else content)
    new = {**content, "note": migrate_texts(content["note"]), "rows": entries} if isinstance(content, dict) else entries
    with atomic_write(path) as part:
        part.write_text(json.dumps(new, indent=1) + "\n", encoding="utf-8")


def migrate_detector(path: Path) -> None:
    """Rewrites a ready detector of format 3, "weights/washer/cdo.safetensors", in place; its values stay.

    LabError where it is not the detector that `ready_detectors.plans` asks for.
    """
    metadata, tensors = quantized_safetensors.read(path)
    if metadata["format"] == FILE_FORMAT:
        return
    plan = ready_detectors.plans()[f"{path.parent.name}/{path.stem}"]
    metadata = _renamed(metadata, METADATA)
    metadata |= {"format": FILE_FORMAT, "version": __version__, "request_key": plan.request_key}
    metadata["settings"] = migrate_settings(metadata["settings"])
    metadata["calibration"] = _renamed(metadata["calibration"], CALIBRATION)
    metadata["notes"] = migrate_texts(metadata["notes"])
    if note := metadata["notes"].pop("stored", ""):
        note = re.sub(
            r", which moves scores by (\S+) of their range at most",
            r"; scores change by at most \1 of their range",
            note,
        )
        metadata["notes"][ready_detectors.QUANTIZATION_NOTE] = note
    if metadata["settings"] != plan.settings.as_dict():
        raise LabError(f"{path}: its settings are not those of {plan.name}; make it again")
    for name, shape in metadata["quantized_shapes"].items():
        tensors[name] = quantized_safetensors.compress(_inflate(tensors[name], math.prod(shape)))
    with atomic_write(path) as part:
        safetensors.torch.save_file(tensors, part, {"lab": json.dumps(metadata, sort_keys=True)})


def _inflate(data: Tensor, count: int) -> Tensor:
    """The whole numbers of format 3: deflated planes of low, middle and high bytes, with the sign as the last bit."""
    planes = np.zeros((4, count), np.uint8)
    planes[:3] = np.frombuffer(zlib.decompress(data.numpy().tobytes()), np.uint8).reshape(3, count)
    folded = np.ascontiguousarray(planes.T).view("<u4").ravel()
    return torch.from_numpy((folded >> 1).astype(np.int32) ^ -(folded & 1).astype(np.int32))


def main(paths: list[str]) -> None:
    for path in map(Path, paths):
        (migrate_detector if path.suffix == ".safetensors" else migrate_json)(path)
        print(path)


if __name__ == "__main__":
    main(sys.argv[1:])
