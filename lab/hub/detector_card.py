"""The card of a detector on the Hugging Face Hub: what it learned from, its licence, settings, figures and thresholds.

The licence of the images stands in its head and text: a detector is made from them, and may even hold their features.
"""

import re

from .. import markdown, metrics
from ..bench.rows import Row
from ..detector import Detector

_TERMS = {"nc": "no commercial use", "sa": "the same licence for what is made from it", "nd": "no changed versions"}


def write_card(detector: Detector, repository: str, row: Row | None = None) -> str:
    """README.md of the repository: Markdown, headed by the YAML that the Hub reads. `row`: what the bench measured."""
    method, calibration, origin = detector.method, detector.calibration, detector.origin
    assert calibration is not None  # every file has one
    bad, look = calibration.promise_at(calibration.bad), calibration.promise_at(calibration.look)
    assert bad and look  # both thresholds stand at scores
    images = _line(", ".join(origin[k] for k in ("dataset", "category") if k in origin) or "its maker's own images")
    licence = _line(origin.get("licence") or "not stated: ask whoever made it")
    tag = _tag(licence)
    terms = "".join(f", {meaning}" for part, meaning in _TERMS.items() if part in tag.split("-"))
    weights, n = detector.weights(), len(calibration.scores)
    network = f"`{weights['tag']}`, sha256 `{weights['sha256']}`" if weights else "none"
    notes = "".join(f"- {_line(name)}: {_line(note)}\n\n" for name, note in method.notes.items())
    fields = detector.settings.fields().items()
    settings = [[f"`{n}`", _line(getattr(detector.settings, n)), _line(f.metadata["help"])] for n, f in fields]
    settings.append(["`seed`", str(detector.seed), "source of all randomness"])
    return f"""---
library_name: annotation-free-anomaly-lab
pipeline_tag: image-segmentation
license: {tag or "other"}{"" if tag else chr(10) + "license_name: terms-of-the-images"}
tags:
- anomaly-detection
- anomaly-localization
- industrial-inspection
- {detector.id}
---

# {method.title} detector: {images}

Says whether an image shows a part like the good ones it learned from, and where it differs. It saw no defect and no
labelled pixel.

```python
from lab import Detector, image_files
detector = Detector.from_hub("{repository}")
finding = detector.detect(image_files.read("part.jpg"))
print(finding.verdict, finding.score, finding.statement)
```

`finding.anomaly_map` is in σ of good surface, `finding.mask` is True where it exceeds its threshold.

## Data and licence

Learned from {detector.n_images} good images: {images}. SHA-256 of all images given: `{detector.fingerprint}`.

**Licence of the images: {licence}**{terms}. The file is made from them, so treat it as bound by the same terms.

## Method

{_line(method.title)} ({method.family}): {_line(method.paper)}. Frozen network: {network}.

{notes}{markdown.table(["setting", "value", "meaning"], settings)}
## Measured

{_figures(detector, row)}

## Calibration

{calibration.statement()}

| | |
|---|---|
| good images not learned from | {n} ({calibration.hold_out}) |
| bad above | {calibration.bad:.2f} σ, promised false alarms {bad.statement()} |
| look above | {calibration.look:.2f} σ, promised bad or look {look.statement()} |
| smallest rate that {n} images can promise on average | 1/({n}+1) = {1 / (n + 1):.1%} |

The promise holds for good images taken as those were: other light, camera or batch void it.
"""


def _figures(detector: Detector, row: Row | None) -> str:
    if row is None:
        return "No figures came with this detector; `python -m lab bench` measures its settings on a set with defects."
    good, bad = row["good"], row["bad"]
    cells: list[list[str]] = []

    def add(name: str, value: float | None, interval: tuple[float, float] | None = None) -> None:
        if value is not None:
            cells.append([name, f"{value:.3f}", "{:.3f} to {:.3f}".format(*interval) if interval else "-"])

    if min(good, bad) >= metrics.FEWEST:
        add("image AUROC", row["image_auroc"], metrics.newcombe(row["image_auroc"] or 0, bad, good))
    for name, key, total in (("missed", "missed", bad), ("false alarms", "false_alarms", good)):
        if key in row and total:
            add(f"{name}, {row[key]} of {total}", row[key] / total, metrics.rate_interval(row[key], total))
    for name in ("pixel AUROC", "pixel AP", "AU-PRO", "margin", "overlap"):
        add(name, row[name.lower().replace(" ", "_").replace("-", "")])
    other_fit = " by another fit with these settings and seed, which learned from all good ones"
    fit = other_fit if detector.method.trains else ""
    return f"""On {good} good and {bad} bad test images{fit}, at {row["eval_size"]} pixels, version {row["version"]}.

{markdown.table(["", "value", "95 % interval"], cells)}
Pixel figures have no interval: pixels of one image are not independent."""


def _tag(licence: str) -> str:
    """The Hub's name of a Creative Commons licence, e.g. "cc-by-nc-sa-4.0"; "" where the line names none."""
    if match := re.search(r"\bCC[ -]BY((?:-(?:NC|SA|ND))*)[ -](\d\.\d)", licence, re.IGNORECASE):
        return f"cc-by{match[1]}-{match[2]}".lower()
    return "cc0-1.0" if re.search(r"\bCC0\b", licence) else ""


def _line(text: object) -> str:
    """A text as one line of Markdown without markup: names of sets and of files may hold anything."""
    return re.sub(r"([\\`*\[\]<>|])", r"\\\1", " ".join(str(text).split()))
