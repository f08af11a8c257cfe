"""Words of the page that more than one place says."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Mapping
from html import escape

from ..data.dataset import Item
from ..errors import LabError
from ..metrics import Rates

log = logging.getLogger("lab.ui")


def error_message(error: BaseException) -> str:
    """What a visitor reads of an error: a LabError's own words; anything else is logged under an id."""
    if isinstance(error, LabError):
        return str(error)
    name = secrets.token_hex(3)
    log.error("error %s", name, exc_info=error)
    return f"An error of ours (id {name}); the rest of the page still works."


def readable_name(name: str) -> str:
    """The name of an image for people: test/bent_tooth/003 is "bent tooth 3"."""
    parts = name.split("/")[-2:]
    parts[-1] = parts[-1].lstrip("0") or "0"
    return " ".join(parts).replace("_", " ")


def slug(name: str) -> str:
    """The name of an image in an address: test/bent_tooth/003 is "bent_tooth-003"."""
    return "-".join(name.split("/")[-2:])


def truth_label(item: Item) -> str:
    if not item.bad:
        return "truth: good"
    return f"truth: {item.defect.replace('_', ' ')}, " + ("outlined" if item.mask else "the set gives no outline")


def status_html(fraction: float | None, words: str, left: str = "") -> str:
    """The status line as HTML; fraction None: nothing runs."""
    bar = "" if fraction is None else f'<progress max="1" value="{fraction:.3f}" aria-label="progress"></progress>'
    told = f"<span>{escape(words)}</span><em>{escape(left)}</em>"
    return f'<div class="status" role="status">{bar}{told}</div>'


def duration(seconds: float) -> str:
    return f"{seconds / 60:.0f} min" if seconds > 90 else f"{max(1, round(seconds))} s"


def time_left(words: str, elapsed: float, fraction: float) -> str:
    """What a job that has come so far in so many seconds still takes; "" while nobody can know, and where its own words
    say so: a training knows better."""
    if words.endswith(" left") or elapsed < 1.5 or fraction < 0.05:
        return ""
    return f"about {duration(elapsed * (1 - fraction) / fraction)} left"


def comparison_summary(done: Mapping[str, Rates]) -> str:
    """What a finished comparison says, in one sentence: title -> rates at the method's own threshold."""
    if not done:
        return ""
    first = next(iter(done.values()))
    found = ", ".join(f"{title} finds {rates.bads - rates.missed}" for title, rates in done.items())
    alarms = " and ".join(str(rates.false_alarms) for rates in done.values())
    return f"Of {first.bads} defective test images {found}. False alarms on {first.goods} good ones: {alarms}."


VERDICT_LABELS = {"good": "● good", "look": "▲ look at it", "bad": "■ bad"}
"""A verdict as it is written: never by its colour alone."""
