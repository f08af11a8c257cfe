"""What the page shows of a visit: state in, HTML and values out. Nothing here writes, fits or changes anything."""

from __future__ import annotations

from typing import Any

from ...calibration import MIN_IMAGES
from ...methods import METHODS
from ..html.render import render
from ..panel import payload
from ..phrases import duration
from . import report
from .fitting import JudgedImage
from .roles import ROLES
from .session import YourImagesSession

ALL_METHODS = "all"


def status(session: YourImagesSession) -> str:
    """HTML of how far the job is, or what came of it, and what step 3 still needs."""
    status = session.runner.status
    if status.fraction is None and session.uploads.images and not session.is_ready():
        need = f" Step 3 needs {MIN_IMAGES} good images; there are {len(session.good())}."
        status = status._replace(message=status.message + need)
    return status.html()


def method_choices(session: YourImagesSession | None) -> list[tuple[str, str]]:
    """(label, method) of each method, with the seconds it takes where that is known, and of all together."""
    ready = session if session and session.is_ready() else None
    labels = {m: f": about {duration(ready.expected_seconds(m))}" if ready else "" for m in METHODS}
    choices = [(METHODS[m].title + labels[m], m) for m in METHODS]
    return [*choices, ("Try them all: what fits within a minute", ALL_METHODS)]


def fitted_choices(session: YourImagesSession) -> list[tuple[str, str]]:
    """(title, method) of the fitted methods, best first."""
    return [(METHODS[result.method].title, result.method) for result in session.answers.ranking()]


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
    results = session.answers.ranking()
    if len(results) < 2:
        return ""
    untried = [m for m in METHODS if m not in session.answers.fitted]
    return render(
        "your_images/ranking.html",
        basis=report.ranking_basis(results),
        head=report.RANKING_HEAD,
        rows=report.ranking_rows(results),
        untried=[(METHODS[m].title, duration(session.expected_seconds(m))) for m in untried],
    )


def spot(session: YourImagesSession) -> tuple[float, float]:
    """Where the anomaly map of the image shown is greatest, shares of width and height."""
    judged = session.answers.judged_image
    return judged.peak if judged else (0.5, 0.5)


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
    pixels, heading = session.uploads.images[judged.name].pixels(), judged.role.heading.lower()
    return {
        "address": {},
        "set": {
            "key": same.key,
            "drawn": len(names),
            "images": [_strip_image(image) for image in shown.judged],
            "source": f"{len(session.uploads.images)} images of this visit, which go with it",
        },
        "chosen": number,
        "image": payload.shown_image(pixels, None, heading),
        "slots": [
            {
                "key": answers.method,
                "title": method.title,
                "paper": method.paper,
                "status": "",
                "judged": None,
                "scale": payload.scale_payload(shown.calibration),
                "finding": shown.payload["images"][number],
                "payload_key": shown.key,
            }
        ],
    }


def _strip_image(image: JudgedImage) -> dict[str, Any]:
    names = dict.fromkeys(("name", "label", "slug"), image.name)
    return {**names, "group": image.role.heading.lower(), "bad": image.role.defective}
