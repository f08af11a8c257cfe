"""What a visitor reads and takes along: the answer in words, the ranking, the CSV, one self-contained HTML file."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

from ... import metrics
from ...inspection.ranking import RankingResult
from ...methods import METHODS
from ...version import __version__
from ..html.render import render
from ..phrases import VERDICT_LABELS, duration
from .fitting import FittedMethod, JudgedImage
from .roles import BAD, GOOD, NEW

SUFFIXES = {"detector": ".safetensors", "table": ".csv", "report": ".html"}
RANKING_HEAD = ("method", "tells bad from good (AUROC, 95 % interval)", "missed", "false alarms", "took")


def summary(title: str, judged: Sequence[JudgedImage], good: int) -> str:
    """What a method says of all images, in a few sentences; good: how many it was fitted to."""
    verdicts = {role: [image.verdict for image in judged if image.role == role] for role in (BAD, NEW, GOOD)}
    called_bad = {role: verdicts[role].count("bad") for role in verdicts}
    totals = {role: len(verdicts[role]) for role in verdicts}
    sentences = [f"{title} has learned from {good} good images."]
    if totals[BAD]:
        sentences.append(f"Of {totals[BAD]} bad images it calls {_rate(called_bad[BAD], totals[BAD])} bad.")
    if totals[NEW]:
        look = verdicts[NEW].count("look")
        sentences.append(f"Of {totals[NEW]} to judge it calls {called_bad[NEW]} bad and {look} worth a look.")
    rate = _rate(called_bad[GOOD], totals[GOOD])
    sentences.append(f"Of {totals[GOOD]} good ones, each judged {GOOD.judging}, it calls {rate} bad.")
    return " ".join(sentences)


def _rate(count: int, total: int) -> str:
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


def ranking_rows(results: Sequence[RankingResult]) -> list[list[str]]:
    """Rows under RANKING_HEAD; no more digits than so few images carry."""
    rows = []
    for result in results:
        auroc = "–" if result.auroc is None else f"{result.auroc:.2f}"
        if result.auroc is not None and result.interval:
            auroc += f" ({result.interval[0]:.2f}–{result.interval[1]:.2f})"
        missed = f"{result.missed} of {result.n_bad}" if result.n_bad else "–"
        false_alarms = f"{result.false_alarms} of {result.n_good}"
        rows.append([METHODS[result.method].title, auroc, missed, false_alarms, duration(result.seconds)])
    return rows


def ranking_basis(results: Sequence[RankingResult]) -> str:
    """What the ranking rests on, and what it is worth."""
    if not any(result.auroc is not None for result in results):
        return ""
    if any(result.synthetic for result in results):
        return (
            "You gave no bad images, so methods are ranked by how well each tells good images it has not seen from "
            "the same with a scratch, a blurred or a painted spot, which no method was trained on. Real defects may "
            "rank them otherwise: add a few if you have them."
        )
    return (
        "Ranked by how well each method tells your bad images from good ones it has not learned from. A method that "
        "trains is judged on the few good ones held out of it, so its interval is wider. Where intervals overlap, the "
        "order may be chance."
    )


def page(shown: FittedMethod, summary: str, results: Sequence[RankingResult], hints: Sequence[str]) -> str:
    """One HTML file that needs no other: what was asked, what was found, every image with its anomaly map."""
    return render(
        "your_images/report.html",
        summary=summary,
        shown=shown,
        detector=shown.detector,
        method=type(shown.detector.method),
        hints=hints,
        ranking={"basis": ranking_basis(results), "head": RANKING_HEAD, "rows": ranking_rows(results)},
        roles=(BAD, NEW, GOOD),
        verdict_labels=VERDICT_LABELS,
        version=__version__,
    )
