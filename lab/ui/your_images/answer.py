"""The answer in words: what a method says of a visitor's images."""

from collections.abc import Sequence

from ... import metrics
from ...methods import METHODS
from .fitting import FittedMethod
from .uploads import BAD, GOOD, NEW


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


def change(before: FittedMethod, after: FittedMethod, learned: str) -> str:
    """What learning one more image has changed of the other images' verdicts, in words; "" where nothing."""
    verdicts = {image.name: (image.role, image.verdict) for image in before.judged if image.name != learned}
    parts = []
    for role, word in ((BAD, "bad images found"), (GOOD, "good images flagged")):
        now = [image for image in after.judged if image.role == role and verdicts.get(image.name, (None,))[0] == role]
        counts = [sum(verdicts[i.name][1] == "bad" for i in now), sum(i.verdict == "bad" for i in now)]
        if counts[0] != counts[1]:
            parts.append(f"{counts[1]} instead of {counts[0]} of {len(now)} {word}")
    return f": {', '.join(parts)}; Undo takes it back" if parts else ""


def _count_bad(verdicts: Sequence[str]) -> str:
    """How many are bad, with the interval of their rate."""
    count, total = verdicts.count("bad"), len(verdicts)
    interval = metrics.rate_interval(count, total)
    if not interval or total < 2:
        return str(count)
    return f"{count} ({100 * interval[0]:.0f}–{100 * interval[1]:.0f} % of such)"
