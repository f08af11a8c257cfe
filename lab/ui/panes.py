"""Findings in, HTML out: the strip of pictures, the panes, the numbers. Knows neither gradio nor a visitor."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from html import escape

import numpy as np
from PIL import Image

from .. import plots
from ..calibrate import Calibration
from ..data import Dataset, Item
from ..detector import Detector, Finding
from ..method import Method
from .service import Survey

SHOWN, THUMB = 560, 76  # longest side of a pane's picture, side of a thumbnail, pixels
VERDICTS = {"good": ("●", "good"), "look": ("▲", "look at it"), "bad": ("■", "bad")}
SIGMA = "σ: robust standard deviations of good pictures the method did not learn from; 0 is their median"


def picture_uri(picture: np.ndarray, side: int, *, square: bool = False) -> str:
    """uint8 (H, W, 3) -> data URI, at most `side` on its longest side; `square`: its centre, side x side."""
    image = Image.fromarray(picture)
    if square:
        edge = min(image.size)
        left, top = (image.width - edge) // 2, (image.height - edge) // 2
        image = image.crop((left, top, left + edge, top + edge))
    image.thumbnail((side, side), Image.Resampling.LANCZOS)
    return _uri(image, "webp", quality=80 if square else 90)


def heat_uri(heat: np.ndarray, calibration: Calibration) -> str:
    """float (H, W) in σ -> data URI of a palette PNG: 256 levels of the detector's absolute scale, clear below it."""
    low, high = calibration.span
    plane = Image.fromarray(heat.astype(np.float32))
    plane.thumbnail((SHOWN, SHOWN), Image.Resampling.BILINEAR)
    image = Image.fromarray(plots.heat_png8(np.asarray(plane), high))
    table = plots.heat_table(low, high, high)
    image.putpalette(table[:, :3].tobytes())
    return _uri(image, "png", transparency=table[:, 3].tobytes())


def _uri(image: Image.Image, kind: str, **options: object) -> str:
    held = io.BytesIO()
    image.save(held, kind, **options)  # type: ignore[arg-type]
    return f"data:image/{kind};base64,{base64.b64encode(held.getvalue()).decode()}"


def badge(verdict: str) -> str:
    shape, word = VERDICTS[verdict]
    return f'<span class="badge {verdict}"><i aria-hidden="true">{shape}</i> {word}</span>'


def nice(name: str) -> str:
    """"test/bent_tooth/003" -> "bent tooth 3"."""
    parts = name.split("/")[-2:]
    parts[-1] = parts[-1].lstrip("0") or "0"
    return escape(" ".join(parts).replace("_", " "))


# --- the strip --------------------------------------------------------------------------------------------------------


def strip(dataset: Dataset, order: Sequence[int], thumbs: Sequence[str], survey: Survey | None, chosen: int) -> str:
    """Test pictures as buttons; borders and shapes tell the survey's verdicts, ticks whether they are right."""
    cells, heading = [], None
    for i in order:
        item = dataset.test[i]
        if item.defect != heading:
            heading = item.defect
            count = sum(other.defect == heading for other in dataset.test)
            cells.append(f'<span class="kind">{escape(heading.replace("_", " "))}<small>{count}</small></span>')
        verdict = survey.verdicts[i] if survey else None
        told, marks = "not judged yet", ""
        if survey and verdict:
            right = None if verdict == "look" else (verdict == "bad") == item.bad
            wrong = "missed" if item.bad else "false alarm"
            how = "left to a person" if right is None else "right" if right else wrong
            told = f"{survey.words[i]}; {how}"
            tick = "" if right is None else f'<b class="{"tick" if right else "cross"}">{"✓" if right else "✗"}</b>'
            marks = f'<i aria-hidden="true">{VERDICTS[verdict][0]}</i>{tick}'
        words = f"{nice(item.name)}: {escape(told)}"
        image = f'<img src="{thumbs[i]}" alt="{words}" width="{THUMB}" height="{THUMB}">' if thumbs[i] else (
            f'<img alt="{words}" width="{THUMB}" height="{THUMB}" src="{_BLANK}">')  # fmt: skip
        current = "true" if i == chosen else "false"
        cells.append(
            f'<button type="button" class="thumb {verdict or "open"}" data-name="{escape(item.name)}" '
            f'aria-current="{current}" title="{words}">{image}{marks}</button>'
        )
    return f'<div class="strip" role="group" aria-label="test pictures">{"".join(cells)}</div>'


def strip_waiting() -> str:
    places = '<span class="thumb open"></span>' * 14
    return f'<div class="strip" aria-busy="true">{places}</div><div class="note"></div>'


def strip_note(dataset: Dataset, title: str) -> str:
    shapes = "".join(badge(verdict) for verdict in VERDICTS)
    source = f"{dataset.name}, {dataset.category} · {dataset.licence}"
    return (
        f'<div class="note"><span>Borders: what {escape(title)} says</span> {shapes} '
        '<span><b class="tick">✓</b> right</span> <span><b class="cross">✗</b> wrong, against the truth</span>'
        f'<span class="licence" title="where these pictures come from, and on what terms">{escape(source)}</span></div>'
    )


