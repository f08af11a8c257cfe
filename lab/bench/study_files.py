"""Studies: the rows of an ablation, gathered into what an `ablation.json` file holds."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ..atomic_write import atomic_write
from ..errors import LabError
from .rows import Row

FIGURES = ("image_auroc", "pixel_auroc", "aupro", "pixel_ap", "margin", "overlap")
STUDIES = Path(__file__).with_name("studies")
Study = dict[str, Any]
"""Plain JSON that holds all its tables need: figures[place][component][seed][figure], and where they come from."""


def gather_studies(rows: Iterable[Row]) -> list[Study]:
    """The rows of ablations as one study per method, base settings, training images, weights and version."""
    studies: dict[str, Study] = {}
    for row in (row for row in rows if "component" in row):
        shared = {name: row[name] for name in ("method", "base", "weights", "version", "eval_size", "train_limit")}
        parts: Study = dict(settings={}, commands=[], machines=[], dates=[], train={}, figures={})
        study = studies.setdefault(json.dumps(shared), shared | parts)
        for name, column in (("commands", "command"), ("machines", "machine"), ("dates", "date")):
            if row[column] not in study[name]:
                study[name].append(row[column])
        if row["component"] == "full":
            study["settings"] = row["settings"]
        place = f"{row['dataset']}/{row['category']}"
        study["train"][place] = row["train"]
        seeds = study["figures"].setdefault(place, {}).setdefault(row["component"], {})
        seeds[str(row["seed"])] = {name: row[name] for name in FIGURES}
    return [study for study in studies.values() if study["settings"]]


def read_studies(files: Iterable[str] = ()) -> list[Study]:
    """The studies of these `ablation.json`; without any, of those in `studies/`. Raises LabError for another file."""
    studies: list[Study] = []
    for path in [Path(file) for file in files] or sorted(STUDIES.glob("*.json")):
        try:
            text = path.read_text() if path.is_file() else ""  # reading a pipe would wait
            studies += [study for study in json.loads(text) if study["figures"]]
        except (OSError, ValueError, TypeError, KeyError):
            raise LabError(f"{path} is no ablation.json of `python -m lab bench --ablate ... --output DIR`") from None
    return studies


def write_studies(studies: list[Study], path: Path) -> None:
    with atomic_write(path) as part:
        part.write_text(json.dumps(studies, indent=1) + "\n", encoding="utf-8")


def place_groups(study: Study) -> list[tuple[str, list[str]]]:
    """What is reported of a study: (place, [place]), and ("set, mean of n", places) for a set of several categories."""
    sets: dict[str, list[str]] = {}
    for place in study["figures"]:
        sets.setdefault(place.split("/")[0], []).append(place)
    groups = []
    for name, places in sets.items():
        groups += [(place, [place]) for place in places]
        if len(places) > 1:
            groups.append((f"{name}, mean of {len(places)}", places))
    return groups


def measured_components(study: Study, places: list[str]) -> list[str]:
    """The components that were switched off in every one of the places."""
    figures = [study["figures"][place] for place in places]
    return [name for name in figures[0] if name != "full" and all(name in others for others in figures)]
