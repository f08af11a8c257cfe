"""Detectors on the Hugging Face Hub: the card that goes with one, and the way there and back.

A repository holds one safetensors file and its card. The licence of the images stands in the card's head and text:
a detector is made from them, a bank even holds features of them.
"""

from __future__ import annotations

import re
from pathlib import Path

from .. import metrics
from ..bench.rows import Row, Rows
from ..detector import Detector
from ..errors import LabError
from ..parts import features
from . import downloads

FILE = "detector.safetensors"
PICKLES = (".bin", ".ckpt", ".joblib", ".pickle", ".pkl", ".pt", ".pth")


def push(path: str | Path, repository: str, *, private: bool = False, row: Row | None = None) -> str:
    """Puts a detector's file and its card into the repository "user/name", made where it is not there; its address.

    `row` is what the bench measured of these settings, see `measured`. Raises LabError as `Detector.load`, and for a
    missing or refused token, and for a repository that is public where a private one is asked for.
    """
    detector = Detector.load(path)
    text = card(detector, repository, row).encode()
    with downloads.readable_errors(_named(repository)):
        import huggingface_hub as client

        if not client.get_token():
            raise LabError(
                "no token of the Hub is at hand: log in with `hf auth login`, or set HF_TOKEN to one that may write"
            )
        api = client.HfApi()
        api.create_repo(repository, private=private or None, exist_ok=True)
        if private and not api.repo_info(repository).private:
            raise LabError(f"{repository} is there already and public: name another, or make it private on its page")
        adds = [client.CommitOperationAdd(FILE, str(path)), client.CommitOperationAdd("README.md", text)]
        try:
            api.create_commit(repository, adds, commit_message=f"{detector.method.title} detector and its card")
        except RuntimeError as error:  # the client's, around what really went wrong
            raise error.__cause__ or LabError(f"{repository}: the upload failed ({error}); push again") from None
        return f"{api.endpoint}/{repository}"


def load(repository: str) -> Detector:
    """The detector of the repository "user/name", downloaded once. Raises LabError as `Detector.from_hub` says."""
    with downloads.readable_errors(_named(repository)):
        import huggingface_hub as client

        try:
            path = client.hf_hub_download(repository, FILE)
        except client.errors.RemoteEntryNotFoundError:
            pickles = [name for name in client.HfApi().list_repo_files(repository) if name.endswith(PICKLES)]
            why = f": {pickles[0]} is a pickle, which runs code when it is opened" if pickles else ""
            raise LabError(f"{repository} holds no {FILE}, as `python -m lab push` leaves it{why}") from None
        except client.errors.LocalEntryNotFoundError as error:
            raise error.__cause__ or error from None  # why it could not be asked for
    try:
        return Detector.load(path)
    except LabError as error:
        raise LabError(str(error).replace(str(path), f"{repository}/{FILE}")) from None


def matching_row(detector: Detector, folder: Path) -> Row:
    """The row of `bench --out folder` of the detector's method, settings, weights, set and seed, all images learned
    from. LabError where there is none."""
    wanted = dict(
        dataset=detector.origin.get("dataset"), category=detector.origin.get("category"), method=detector.id,
        settings=detector.settings.as_dict(), weights=features.backbone_weights(detector.settings), seed=detector.seed,
        train_limit=None,
    )  # fmt: skip
    rows = [row for row in Rows(folder).held.values() if all(row.get(k) == v for k, v in wanted.items())]
    if not rows:
        raise LabError(
            f"{folder} has no row of {detector.id} with these settings and weights on {wanted['dataset']}/"
            f"{wanted['category']} with seed {detector.seed}; `python -m lab bench` measures one"
        )
    return rows[-1]


def _named(repository: str) -> str:
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", repository, re.ASCII):
        raise LabError(f"{repository!r} names no repository: it must be user/name")
    return repository


# The card ---------------------------------------------------------------------------------------------------------

TERMS = {"nc": "no commercial use", "sa": "the same licence for what is made from it", "nd": "no changed versions"}


