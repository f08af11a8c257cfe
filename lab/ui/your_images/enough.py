"""*How many images are enough?* for a visitor's images: a curve as HTML. Knows no gradio."""

from ...detector import Detector
from ...inspection.learning_curve import LEVEL, RATE, learning_curve
from ...methods import METHODS
from ...progress import Report
from ..html.render import render
from .ignored_boxes import mask_of
from .session import YourImagesSession
from .uploads import BAD


def curve(session: YourImagesSession, report: Report) -> str:
    """HTML of what the method shown misses, by how many of the good images it learns from, and of what twice as many
    should bring. Raises LabError before there are answers, for too few images, and for a method that needs bad ones."""
    shown = session.answers.require_shown().detector
    uploads = (session.good(), session.uploads.with_role(BAD))
    good, bad = ([upload.seen_by(shown.settings) for upload in some] for some in uploads)
    fitted, mask = lambda: Detector(shown.id, **shown.settings.as_dict()), mask_of(session.ignored_boxes, good[0].shape)
    measured_curve = learning_curve(fitted, good, bad, report=report, ignore=mask)
    title = METHODS[shown.id].title
    return render("your_images/enough.html", curve=measured_curve, title=title, level=LEVEL, rate=RATE)
