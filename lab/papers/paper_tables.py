"""What the papers report: their tables as printed, with what is wrong in them, and what they say of a component.

`tables.json` holds under "tables" method -> number of the table -> caption, columns, rows, notes on misprints; under
"ablations" which of their cells belong to a method's full setting and to each component off, so that no number stands
twice. A component is named as `Method.ablations` names it; several that are off together are joined by ", ".
"""

import functools
import json
import re
from importlib import resources
from typing import Any, NamedTuple, cast


class Claim(NamedTuple):
    """What a paper says of one figure with a component off."""

    full: float | None  # in our units (AUROC in 0..1), as `off`; None where the paper prints none
    off: float | None
    sign: int  # of full - off: 1, -1, or 0 where the printed figures are equal
    where: str  # table and set, or the passage

    @property
    def delta(self) -> float | None:
        return None if self.full is None or self.off is None else self.full - self.off


@functools.cache
def load_tables() -> dict[str, Any]:
    """The content of `tables.json`: "tables" and "ablations", each by method."""
    text = resources.files(__package__).joinpath("tables.json").read_text(encoding="utf-8")
    return cast(dict[str, Any], json.loads(text))


def combinations(method: str) -> list[list[str]]:
    """The components that the paper's tables switch off together, in their order."""
    sources = load_tables()["ablations"].get(method, {}).get("sources", [])
    named = [name for source in sources for name in source.get("rows", source["columns"])]
    return [name.split(", ") for name in dict.fromkeys(named) if ", " in name]


def claim(
    method: str, component: str, figure: str, *, base: dict[str, Any], dataset: str = "", category: str = ""
) -> Claim | None:
    """What the paper says of `figure` with `component` off; None where it says nothing.

    base     settings of the full variant: where its components are not the paper's full ones, there is no claim
    dataset  claims for rotated sets hold for a set of `lab.data.rotated_sets`, the others for the rest
    category of a table by category, the row of MVTec AD's category where it is one, else the mean"""
    ablation = load_tables()["ablations"].get(method)
    if ablation is None or any(base.get(k) != v for k, v in ablation["full"].items()):
        return None
    name, rotated = re.subn(r"-rto[\d.]+$", "", dataset)
    for source in ablation["sources"]:
        only = source.get("only", {})
        if source.get("rotated", bool(rotated)) != bool(rotated) or any(base.get(k) != v for k, v in only.items()):
            continue
        where = f"Table {source['table']}, {source['set']}"
        table = load_tables()["tables"][method][source["table"]]
        if "rows" in source:  # a setting is a row, a figure a column
            row, column = source["rows"].get(component), source["columns"].get(figure)
            cells = [(source["rows"]["full"], column), (row, column)]
        else:  # a setting is a column, a category a row
            rows = [row for row in table["rows"] if row.lower().replace("_", " ") == category.lower().replace("_", " ")]
            row = rows[0] if rows and name.startswith("mvtec") else "Mean"
            column = source["columns"].get(component) if figure == source["figure"] else None
            cells = [(row, source["columns"]["full"]), (row, column)]
            where += f", {row.lower()}"
        if row is not None and column is not None:
            full, off = (source["scale"] * table["rows"][r][table["columns"].index(c)] for r, c in cells)
            return Claim(full, off, (full > off) - (full < off), where)
    for statement in ablation.get("statements", []):
        if (statement["component"], statement["figure"]) == (component, figure):
            return Claim(None, None, statement["sign"], statement["where"])
    return None
