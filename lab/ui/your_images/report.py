"""What a visitor reads and takes along: the answer in a sentence, the table as CSV, one self-contained HTML report."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from html import escape
from typing import NamedTuple

from ... import metrics
from ...checks.data_check import Hint
from ...detector import Detector
from ...inspection import ranking
from ...methods import METHODS
from ...version import __version__
from ..phrases import VERDICT_LABELS, duration

HOW = {"good": "without what was learned from it", "bad": "never learned from", "new": "never learned from"}
TITLES = {"bad": "Given as bad", "new": "To judge", "good": "Given as good"}


class Judged(NamedTuple):
    """One image and what a detector says of it: score in σ, verdict, share of the surface marked, where the heat is
    in words, the image with its heat as a data URI, and the hottest spot in shares of width and height."""

    name: str
    role: str  # good, bad or new
    score: float
    verdict: str
    marked: float
    place: str
    overlay: str
    hottest: tuple[float, float]


def summary(title: str, judged: Sequence[Judged], good: int) -> str:
    """What a method says of all images, in a sentence or two; good: how many it was fitted to."""
    count = {role: [j for j in judged if j.role == role] for role in TITLES}
    called = {role: sum(j.verdict == "bad" for j in count[role]) for role in TITLES}
    told = [f"{title} has learned from {good} good images."]
    if count["bad"]:
        told.append(f"Of {len(count['bad'])} bad images it calls {_rate(called['bad'], len(count['bad']))} bad.")
    if count["new"]:
        look = sum(j.verdict == "look" for j in count["new"])
        told.append(f"Of {len(count['new'])} to judge it calls {called['new']} bad and {look} worth a look.")
    told.append(
        f"Of {len(count['good'])} good ones, each judged {HOW['good']}, it calls "
        f"{_rate(called['good'], len(count['good']))} bad."
    )
    return " ".join(told)


def _rate(count: int, total: int) -> str:
    found = metrics.rate_interval(count, total)
    return f"{count} ({100 * found[0]:.0f}–{100 * found[1]:.0f} % of such)" if found and total > 1 else str(count)


def table(judged: Sequence[Judged]) -> str:
    """CSV: scores are those of the command line, but for good images, which are judged as HOW says."""
    text = io.StringIO()
    rows = csv.writer(text)
    rows.writerow(["image", "given as", "score", "verdict", "marked", "judged"])
    rows.writerows([j.name, j.role, j.score, j.verdict, j.marked, HOW[j.role]] for j in judged)
    return text.getvalue()


def ranking_table(results: Sequence[ranking.RankingResult]) -> tuple[list[str], list[list[str]]]:
    """Head and rows of the table of methods, best first; no more digits than so few images carry."""
    head = ["method", "tells bad from good (AUROC, 95 % interval)", "missed", "false alarms", "took"]
    rows = []
    for r in results:
        low, high = r.interval or (None, None)
        told = "–" if r.auroc is None else f"{r.auroc:.2f}" + (f" ({low:.2f}–{high:.2f})" if r.interval else "")
        rows.append([
            METHODS[r.method].title, told, f"{r.missed} of {r.n_bad}" if r.n_bad else "–",
            f"{r.false_alarms} of {r.n_good}", duration(r.seconds),
        ])  # fmt: skip
    return head, rows


def ranked_by(results: Sequence[ranking.RankingResult]) -> str:
    """What the ranking rests on, and what it is worth."""
    if not any(r.auroc is not None for r in results):
        return ""
    if any(r.synthetic for r in results):
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


def page(
    detector: Detector,
    judged: Sequence[Judged],
    words: str,
    results: Sequence[ranking.RankingResult],
    hints: Sequence[Hint],
) -> str:
    """One HTML file that needs no other: what was asked, what was found, every image with its heat."""
    kind, c = type(detector.method), detector.calibration
    assert c is not None
    parts = [f"<h1>Anomaly report</h1><p class='lead'>{escape(words)}</p>"]
    parts.append(
        f"<h2>What the thresholds promise</h2><p>{escape(c.statement())} Above {c.bad:.2f} σ an image is called bad, "
        f"above {c.look:.2f} σ worth a look. σ: robust deviations of good images.</p>"
    )
    if hints:
        parts.append(f"<h2>Data check</h2><ul>{''.join(f'<li>{escape(hint.message)}</li>' for hint in hints)}</ul>")
    if len(results) > 1:
        head, rows = ranking_table(results)
        cells = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
        parts.append(f"<h2>Methods tried</h2><p>{escape(ranked_by(results))}</p><table><tr>"
                     + "".join(f"<th>{escape(name)}</th>" for name in head) + f"</tr>{cells}</table>")  # fmt: skip
    for role, title in TITLES.items():
        those = sorted((j for j in judged if j.role == role), key=lambda j: -j.score)
        if those:
            parts.append(f"<h2>{title}: {len(those)}</h2><div class='all'>{''.join(map(_figure, those))}</div>")
    settings = ", ".join(f"{name} {value}" for name, value in detector.settings.as_dict().items())
    weights = ", ".join(detector.weights().values()) or "none"
    parts.append(
        f"<h2>How it was made</h2><p>{escape(kind.title)}: {escape(kind.paper)}. Settings: {escape(settings)}. "
        f"Pretrained weights: {escape(weights)}. Seed {detector.seed}. Fingerprint of the good images: "
        f"{detector.fingerprint[:16]}. Annotation-Free Anomaly Lab {__version__}.</p>"
    )
    return f"<!doctype html><html lang='en'><meta charset='utf-8'><title>Anomaly report</title>{STYLE}" + "".join(parts)


def _figure(j: Judged) -> str:
    told = f"{VERDICT_LABELS[j.verdict]}, {j.score:z.1f} σ" + (f", {j.place}" if j.place else "")
    return (
        f"<figure class='{j.verdict}'><img src='{j.overlay}' alt='{escape(f'{j.name}: {told}', quote=True)}'>"
        f"<figcaption><b>{escape(j.name)}</b><br>{escape(told)}</figcaption></figure>"
    )


STYLE = """<meta name="viewport" content="width=device-width"><style>
:root { color-scheme: light dark } body { font: 15px/1.5 system-ui, sans-serif; max-width: 70rem; margin: 2rem auto;
padding: 0 1rem } h1 { font-size: 1.5rem } h2 { font-size: 1.1rem; margin-top: 2rem } .lead { font-size: 1.1rem }
td, th { text-align: left; padding: 4px 16px 4px 0; border-bottom: 1px solid #8885 } p, li { max-width: 50rem }
.all { display: grid; grid-template-columns: repeat(auto-fill, minmax(180px, 1fr)); gap: 14px }
figure { margin: 0; font-size: .85rem; overflow-wrap: anywhere } img { width: 100%; border: 3px solid #2476ad;
border-radius: 6px; box-sizing: border-box } .look img { border: 3px dashed #8a6d00 }
.bad img { border: 5px double #b8500b }
</style>"""
