"""What a visitor reads and takes along: the answer in words, the ranking, the CSV, one self-contained HTML file."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence

from markupsafe import Markup

from ... import metrics
from ...inspection.ranking import RankingResult
from ...methods import METHODS
from ...version import __version__
from ..html.render import render
from ..phrases import VERDICT_LABELS, duration
from .fitting import FittedMethod, JudgedImage
from .uploads import BAD, GOOD, NEW

SUFFIXES = {"detector": ".safetensors", "table": ".csv", "report": ".html"}


def summary(shown: FittedMethod) -> str:
    """What a method says of all images, in a few sentences."""
    bad, new, normal = ([image.verdict for image in shown.judged if image.role == role] for role in (BAD, NEW, GOOD))
    sentences = [f"{METHODS[shown.result.method].title} has learned from {len(shown.good)} good images."]
    if bad:
        sentences.append(f"Of {len(bad)} bad images it calls {_count_bad(bad)} bad.")
    if new:
        called, look = new.count("bad"), new.count("look")
        sentences.append(f"Of {len(new)} to judge it calls {called} bad and {look} worth a look.")
    sentences.append(f"Of {len(normal)} good ones, each judged {GOOD.judging}, it calls {_count_bad(normal)} bad.")
    return " ".join(sentences)


def _count_bad(verdicts: Sequence[str]) -> str:
    """How many are bad, with the interval of their rate."""
    count, total = verdicts.count("bad"), len(verdicts)
    interval = metrics.rate_interval(count, total)
    if not interval or total < 2:
        return str(count)
    return f"{count} ({100 * interval[0]:.0f}–{100 * interval[1]:.0f} % of such)"


def csv_table(judged: Sequence[JudgedImage]) -> str:
    """CSV. Scores are those of the command line, but for good images: the last column says what was learned of each."""
    text = io.StringIO()
    rows = csv.writer(text)
    rows.writerow(["image", "given as", "score", "verdict", "marked", "judged"])
    rows.writerows([i.name, i.role.name, i.score, i.verdict, i.marked, i.role.judging] for i in judged)
    return text.getvalue()


def page(shown: FittedMethod, results: Sequence[RankingResult], hints: Sequence[str]) -> str:
    """One HTML file that needs no other: what was asked, what was found, every image with its anomaly map."""
    about = dict(summary=summary(shown), shown=shown, hints=hints, ranking=ranking_table(results, 2, {}))
    known = dict(roles=(BAD, NEW, GOOD), verdict_labels=VERDICT_LABELS, version=__version__)
    return render("your_images/report.html", method=METHODS[shown.result.method], **about, **known)


def ranking_table(results: Sequence[RankingResult], level: int, untried: Mapping[str, float]) -> Markup:
    """HTML of what the ranking rests on, how each method did, best first, and the seconds that untried ones would take;
    "" of fewer than two methods. level: of its heading."""
    values = dict(results=results, level=level, untried=untried, methods=METHODS, duration=duration)
    return render("your_images/ranking.html", **values) if len(results) > 1 else Markup()