# --- the panes --------------------------------------------------------------------------------------------------------


def truth_pane(item: Item, outlined: np.ndarray) -> str:
    """outlined: uint8 (H, W, 3), the picture with its defect's outline."""
    found = "defect outlined" if item.mask else "the set gives no outline"
    told = f"truth: {escape(item.defect.replace('_', ' '))}, {found}" if item.bad else "truth: good"
    return (
        f'<figure class="pane"><figcaption><b>{nice(item.name)}</b></figcaption><div class="stack">'
        f'<img src="{picture_uri(outlined, SHOWN)}" alt="Test picture {nice(item.name)}, {told}" '
        f'width="{outlined.shape[1]}" height="{outlined.shape[0]}"><i class="spot"></i></div>'
        f'<div class="foot">{told}</div></figure>'
    )


def heat_pane(
    key: str, method: type[Method], detector: Detector, finding: Finding, picture_src: str, shape: tuple[int, ...]
) -> str:
    c = detector.calibration
    assert c is not None
    words = plots.describe(finding.heat, finding.score, finding.verdict)
    size = f'width="{shape[1]}" height="{shape[0]}"'
    score = f'<span class="score" title="score of the picture, in {SIGMA}">{finding.score:.1f} σ</span>'
    return (
        f'<figure class="pane done" data-method="{key}"><figcaption>'
        f'<b title="{escape(method.paper)}">{method.title}</b>{badge(finding.verdict)}{score}</figcaption>'
        f'<div class="stack"><img class="under" src="{picture_src}" alt="" {size}>'
        f'<img class="heat" src="{heat_uri(finding.heat, c)}" alt="{method.title}: {escape(words)}" {size}>'
        f'<i class="spot"></i></div><div class="foot" title="heat of a pixel, in {SIGMA}">{plots.legend(*c.span)}</div>'
        "</figure>"
    )


def empty_pane(method: type[Method] | None, words: str, picture_src: str, shape: tuple[int, ...]) -> str:
    """The place of a map (None: of the picture) that is not there yet, of the same size, with the reason."""
    head = f'<b title="{escape(method.paper)}">{method.title}</b>' if method else "<b>Picture</b>"
    return (
        f'<figure class="pane empty"><figcaption>{head}</figcaption><div class="stack">'
        f'<img class="under" src="{picture_src or _BLANK}" alt="" width="{shape[1]}" height="{shape[0]}">'
        f'<p>{escape(words)}</p></div><div class="foot"></div></figure>'
    )


def panes(cells: Sequence[str]) -> str:
    return f'<div class="panes" style="--n:{len(cells)}">{"".join(cells)}</div>'


# --- the numbers ------------------------------------------------------------------------------------------------------


def numbers(survey: Survey, c: Calibration) -> str:
    """Under a method's plot: how far the sides lie apart, how well pictures are ranked, what the threshold does."""

    def two(value: float | None) -> str:
        return "undefined" if value is None else f"{value:.2f}"

    interval = f" <small>({survey.interval[0]:.2f}–{survey.interval[1]:.2f})</small>" if survey.interval else ""
    rank = "too few pictures" if survey.interval is None else two(survey.auroc) + interval
    rows = [
        ("margin", two(survey.margin), "distance of the two means in units of their common spread; larger is better"),
        ("overlap", two(survey.overlap), "area the two distributions share: 0 told apart, 1 alike"),
        ("image AUROC", rank, "chance that a bad picture scores above a good one, with its 95 % interval"),
        ("missed", f"{survey.missed} of {survey.bads}", f"bad pictures not called bad at {c.bad:.1f} σ"),
        ("false alarms", f"{survey.false_alarms} of {survey.goods}", f"good pictures called bad at {c.bad:.1f} σ"),
    ]
    cells = "".join(f'<div title="{escape(told)}"><dt>{name}</dt><dd>{value}</dd></div>' for name, value, told in rows)
    return f'<dl class="numbers">{cells}</dl><p class="words">{escape(c.words())}</p>'


def pending(words: str) -> str:
    """The place of a plot that is not there yet."""
    return f'<p class="pending">{escape(words)}</p>'


def progress(fraction: float | None, words: str, left: str = "") -> str:
    """The status line; fraction None: nothing runs."""
    bar = "" if fraction is None else f'<progress max="1" value="{fraction:.3f}" aria-label="progress"></progress>'
    told = f"<span>{escape(words)}</span><em>{escape(left)}</em>"
    return f'<div class="status" role="status">{bar}{told}</div>'


def summary(titles: Sequence[str], surveys: Sequence[Survey]) -> str:
    """What a finished comparison says, in one sentence."""
    found = [f"{title} finds {s.bads - s.missed}" for title, s in zip(titles, surveys, strict=True)]
    alarms = " and ".join(str(s.false_alarms) for s in surveys)
    bads, goods = surveys[0].bads, surveys[0].goods
    return f"Of {bads} defective test pictures {', '.join(found)}. False alarms on {goods} good ones: {alarms}."


_BLANK = "data:image/gif;base64,R0lGODlhAQABAAAAACH5BAEKAAEALAAAAAABAAEAAAICTAEAOw=="