def card(detector: Detector, repository: str, row: Row | None = None) -> str:
    """README.md of the repository: Markdown, headed by the YAML that the Hub reads."""
    method, c, origin = detector.method, detector.calibration, detector.origin
    assert c is not None  # no file is without
    of = _line(", ".join(origin[k] for k in ("dataset", "category") if k in origin) or "its maker's own images")
    licence = _line(origin.get("licence") or "not stated: ask whoever made it")
    tag = _tag(licence)
    terms = "".join(f", {words}" for part, words in TERMS.items() if part in tag.split("-"))
    weights, n = detector.weights(), len(c.scores)
    network = f"`{weights['tag']}`, sha256 `{weights['sha256']}`" if weights else "none"
    notes = "".join(f"- {_line(name)}: {_line(words)}\n\n" for name, words in method.notes.items())
    settings = "\n".join(
        f"| `{name}` | {_line(getattr(detector.settings, name))} | {_line(field.metadata['help'])} |"
        for name, field in detector.settings.fields().items()
    )
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

# {method.title} detector: {of}

Says of an image whether it shows a part like the good ones it learned from, and where it differs. No defect was shown
to it and no pixel labelled.

```python
from lab import Detector, images
detector = Detector.from_hub("{repository}")
finding = detector.detect(images.read("part.jpg"))
print(finding.verdict, finding.score, finding.scale)
```

`finding.heat` is the heat map in σ of good surface, `finding.mask` what lies above its threshold.

## Data and licence

Learned from {detector.count} good images: {of}. SHA-256 of all that were given: `{detector.fingerprint}`.

**Licence of the images: {licence}**{terms}. The file is made from them, so treat it as bound by the same terms.

## Method

{_line(method.title)} ({method.family}): {_line(method.paper)}. Frozen network: {network}.

{notes}| setting | value | meaning |
|---|---|---|
{settings}
| `seed` | {detector.seed} | source of all chance |

## Measured

{_figures(detector, row)}

## Calibration

{c.words()}

| | |
|---|---|
| good images not learned from | {n} ({c.how}) |
| bad above | {c.bad:.2f} σ, promised false alarms at most {c.promise(c.bad):.1%} |
| look above | {c.look:.2f} σ, promised bad or look at most {c.promise(c.look):.1%} |
| smallest rate that {n} images can promise | 1/({n}+1) = {1 / (n + 1):.1%} |

The promise holds for good images taken as those were: other light, camera or batch void it.
"""


def _figures(detector: Detector, row: Row | None) -> str:
    if row is None:
        return "No figures came with this detector; `python -m lab bench` measures its settings on a set with defects."
    good, bad = row["good"], row["bad"]
    rows = [("image AUROC", row["image_auroc"], metrics.newcombe(row["image_auroc"] or 0, bad, good))]
    if min(good, bad) < metrics.FEWEST:
        rows = []
    for name, key, total in (("missed", "missed", bad), ("false alarms", "false_alarms", good)):
        if key in row and total:
            rows.append((f"{name}, {row[key]} of {total}", row[key] / total, metrics.rate_interval(row[key], total)))
    pixels = {"pixel AUROC": "pixel_auroc", "pixel AP": "pixel_ap", "AU-PRO": "aupro"}
    pixels |= {"margin": "margin", "overlap": "overlap"}
    rows += [(name, row[key], None) for name, key in pixels.items()]
    table = "\n".join(
        f"| {name} | {value:.3f} | {f'{interval[0]:.3f} to {interval[1]:.3f}' if interval else '-'} |"
        for name, value, interval in rows
        if value is not None
    )
    fit = (
        " by another fit with these settings and seed, which learned from all good ones"
        if detector.method.trains
        else ""
    )
    return f"""On {good} good and {bad} bad test images{fit}, at {row["eval_size"]} pixels, version {row["version"]}.

| | value | 95 % interval |
|---|---|---|
{table}

Pixel figures have no interval: pixels of one image are not independent."""


def _tag(licence: str) -> str:
    """The Hub's name of a Creative Commons licence, e.g. "cc-by-nc-sa-4.0"; "" where the line names none."""
    if found := re.search(r"\bCC[ -]BY((?:-(?:NC|SA|ND))*)[ -](\d\.\d)", licence, re.IGNORECASE):
        return f"cc-by{found[1]}-{found[2]}".lower()
    return "cc0-1.0" if re.search(r"\bCC0\b", licence) else ""


def _line(text: object) -> str:
    """One line of Markdown that says just this: names of sets and of files may hold anything."""
    return re.sub(r"([\\`*\[\]<>|])", r"\\\1", " ".join(str(text).split()))
