"""Rewrites what version 0.1 has written in the words of 0.2: studies, rows and the ready detectors.

    python -m lab.migration FILE.json ...            studies (ablation.json) and rows (rows.json)
    python -m lab.migration FILE.safetensors ...     ready detectors

No figure and no tensor changes. Settings and command-line flags get their new names, what is computed from them is
computed again, and texts say image. What is in the new words already stays as it is. Detectors of visitors are not
migrated: they are fitted again.
"""

from __future__ import annotations

import hashlib
import json
import re
import sys
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch

from . import ready_detectors
from .atomic_write import atomic_write
from .detector import FILE_FORMAT
from .errors import LabError
from .version import __version__

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

_FLAG = re.compile(r"--(no-)?([a-z_0-9-]+)")


def migrate_settings(settings: dict[str, Any]) -> dict[str, Any]:
    """The same settings under their names of 0.2."""
    return {SETTINGS.get(name, name): value for name, value in settings.items()}


def migrate_command(command: str) -> str:
    """The same command with the flags of 0.2."""

    def flag(match: re.Match[str]) -> str:
        name = match[2].replace("-", "_")
        return f"--{match[1] or ''}{SETTINGS.get(name, name).replace('_', '-')}"

    return _FLAG.sub(flag, command)


def migrate_texts(value: Any) -> Any:
    """Notes in the new words, however deep they lie."""
    if isinstance(value, str):
        value = re.sub(r"\b([Aa]) (?=[Pp]icture)", r"\1n ", value)
        return value.replace("picture", "image").replace("Picture", "Image")
    if isinstance(value, list):
        return [migrate_texts(one) for one in value]
    if isinstance(value, dict):
        return {name: migrate_texts(one) for name, one in value.items()}
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
    """Rewrites the metadata of a ready detector, "weights/washer/cdo.safetensors", in place; the tensors stay."""
    plan = ready_detectors.plans()[f"{path.parent.name}/{path.stem}"]
    with safetensors.safe_open(path, "pt") as file:
        metadata = json.loads(file.metadata()["lab"])
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  it is no dict
    metadata |= {"settings": migrate_settings(metadata["settings"]), "notes": migrate_texts(metadata["notes"])}
    metadata |= {"format": FILE_FORMAT, "version": __version__, "key": plan.key}
    if metadata["settings"] != plan.settings.as_dict():
        raise LabError(f"{path}: its settings are not those of {plan.name}; make it again")
    with atomic_write(path) as part:
        safetensors.torch.save_file(tensors, part, {"lab": json.dumps(metadata, sort_keys=True)})


def main(paths: list[str]) -> None:
    for path in map(Path, paths):
        (migrate_detector if path.suffix == ".safetensors" else migrate_json)(path)
        print(path)


if __name__ == "__main__":
    main(sys.argv[1:])
