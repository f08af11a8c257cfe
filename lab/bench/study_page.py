"""The page that sets what was measured beside what the papers print: studies in, Markdown out."""

from __future__ import annotations

import inspect
import json
import statistics
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ..atomic_write import atomic_write
from ..errors import LabError
from ..methods import METHODS
from . import ablation
from .ablation import Direction, Study

MEASURED = Path(__file__).with_name("studies")
JUDGED = ("agrees", "disagrees", "within noise", "one seed")
HEAD = """# The papers' ablations, and what was measured

Every component of a method's ablation table was switched off, alone and as the paper combines them, on the same
images and with the same seeds as the full setting. A figure below is **full minus altered**; ± is the standard
deviation over seeds. What the papers print, and what is wrong in it, is in `tables.json`.

{rule}

Drawn by `python -m lab bench --render > lab/bench/README.md` from `studies/*.json`, the `ablation.json` files of
`python -m lab bench --ablate METHODS --data SET --seeds 0,1,2 --output DIR`; a test keeps it true.
"""


def read(files: Iterable[str] = ()) -> list[Study]:
    """The studies of these `ablation.json`; without any, of those in `measured/`. LabError for another file."""
    found: list[Study] = []
    for path in [Path(file) for file in files] or sorted(MEASURED.glob("*.json")):
        try:
            studies = json.loads(path.read_text())
            found += [study for study in studies if study["figures"]]
        except (OSError, ValueError, TypeError, KeyError):
            raise LabError(f"{path} is no ablation.json of `python -m lab bench --ablate ... --output DIR`") from None
    return found


def write(studies: list[Study], path: Path) -> None:
    with atomic_write(path) as part:
        part.write_text(json.dumps(studies, indent=1) + "\n", encoding="utf-8")


def markdown(studies: list[Study]) -> str:
    """The whole page; without studies it says that there are none."""
    rule = (inspect.getdoc(ablation.mark) or "").partition("\n\n")[2]
    parts = [HEAD.format(rule=rule)]
    if not studies:
        return parts[0] + "\nNothing was measured yet.\n"
    measured = [(study, ablation.directions(study)) for study in studies]
    alone = [d._replace(component=f"{d.component}, over none") for study in studies for d in ablation.alone(study)]
    parts.append(glance([d for _, found in measured for d in found] + alone))
    parts += [section(study, found) for study, found in measured]
    return "\n".join(parts)


def glance(found: list[Direction]) -> str:
    """In how many categories each direction of a paper was met; means over categories are not counted again."""
    counts: dict[tuple[str, ...], Counter] = {}
    for d in found:
        if d.claim and d.claim.sign and "/" in d.place:
            way = "larger" if d.claim.sign > 0 else "smaller"
            counts.setdefault((METHODS[d.method].title, d.component, d.figure, way), Counter())[d.mark] += 1
    rows = [[*key, *(str(count[mark] or "") for mark in JUDGED)] for key, count in counts.items()]
    return (
        "## At a glance\n\nCategories in which the paper's direction was met:\n\n"
        + table(["method", "off", "figure", "full is, says the paper", *JUDGED], rows)
        + "\n"
    )


def section(study: Study, found: list[Direction]) -> str:
    """One study: where it comes from, what the paper claims beside it, and all its figures."""
    weights = study["weights"]
    about = [
        f"- settings: {settings(study)}; scored at {study['eval_size']}",
        f"- weights: {weights['tag']}, sha256 `{weights['sha256']}`" if weights else "- weights: none",
        "- training images: " + ", ".join(f"{place} {count}" for place, count in study["train"].items()),
        f"- {'; '.join(map(machine, study['machines']))}; version {study['version']}; {', '.join(study['dates'])}",
        *(f"- `{command}`" for command in study["commands"]),
        *(f"- {note}" for note in study.get("notes", ())),  # written by hand: what was looked into, and found
    ]
    claimed, alone = beside(found), beside(ablation.alone(study))
    head = ["figure", "paper", "ours", "seeds", "mark", "where in the paper"]
    title = METHODS[study["method"]].title
    sets = ", ".join(dict.fromkeys(place.split("/")[0] for place in study["figures"]))
    parts = [f"## {title}: {where(study, sets)}"]
    parts += ["\n".join(about)]
    parts += [table(["set", "off", *head], claimed) if claimed else "The paper names no direction for this setting."]
    parts += ["One component alone minus none:", table(["set", "alone", *head], alone)] if alone else []
    parts += ["All figures; `full` as it is, the others as full minus altered:", table(*everything(study, found))]
    return "\n\n".join(parts) + "\n"


def beside(found: list[Direction]) -> list[list[str]]:
    """What the paper claims something of, beside it."""
    return [
        [
            d.place,
            d.component,
            d.figure,
            ablation.theirs(d.claim),
            ablation.ours(d),
            str(d.seeds),
            d.mark,
            d.claim.where,
        ]
        for d in found
        if d.claim
    ]


def everything(study: Study, found: list[Direction]) -> tuple[list[str], list[list[str]]]:
    """Head and rows: the full setting of each place, then what each component off changes, in every figure."""
    rows = []
    for place in dict.fromkeys(d.place for d in found):
        if place in study["figures"]:
            full = study["figures"][place]["full"].values()
            rows.append([place, "full", str(len(full)), *(spread([s[f] for s in full]) for f in ablation.FIGURES)])
        for component in dict.fromkeys(d.component for d in found if d.place == place):
            own = {d.figure: d for d in found if (d.place, d.component) == (place, component)}
            told = [ablation.ours(own[f]) if f in own else "-" for f in ablation.FIGURES]
            rows.append([place, component, str(max(d.seeds for d in own.values())), *told])
    return ["set", "off", "seeds", *ablation.FIGURES], rows


def spread(values: list[float | None]) -> str:
    known = [value for value in values if value is not None]
    if not known:
        return "-"
    return f"{statistics.fmean(known):.4f}" + (f" ± {statistics.stdev(known):.4f}" if len(known) > 1 else "")


def settings(study: Study) -> str:
    """The preset that is nearest, and what differs from it."""
    name, changes = nearest(study)
    return ", ".join([f"preset `{name}`", *changes])


def where(study: Study, place: str) -> str:
    """A place of a study, with what its settings have other than a preset: "kolektorsdd/kolektorsdd (beta_max 0.8)"."""
    changes = nearest(study)[1]
    return place + (f" ({', '.join(changes)})" if changes else "")


def nearest(study: Study) -> tuple[str, list[str]]:
    told = study["settings"]
    changes = dict[str, list[str]]()
    for name, preset in METHODS[study["method"]].presets().items():
        plain = preset.as_dict()
        changes[name] = [f"{k} {v}" for k, v in told.items() if k not in plain or plain[k] != v]
    name = min(changes, key=lambda preset: len(changes[preset]))
    return name, changes[name]


def machine(told: dict[str, Any]) -> str:
    gpu = f", {told['gpu']}" if "gpu" in told else ""
    return f"{told['cpu']}, {told['threads']} of {told['cores']} cores{gpu}, torch {told['torch']}"


def table(head: list[str], rows: list[list[str]]) -> str:
    return "\n".join("| " + " | ".join(row) + " |" for row in [head, ["---"] * len(head), *rows])
