"""Phrases that more than one place of the page says."""

import logging
import os
import re
import secrets
import tempfile
from collections.abc import Sequence
from pathlib import Path

from ..data.dataset import Item
from ..errors import LabError
from . import run_folder

log = logging.getLogger("lab.ui")


def error_message(error: BaseException) -> str:
    """What a visitor reads of an error: a LabError's own sentence, without the server's folders; anything else is
    logged under an id."""
    if isinstance(error, LabError):
        return without_folders(str(error))
    error_id = secrets.token_hex(3)
    log.error("error %s", error_id, exc_info=error)
    return f"An error of ours (id {error_id}); the rest of the page still works."


def without_folders(text: str) -> str:
    """The text with every absolute path cut down to its last part: where things lie on the server is nobody's business.

    Addresses of the web stay.
    """
    for folder in (run_folder.path(), Path.home(), Path(tempfile.gettempdir()), Path.cwd()):
        text = text.replace(f"{folder}{os.sep}", "").replace(str(folder), folder.name)
    return re.sub(r"(?<![\w/:.~-])(?:[A-Za-z]:)?[/\\](?:[^\s/\\:;,'\"<>]+[/\\])+", "", text)


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


def duration(seconds: float) -> str:
    return f"{seconds / 60:.0f} min" if seconds > 90 else f"{max(1, round(seconds))} s"


def time_left(message: str, elapsed: float, fraction: float) -> str:
    """What a job that took `elapsed` seconds for `fraction` of its work still takes, in words.

    "" while nobody can know, and where the job's own message says it: a training knows better.
    """
    if message.endswith(" left") or elapsed < 1.5 or fraction < 0.05:
        return ""
    return f"about {duration(elapsed * (1 - fraction) / fraction)} left"


def comparison_summary(titles: Sequence[str], images: int) -> str:
    """What a finished comparison says; what the methods find follows the line, and is told beside it."""
    return f"{' and '.join(titles)} {'has' if len(titles) == 1 else 'have'} judged {images} test images."


VERDICT_LABELS = {"good": "● good", "look": "▲ look at it", "bad": "■ bad"}
"""A verdict as it is written: never by its colour alone."""
