"""What a visitor takes along: the ranking, the CSV, one self-contained HTML file."""

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from ...checks.regions import describe_regions
from ...csv_cells import cell
from ...inspection.ranking import RankingResult
from ...methods import METHODS
from ...version import __version__
from ..html.render import render
from ..phrases import VERDICT_LABELS, duration
from .answer import summary
from .fitting import FittedMethod, JudgedImage
from .uploads import BAD, GOOD, NEW

BOX = ("regions", "left", "top", "width", "height", "area")  # how many are marked; the strongest, pixels of the image
SUFFIXES = {"detector": ".safetensors", "table": ".csv", "report": ".html"}


def csv_table(judged: Sequence[JudgedImage]) -> str:
    """CSV. Scores are those of the command line, but for good images: the last column says what was learned of each."""
    text = io.StringIO()
    rows = csv.writer(text)
    rows.writerow(["image", "given as", "score", "verdict", "marked", *BOX, "judged"])
    for i in judged:
        box = (len(i.regions), *(i.regions[0][:5] if i.regions else [""] * 5))
        rows.writerow([cell(i.name), i.role.name, i.score, i.verdict, i.marked, *box, i.role.judging])
    return text.getvalue()


def page(shown: FittedMethod, results: Sequence[RankingResult], hints: Sequence[str]) -> str:
    """One HTML file that needs no other: what was asked, what was found, every image with its anomaly map."""
    about = dict(summary=summary(shown), shown=shown, hints=hints, ranking=ranking_table(results, 2, {}))
    known: dict[str, Any] = dict(roles=(BAD, NEW, GOOD), verdict_labels=VERDICT_LABELS, version=__version__)
    known |= dict(describe_regions=describe_regions)
    return render("your_images/report.html", method=METHODS[shown.result.method], **about, **known)


def ranking_table(results: Sequence[RankingResult], level: int, untried: Mapping[str, float]) -> Markup:
    """HTML of what the ranking rests on, how each method did, best first, and the seconds that untried ones would take;
    "" of fewer than two methods. level: of its heading."""
    values = dict(results=results, level=level, untried=untried, methods=METHODS, duration=duration)
    return render("your_images/ranking.html", **values) if len(results) > 1 else Markup()
