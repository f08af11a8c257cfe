"""Rows of a bench as lines for the screen."""

import statistics
from typing import Any

from .rows import Row

COLUMNS = ("image_auroc", "pixel_auroc", "pixel_ap", "aupro", "f1_max_oracle", "margin", "overlap")


def format_value(value: Any) -> str:
    """Three decimals of a float; "-" of None."""
    return "-" if value is None else f"{value:.3f}" if isinstance(value, float) else str(value)


def row_title(row: Row) -> str:
    """The method, and what is switched off in it."""
    return f"{row['method']:<11} {row.get('component', '')}".rstrip() if row.get("component") else str(row["method"])


def format_row(row: Row) -> str:
    """One row for the screen."""
    figures = "  ".join(f"{name} {format_value(row[name])}" for name in COLUMNS if name != "f1_max_oracle")
    verdicts = ""
    if "missed" in row:
        verdicts = f"  missed {row['missed']}/{row['bad']}  false alarms {row['false_alarms']}/{row['good']}"
    return (
        f"{row['dataset']}/{row['category']}  {row_title(row):<11} seed {row['seed']}  {figures}{verdicts}  "
        f"fit {row['fit_seconds']:.1f} s  detect {row['detect_ms']:.0f} ms  {row['peak_mb']} MB"
    )


def format_means(rows: list[Row]) -> list[str]:
    """One line per method and what is off in it: the unweighted mean over all rows, undefined figures left out."""
    lines = []
    for title in dict.fromkeys(map(row_title, rows)):
        group = [row for row in rows if row_title(row) == title]
        figures = []
        for column in COLUMNS:
            values = [row[column] for row in group if row[column] is not None]
            figures.append(f"{column} {format_value(statistics.fmean(values) if values else None)}")
        lines.append(f"mean of {len(group)} rows  {title:<11} " + "  ".join(figures))
    return lines
