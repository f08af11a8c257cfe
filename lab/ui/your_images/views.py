"""What the page shows of a visit: state in, HTML and values out. Nothing here writes, fits or changes anything."""

from __future__ import annotations

from typing import Any

from ...methods import METHODS
from ..html.render import render
from ..panel import payload
from ..phrases import duration
from . import report
from .session import YourImagesSession
from .uploads import ROLES

ALL_METHODS = "all"


def method_choices(session: YourImagesSession | None) -> list[tuple[str, str]]:
    """(label, method) of each method, with the seconds it takes where that is known, and of all together."""
    ready = session if session and session.is_ready() else None
    labels = {m: f": about {duration(ready.expected_seconds(m))}" if ready else "" for m in METHODS}
    choices = [(METHODS[m].title + labels[m], m) for m in METHODS]
    return [*choices, ("Try them all: what fits within a minute", ALL_METHODS)]


def images(session: YourImagesSession) -> str:
    """HTML of the images, a row a role, each a button that leaves it out; then the hints of the data check."""
    rows = [(role.label, uploads) for role in ROLES.values() if (uploads := session.uploads.with_role(role))]
    images = session.uploads.images.values()
    hints = [
        (message, remaining)
        for message, about in session.hints.items()
        if (remaining := [image for image in about if image in images]) or not about
    ]
    return render("your_images/images.html", rows=rows, hints=hints) if rows else ""


def ranking(session: YourImagesSession) -> str:
    """HTML of the methods tried, best first, then what the others would take; "" before a second one is tried."""
    untried = {m: session.expected_seconds(m) for m in METHODS if m not in session.answers.fitted}
    return report.ranking_table(session.answers.ranking(), 3, untried)


def panel(session: YourImagesSession) -> dict[str, Any] | None:
    """The state of the live panel as `panel.component` describes it; None before there are answers."""
    answers, shown = session.answers, session.answers.shown
    if not shown:
        return None
    judged = answers.judged_image or shown.judged[0]  # an image that it has learned from is not judged
    number, method = shown.judged.index(judged), METHODS[answers.method]
    # methods that judge the same images share thumbnails, which the browser then fetches once
    names = [image.name for image in shown.judged]
    same = next(fitted for fitted in answers.fitted.values() if [image.name for image in fitted.judged] == names)
    groups = [{"group": image.role.heading.lower(), "bad": image.role.defective} for image in shown.judged]
    strip = [{"name": name, "label": name, "slug": name, **group} for name, group in zip(names, groups, strict=True)]
    source = f"{len(session.uploads.images)} images of this visit, which go with it"
    slot = {"key": answers.method, "title": method.title, "paper": method.paper, "status": "", "judged": None}
    fitted = {"scale": payload.scale_payload(shown.calibration), "finding": shown.payload["images"][number]}
    return {
        "address": {},
        "set": {"key": same.key, "drawn": len(names), "images": strip, "source": source},
        "chosen": number,
        "image": payload.shown_image(session.uploads.images[judged.name].pixels(), None, judged.role.heading.lower()),
        "slots": [{**slot, **fitted, "payload_key": shown.key}],
    }
