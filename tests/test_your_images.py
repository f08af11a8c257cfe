"""The tab *Your images*: the data check, the ranking, a visit's own objects, and the walk in a browser."""

from __future__ import annotations

import csv
import dataclasses
import html
import io
import math
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import gradio as gr
import numpy as np
import pytest
from conftest import ROOT, bolt, shared, stripes
from pages import Visit, serve, tiny
from PIL import Image

from lab import METHODS, image_files
from lab.checks import data_check
from lab.data import load, samples
from lab.data.dataset import Item
from lab.data.rotated_sets import unaligned
from lab.detector import Detector, held_out
from lab.errors import Cancelled, LabError
from lab.inspection import nearest_patches, ranking, synthetic_defects
from lab.lru_cache import LRUCache
from lab.method import BaseSettings
from lab.parts import features
from lab.progress import Report, no_report
from lab.ui import jobs, phrases
from lab.ui.detector_service import DetectorService
from lab.ui.jobs import JobQueue, JobRunner, JobStatus
from lab.ui.variant import Variant
from lab.ui.your_images import close_up, enough, limits, report, uploads, widgets
from lab.ui.your_images import session as session_module
from lab.ui.your_images.fitting import FittedMethod
from lab.ui.your_images.session import YourImagesSession
from lab.ui.your_images.tab import YourImages
from lab.ui.your_images.uploads import BAD, GOOD, NEW, ROLES, Role


def summaries(images: list[np.ndarray]) -> list[data_check.ImageSummary]:
    return [data_check.summarize(f"p{i}", image) for i, image in enumerate(images)]


def topics(hints: list[data_check.Hint]) -> list[tuple[str, tuple[int, ...]]]:
    return [(hint.code, hint.images) for hint in hints]


# --- the data check ---------------------------------------------------------------------------------------------------


def test_too_few_images_are_said_with_what_they_can_promise() -> None:
    assert "add at least 2 more" in data_check.too_few(4)[0].message
    assert "1/10 = 10%" in data_check.too_few(9)[0].message and data_check.too_few(20) == []


def test_a_copy_is_found_even_when_saved_anew(good: list[np.ndarray]) -> None:
    packed = io.BytesIO()
    Image.fromarray(good[2]).save(packed, "JPEG", quality=90)
    images = [*good[:6], good[4].copy(), image_files.read(packed.getvalue())]
    assert topics(data_check.duplicates(summaries(images))) == [("twice", (6, 7))]
    assert data_check.duplicates(summaries(good)) == []
    assert topics(data_check.in_both_sets(summaries(good), summaries([good[5]]))) == [("mixed", (5,))]


def test_odd_light_shape_and_drift_are_named(good: list[np.ndarray]) -> None:
    bright = (good[3].astype(float) * 1.41).clip(0, 255).astype(np.uint8)
    (hint,) = data_check.exposure(summaries([*good[:3], bright, *good[4:]]))
    assert hint.images == (3,) and "p3 is 4" in hint.message and "brighter than the rest of your 12" in hint.message
    wide = np.concatenate([good[0], good[1]], 1)
    (hint,) = data_check.sizes(summaries([*good, wide]))
    assert hint.images == (12,) and "12 of your 13 good images are 96 x 96" in hint.message
    fading = [(p.astype(float) * (1 - 0.02 * i)).astype(np.uint8) for i, p in enumerate(good)]
    assert "darker: the last third by 16%" in data_check.drift(summaries(fading))[0].message
    assert (
        data_check.exposure(summaries(good)) + data_check.sizes(summaries(good)) + data_check.drift(summaries(good))
        == []
    )


def test_a_defective_image_among_the_good_is_pointed_out(good: list[np.ndarray], bad: np.ndarray) -> None:
    assert topics(data_check.check_images(summaries(good))) == [("few", ())]
    assert ("odd", (12,)) in topics(data_check.check_images(summaries([*good, bad])))


def test_objects_that_lie_differently_are_offered_imm() -> None:
    washers = samples.load("washer")
    turned = [item.image() for item in unaligned(washers, 30).train[:8]]
    assert "IMM" in data_check.unaligned(summaries(turned))[0].message
    assert data_check.unaligned(summaries([item.image() for item in washers.train[:8]])) == []
    cloth = [item.image() for item in samples.load("cloth").train[:6]]
    assert data_check.unaligned(summaries(cloth)) == []  # a texture has no pose


# --- synthetic defects and the ranking -------------------------------------------------------------------------------


@pytest.mark.parametrize("defect_type", synthetic_defects.DEFECT_TYPES)
def test_a_synthetic_defect_changes_its_spot_and_nothing_else(defect_type: str) -> None:
    image = stripes(1)
    marked = synthetic_defects.draw_defect(defect_type, image, 40, 60, 20)
    changed = (marked != image).any(2)
    rows, columns = np.nonzero(changed)
    assert changed.any() and abs(rows - 60).max() <= 12 and abs(columns - 40).max() <= 12


def test_good_images_are_judged_without_what_was_learned_from_them(good: list[np.ndarray]) -> None:
    stored = Detector("padim", size=64).fit(good)
    findings = ranking.held_out_findings(stored, good)
    assert stored.calibration is not None and sorted(findings) == list(range(12))
    assert sorted(f.score for f in findings.values()) == pytest.approx(stored.calibration.scores)
    assert held_out(12, 0)[0].tolist() == held_out(12, 0)[0].tolist() and len(held_out(12, 0)[0]) == 4


def test_a_ranking_without_bad_images_uses_synthetic_defects_on_unseen_ones(good: list[np.ndarray]) -> None:
    result = ranking.evaluate_on_synthetic_defects(Detector("padim", size=64).fit(good), good, 1.0)
    assert (result.n_good, result.n_bad, result.synthetic) == (4, 12, True) and result.interval is not None
    with pytest.raises(LabError, match="too few to rank"):
        ranking.evaluate_on_synthetic_defects(Detector("padim", size=64).fit(good[:8]), good[:8], 1.0)


def test_a_size_from_which_on_all_are_found() -> None:
    tried = [ranking.SizeTrial(size, np.empty(0), 0.0, verdict) for size, verdict in
             ((1, "bad"), (2, "look"), (3, "bad"), (4, "bad"))]  # fmt: skip
    assert ranking.smallest_found(tried) == 3 and ranking.smallest_found(tried[:2]) is None


def test_why_looks_at_other_images_however_odd_this_one_is(
    good: list[np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nearest_patches, "POOL", 50)  # fewer than it has patches, which are all nearer to each other
    odd = np.full_like(good[0], 255)
    detector = Detector("patchcore", size=96, candidates=0, ratio=1.0).fit([*good[:3], odd, *good[4:]])
    images = {patch.image for patch in nearest_patches.nearest_patches(detector, odd, 0.0, 0.5, own=3)}
    assert images and 3 not in images


def test_why_names_the_image_and_the_place(good: list[np.ndarray], bad: np.ndarray) -> None:
    detector = Detector("patchcore", size=96, candidates=0, ratio=1.0).fit(good)
    near = nearest_patches.nearest_patches(detector, good[3], 0.3, 0.7)
    assert near[0].image == 3 and near[0].distance < 1e-3 and abs(near[0].x - 0.3) < 0.1 and abs(near[0].y - 0.7) < 0.1
    assert [patch.distance for patch in near] == sorted(patch.distance for patch in near)
    assert 3 not in [patch.image for patch in nearest_patches.nearest_patches(detector, good[3], 0.3, 0.7, own=3)]
    usual = nearest_patches.normal_distances(detector, good)
    rows, columns = np.nonzero(bad[..., 0] < 60)
    spot = nearest_patches.nearest_patches(detector, bad, columns.mean() / 96, rows.mean() / 96)[0]
    assert spot.distance > usual[-1] and "farther than any of" in nearest_patches.describe_distance(
        spot.distance, usual
    )
    assert "50% of good patches" in nearest_patches.describe_distance(2.5, np.array([1.0, 2.0, 3.0, 4.0]))


# --- a visit ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path, good: list[np.ndarray]) -> Path:
    for i, image in enumerate(good):
        image_files.write_png(tmp_path / f"good-{i}.png", image)
    for i in range(3):
        image_files.write_png(tmp_path / f"bad-{i}.png", stripes(100 + i, defect=True))
    image_files.write_png(tmp_path / "new-0.png", stripes(70))
    return tmp_path


class Small(DetectorService):
    """Methods see 64 pixels: quick."""

    def settings(self, variant: Variant) -> BaseSettings:
        return super().settings(variant).replace(size=64)


def visit(folder: Path, published: LRUCache[str, FittedMethod] | None = None) -> YourImagesSession:
    service = Small(folder=folder / "cache", backbone=None)
    session = YourImagesSession(service, LRUCache(100) if published is None else published)
    for name, role in ROLES.items():
        session.add(sent(sorted(folder.glob(f"{name}-*.png"))), role)
    return session


def sent(paths: Iterable[Path]) -> list[str]:
    """Copies, as the web server has them of what was sent: they are deleted once they are taken."""
    folder = tempfile.mkdtemp()
    return [shutil.copy(path, folder) for path in paths]


def test_turned_parts_are_learned_in_every_pose_and_regions_are_in_pixels_of_the_image(tmp_path: Path) -> None:
    for i in range(12):
        image_files.write_png(tmp_path / f"good-{i}.png", bolt(137.5 * i, i))
    image_files.write_png(tmp_path / "bad-0.png", bolt(90, 51, defect=True))
    session = visit(tmp_path)
    session.answer("patchcore", no_report)
    fitted = session.answers.fitted["patchcore"]
    assert fitted.detector.settings.as_dict()["turns"] == 8
    assert "8 turned copies" in fitted.detector.method.notes["poses"]
    judged = next(image for image in fitted.judged if image.name == "bad-0.png")
    best = judged.regions[0]  # judged at 64 pixels, given with 128: the bite lies at (71, 77), a quarter turn on
    assert judged.verdict == "bad" and best.left <= 77 <= best.left + best.width <= 128 and best.top <= 57 + 8
    row = next(
        row for row in csv.DictReader(io.StringIO(report.csv_table(fitted.judged))) if row["image"] == "bad-0.png"
    )
    assert int(row["regions"]) == len(judged.regions) and int(row["left"]) == best.left


def test_what_lies_in_a_box_changes_no_verdict(folder: Path) -> None:
    """Of three bad images two have their blot in the upper half."""
    session = visit(folder)
    session.answer("patchcore", no_report)
    found = {i.name: i.verdict for i in session.answers.fitted["patchcore"].judged if i.role is BAD}
    assert set(found.values()) == {"bad"}
    session.ignore([[0.0, 0.0, 1.0, 0.45], [0.0, 0.44, 0.5, 0.3]])
    assert "59% of each image is ignored" in session.runner.status.message and not session.answers.fitted
    assert session.needs_check()
    session.check(no_report)
    session.answer("patchcore", no_report)
    fitted = session.answers.fitted["patchcore"]
    assert fitted.detector.method.notes["ignored"].endswith("of the image's surface")
    for image in fitted.judged:
        box = (0.0, 0.0, 96.0, 0.45 * 96)
        assert all(region.top + region.height > box[3] - 3 for region in image.regions)
    again = {i.name: i.score for i in fitted.judged}
    blotted = np.array(Image.open(folder / "new-0.png"))
    blotted[5:35, 20:60] = 255
    image_files.write_png(folder / "new-1.png", blotted)
    session.add(sent([folder / "new-1.png"]), NEW)
    session.answer("patchcore", no_report)
    scores = {i.name: i.score for i in session.answers.fitted["patchcore"].judged}
    assert scores["new-1.png"] == scores["new-0.png"] == again["new-0.png"]
    with pytest.raises(LabError, match="everything"):
        session.ignore([[0, 0, 1, 1]])
    for wrong in (
        [0.5, 0.5, 0.9, 0.1],
        [0.1, 0.1, 0.001, 0.5],
        [float("nan"), 0, 1, 1],
        ["x", 0, 1, 1],
        [0.5],
        [-0.1, 0, 1, 1],
    ):
        with pytest.raises(LabError, match="box"):
            session.ignore([wrong])
    with pytest.raises(LabError, match="too many"):
        session.ignore([[0.1, 0.1, 0.1, 0.1]] * 51)
    assert len(session.ignored_boxes) == 2  # as they were
    ranked = ranking.evaluate_on_synthetic_defects(fitted.detector, [stripes(i) for i in range(12)], 1.0)
    assert ranked.synthetic and ranked.n_bad
    session.ignore([])
    assert "All of each image is judged" in session.runner.status.message


def test_zips_and_bad_files_and_caps(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    packed = folder / "more.zip"
    with zipfile.ZipFile(packed, "w") as archive:
        archive.write(folder / "good-0.png", "inside/good-0.png")
        archive.writestr("inside/notes.txt", "not an image")
    images = uploads.Uploads()
    refused = images.take([str(folder / "good-0.png"), str(packed)], GOOD)
    assert list(images.images) == ["good-0.png", "good-0.png (2)"] and len(refused) == 1 and "notes.txt" in refused[0]
    monkeypatch.setattr(limits, "MAX_IMAGES", 2)
    assert "may hold 2 images" in images.take([str(folder / "good-1.png")], GOOD)[0]
    monkeypatch.setattr(limits, "MAX_IMAGES", 200)
    monkeypatch.setattr(limits, "MAX_MEGAPIXELS", 0.005)
    assert "megapixels" in images.take([str(folder / "good-1.png")], GOOD)[0]
    monkeypatch.setattr(limits, "MAX_MEGAPIXELS", 24)
    monkeypatch.setattr(limits, "MAX_UPLOAD_MEGABYTES", images.bytes / 10**6)
    assert "MB of files" in images.take([str(folder / "good-1.png")], GOOD)[0]
    assert len(list(images.folder.iterdir())) == 2
    images.drop("good-0.png")
    assert len(list(images.folder.iterdir())) == 1
    images.close()
    assert not images.folder.exists()
    monkeypatch.setattr(limits, "MAX_UPLOAD_MEGABYTES", 400)
    (message,) = images.take([str(folder / "good-1.png")], GOOD)
    assert message.startswith("good-1.png: could not be kept (No such file") and not images.images


def test_a_zip_is_taken_by_its_folders(folder: Path) -> None:
    """A category in MVTec's layout: only what may have the role is taken, the rest is counted."""
    packed = folder / "cap.zip"
    with zipfile.ZipFile(packed, "w") as archive:
        for place, source, count in (("train/good", "good", 8), ("test/good", "good", 2), ("test/dent", "bad", 3)):
            for n in range(count):
                archive.write(folder / f"{source}-{n}.png", f"cap/{place}/{n}.png")
        for n in range(3):
            archive.write(folder / f"bad-{n}.png", f"cap/ground_truth/dent/{n}_mask.png")
    expected = {GOOD: ("train/good", 8), BAD: ("test/dent", 3), NEW: ("", 5)}
    for role, (_, count) in expected.items():
        images = uploads.Uploads()
        (told,) = images.take([str(packed)], role)
        assert len(images.images) == count, role
        assert told.startswith("cap.zip: not taken as ") and f"{16 - count} files" in told
        images.close()
    with zipfile.ZipFile(packed, "w") as archive:  # folders that say nothing: every image
        for n in range(3):
            archive.write(folder / f"good-{n}.png", f"monday\\shift{n}\\a.png")
    images = uploads.Uploads()
    assert images.take([str(packed)], GOOD) == [] and len(images.images) == 3
    images.close()


def test_a_mask_dropped_with_its_image_is_refused(folder: Path) -> None:
    shutil.copy(folder / "bad-0.png", folder / "bad-0_mask.png")
    images = uploads.Uploads()
    (told,) = images.take([str(folder / "bad-0.png"), str(folder / "bad-0_mask.png")], BAD)
    assert list(images.images) == ["bad-0.png"] and told.startswith("bad-0_mask.png: looks like the mask of an image")
    images.close()


def test_greys_of_one_visit_are_read_alike(folder: Path) -> None:
    """One range for all images of 16 bits, chosen anew when an image with more comes or goes."""
    for n in range(7):
        grey = stripes(n)[..., 0].astype(np.uint16)
        Image.fromarray(grey * (16 if n < 6 else 257)).save(folder / f"deep-{n}.png")
    (folder / "nothing").mkdir()
    session = visit(folder / "nothing")
    assert "read as 12 bits, 4095 is white" in session.add(sent(folder / f"deep-{n}.png" for n in range(6)), GOOD)
    first = session.uploads.images["deep-0.png"]
    assert np.array_equal(first.pixels()[..., 0], stripes(0)[..., 0]) and first.summary.small.max() > 100
    assert "read as" not in session.add(sent([folder / "deep-6.png"]), GOOD)
    assert first.pixels().max() < 16 and first.summary.small.max() < 16
    session.leave_out(["deep-6.png"])
    assert first.summary.small.max() > 100
    session.answer("padim", no_report)
    assert session.answers.fitted["padim"].detector.grey_bits == 12
    session.close()


def test_a_false_alarm_is_learned_and_taken_back(folder: Path) -> None:
    published: LRUCache[str, FittedMethod] = LRUCache(100)
    session = visit(folder, published)
    session.answer("padim", no_report)
    before = session.answers.fitted["padim"]
    assert [image.role for image in before.judged] == [BAD] * 3 + [NEW] + [GOOD] * 12
    assert before.result.auroc == 1.0 and before.result.interval is not None
    message = session.learn_as_good("new-0.png", no_report)
    assert "one of 13 good images" in message and session.answers.fitted["padim"].detector.n_images == 13
    assert "new-0.png is to judge again" in session.undo() and session.answers.fitted["padim"] is before
    with pytest.raises(LabError, match="among the good images already"):
        session.learn_as_good("good-1.png", no_report)
    with pytest.raises(LabError, match="bad-1.png was given as bad"):
        session.learn_as_good("bad-1.png", no_report)

    def cancel(fraction: float, message: str) -> None:
        raise Cancelled

    with pytest.raises(Cancelled):
        session.learn_as_good("new-0.png", cancel)
    assert session.answers.fitted["padim"] is before and len(session.good()) == 12
    assert published.get(before.key) and widgets.panel(session) is not None
    session.close()
    assert published.get(before.key) is None and not session.uploads.folder.exists()


def test_methods_are_ranked_and_the_rest_offered(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    session = visit(folder)
    monkeypatch.setattr(session_module, "METHODS", {m: METHODS[m] for m in ("padim", "patchcore")})
    session.answer_all(no_report)
    assert len(session.answers.ranking()) == 2 and session.answers.method == session.answers.ranking()[0].method
    table = widgets.ranking(session)
    assert "Local OCC" in table and "not tried: takes about" in table and "1.00 (" in table
    explanation = close_up.explain_spot(session, 0.5, 0.5, no_report)
    assert "times the usual distance" in explanation and explanation.count("<figure>") == 5
    assert close_up.try_defect(session, "paint", 0.5, 0.5, no_report).count("<figure>") == len(ranking.TRIAL_SIZES)
    with pytest.raises(LabError, match="no mark"):
        close_up.try_defect(session, "magic", 0.5, 0.5, no_report)
    page = session.write_download("report", folder).read_text()
    assert page.count("<figure") == 16 and "http" not in page and "Methods tried" in page
    session.close()


def stand_in(monkeypatch: pytest.MonkeyPatch, session: YourImagesSession, slower: float) -> list[str]:
    """Replaces fits by ones that take `slower` times what is expected at first, by a clock of their own.

    Returns the list of methods that fills up as they begin.
    """
    first = session._fit("padim", no_report)
    expected, begun, clock = {m: session.expected_seconds(m) for m in METHODS}, list[str](), [0.0]

    def fit(method: str, report: Any, rank: bool = False) -> FittedMethod:
        begun.append(method)
        report(0.5, "half of it")
        clock[0] += slower * expected[method]
        result = first.result._replace(method=method, seconds=slower * expected[method])
        return dataclasses.replace(first, key=method, result=result, seconds=slower * expected[method])

    monkeypatch.setattr(session, "_fit", fit)
    monkeypatch.setattr(session_module, "time", SimpleNamespace(monotonic=lambda: clock[0]))
    return begun


@pytest.mark.parametrize("slower", [1.0, 0.1, 4.0])
def test_what_fits_within_a_minute_is_tried_quickest_first(
    folder: Path, monkeypatch: pytest.MonkeyPatch, slower: float
) -> None:
    session = visit(folder)
    session.pass_seconds = 0.03
    begun, fractions = stand_in(monkeypatch, session, slower), list[float]()
    told = session.answer_all(lambda fraction, message: fractions.append(fraction))
    seconds = [method.seconds for method in session.answers.fitted.values()]
    assert len(seconds) >= 2 and seconds == sorted(seconds) and sum(seconds[:-1]) <= ranking.BUDGET_SECONDS
    assert session.pass_seconds == pytest.approx(slower * 0.03)  # and so the rest is offered at this machine's speed
    remaining = ranking.BUDGET_SECONDS - sum(seconds)
    assert all(session.expected_seconds(m) > remaining for m in METHODS if m not in session.answers.fitted)
    assert fractions == sorted(fractions) and 0 <= fractions[0] <= fractions[-1] <= 1
    assert ("press again to go on" in told) == (len(begun) < len(METHODS))
    session.answer_all(no_report, math.inf)  # goes on, and discards nothing
    assert sorted(begun) == sorted(METHODS) and len(session.answers.fitted) == len(METHODS)
    session.close()


def test_what_has_begun_runs_to_its_end(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    session = visit(folder)
    session.pass_seconds = 0.03
    begun = stand_in(monkeypatch, session, 1.0)
    monkeypatch.setattr(session, "expected_seconds", lambda method: 0.001 * len(method))  # far too hopeful
    session.answer_all(no_report, 5.0)
    assert list(session.answers.fitted) == begun  # also the one that took too long
    session.close()


def test_a_visit_holds_so_much_and_says_what_was_discarded(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    published: LRUCache[str, FittedMethod] = LRUCache(100)
    session = visit(folder, published)
    answers = session.answers
    session.answer("padim", no_report)
    monkeypatch.setattr(limits, "MAX_DETECTOR_MEGABYTES", 1.5 * session.answers.bytes() / 10**6)
    session.learn_as_good("new-0.png", no_report)  # two of them do not fit in: undo is given up
    assert not answers.undo_steps and "nothing to undo" in session.undo()
    assert published.values() == [answers.fitted["padim"]]  # what undo needed is gone
    key = answers.fitted["padim"].key
    assert "no longer holds" not in session.answer("padim", no_report) and published.get(key) is None
    monkeypatch.setattr(limits, "MAX_DETECTOR_MEGABYTES", session.answers.bytes() / 10**6)
    answers.method = "patchcore"
    message, key = session.answer("patchcore", no_report), answers.fitted["patchcore"].key
    assert message.endswith(f"To stay within {limits.MAX_DETECTOR_MEGABYTES} MB, this visit no longer holds PaDiM.")
    assert list(answers.fitted) == ["patchcore"] and published.get(key)
    session.close()


def test_nothing_computed_of_a_visitors_images_outlasts_the_visit(folder: Path) -> None:
    published: LRUCache[str, FittedMethod] = LRUCache(100)
    session, computed = visit(folder, published), lambda: features.CACHE.keys()
    before = len(computed())
    list(session.runner.run(lambda report: session.answer("padim", report)))
    mine = [key for key in computed() if key[0] == session.runner.owner]
    assert len(mine) == len(computed()) - before >= 12 and len(published.values()) == 1
    fitted, images = session.answers.fitted["padim"], [image.pixels() for image in session.good()]
    late, begun = threading.Event(), threading.Event()

    def job(report: Report) -> str:
        begun.set()
        late.wait(60)
        Detector("padim", size=64).fit(images)
        return session.answers.add("padim", fitted)

    running = session.runner.run(job)
    next(running)
    assert begun.wait(60)
    session.close()
    assert not published.values() and len(computed()) == before
    late.set()  # a job that notices the end too late
    until = time.monotonic() + 60
    while any(thread.name == session.runner.owner for thread in threading.enumerate()):
        assert time.monotonic() < until
        time.sleep(0.05)
    assert not published.values() and len(computed()) == before and not session.answers.fitted
    list(session.runner.run(lambda report: "ran on"))
    assert session.runner.status.message == jobs.ENDED


def test_a_hint_is_about_the_images_that_were_checked(folder: Path) -> None:
    session = visit(folder)
    session.add(sent([folder / "good-3.png"]), GOOD)
    session.check(no_report)
    (hint,) = [message for message in session.hints if "there twice" in message]
    session.hints = {hint: session.hints[hint]}
    session.leave_out(["good-0.png"])  # all numbers move by one
    assert '["good-3.png (2)"]' in html.unescape(widgets.images(session))
    session.leave_out(["good-3.png (2)"])
    assert "hints" not in widgets.images(session)
    session.close()


def test_a_image_that_was_learned_can_be_picked(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tiny(monkeypatch)
    session = visit(folder)
    session.answer("cdo", no_report)  # it trains: of the good ones it judges but those held out
    names = [image.name for image in session.answers.fitted["cdo"].judged]
    learned = next(image.name for image in session.good() if image.name not in names)
    session.choose_image(learned)
    state = widgets.panel(session)
    assert state and state["set"]["images"][state["chosen"]]["name"] == names[0] and "nothing to undo" in session.undo()
    session.close()


def test_while_a_false_alarm_is_learned_the_image_is_still_to_judge(folder: Path) -> None:
    session, roles = visit(folder), set[Role]()
    session.answer("padim", no_report)
    image = session.uploads.images["new-0.png"]
    session.learn_as_good("new-0.png", lambda fraction, message: roles.add(image.role))
    assert roles == {NEW} and image.role == GOOD
    session.close()


def test_a_newer_job_begins_when_the_stopped_one_has_ended() -> None:
    runner, inside, leave, order = JobRunner(1), threading.Event(), threading.Event(), list[str]()

    def first(report: Report) -> str:
        inside.set()
        leave.wait(30)  # a long step, in which it hears nothing
        order.append("first")
        report(0.5, "half")
        return "not reached"

    def other(name: str) -> Any:
        return lambda report: order.append(name) or name

    old = runner.run(first)
    next(old)
    assert inside.wait(5)
    given_up, newest = runner.run(other("second")), runner.run(other("third"))
    next(given_up)
    next(newest)
    assert not order and runner.running
    leave.set()
    for follower in (old, given_up, newest):
        list(follower)
    assert order == ["first", "third"] and runner.status == JobStatus(None, "third")


def last(updates: Iterator[widgets.Updates]) -> widgets.Updates:
    (*_, end) = updates
    return end


@pytest.fixture
def tab(folder: Path, monkeypatch: pytest.MonkeyPatch) -> YourImages:
    """Outside of any page; what gradio keeps goes into a folder of the test."""
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(folder / "served"))
    with gr.Blocks(analytics_enabled=False):
        return YourImages(Small(folder=folder / "cache", backbone=None))


def give(tab: YourImages, folder: Path, request: gr.Request, pattern: str = "good-*.png") -> widgets.Updates:
    return last(tab.handlers.take(GOOD)(sent(sorted(folder.glob(pattern))), request))


def test_no_copy_of_what_was_made_outlasts_the_visit(tab: YourImages, folder: Path) -> None:
    request, kept = gr.Request(session_hash="a"), lambda: {path for path in (folder / "served").rglob("*.*")}
    give(tab, folder, request)
    for method in ("padim", "patchcore"):
        last(tab.handlers.answer(method, request))
        copies = {name: tab.handlers.download(name)(request) for name in widgets.DOWNLOADS}
        assert set(map(Path, copies.values())) == kept() and len(kept()) == 3
    for name, copy in copies.items():  # gradio, which hands it out, makes no other
        assert tab.widgets.answers.downloads.links[name].move_resource_to_block_cache(copy) == copy
    tab.sessions.leave(request)
    assert not kept()
    assert sum(widgets.FILE_SWEEP) <= 2 * 3600 and "within two hours" in widgets.RETENTION


def test_drawing_writes_no_file(tab: YourImages, folder: Path) -> None:
    """Answering a hint, choosing an image or a method: what can be taken along is written when it is asked for."""
    request, session = gr.Request(session_hash="a"), tab.sessions.of(gr.Request(session_hash="a"))
    give(tab, folder, request, "*.png")
    last(tab.handlers.check(request))
    last(tab.handlers.answer("padim", request))
    files = lambda: (
        {path: path.stat().st_mtime_ns for path in folder.rglob("*.*")}
        | {path: path.stat().st_mtime_ns for path in session.uploads.folder.iterdir()}
    )
    before = files()
    assert not [path for path in before if path.suffix in (".safetensors", ".csv", ".html")]
    message = next(iter(session.hints))
    keep = gr.EventData(None, {"action": "keep", "hint": message})
    assert tab.handlers.press_image_button(keep, request)[tab.widgets.answers.panel]
    chosen = tab.handlers.choose_image(gr.EventData(None, {"name": "bad-1.png"}), request)
    assert session.answers.image == "bad-1.png" and chosen[tab.widgets.answers.panel]
    tab.handlers.choose_method("padim", request)
    assert files() == before
    page = Path(tab.handlers.download("report")(request))
    assert files().keys() - before.keys() == {page}
    text = html.unescape(page.read_text())
    assert message not in text and all(hint in text for hint in session.hints)  # that one was settled
    tab.sessions.leave(request)
    with pytest.raises(gr.Error, match="Get answers first"):
        tab.handlers.download("table")(request)
    tab.sessions.leave(request)


def test_all_visits_together_hold_so_much(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    alone = visit(folder)
    alone.answer("padim", no_report)
    monkeypatch.setattr(limits, "MAX_TOTAL_MEGABYTES", 1.5 * alone.answers.bytes() / 10**6)
    alone.close()
    with gr.Blocks(analytics_enabled=False):
        tab = YourImages(Small(folder=folder / "cache", backbone=None))
    mine, other = gr.Request(session_hash="a"), gr.Request(session_hash="b")
    for request in (mine, other):
        give(tab, folder, request)
        assert len(tab.sessions.all()) == (1 if request is mine else 2)
        last(tab.handlers.answer("padim", request))
    (left,) = tab.sessions.all()  # the one unused for longest has ended
    assert left is tab.sessions.of(other) and left.answers.fitted
    tab.sessions.leave(other)


def test_undo_waits_for_the_job_that_runs(tab: YourImages, folder: Path) -> None:
    request = gr.Request(session_hash="a")
    session, inside, leave = tab.sessions.of(request), threading.Event(), threading.Event()
    session.add(sent(sorted(folder.glob("*.png"))), GOOD)

    def job(report: Report) -> str:
        inside.set()
        leave.wait(30)
        return ""

    next(session.runner.run(job))
    assert inside.wait(5)
    undoing = tab.handlers.undo(request)
    next(undoing)
    assert session.runner.running and "undo" not in session.runner.status.message
    leave.set()
    assert "There is nothing to undo." in last(undoing)[tab.widgets.status]
    tab.sessions.leave(request)


def test_a_settled_hint_does_not_come_back(folder: Path) -> None:
    session = visit(folder)
    session.add(sent([folder / "good-3.png"]), GOOD)
    session.check(no_report)
    (hint,) = [message for message in session.hints if "there twice" in message]
    assert session.hints[hint] == [session.good()[12]] and "Leave it out" in widgets.images(session)
    session.settle_hint(hint)
    session.check(no_report)
    assert hint not in session.hints
    session.leave_out(["good-3.png (2)"])
    assert len(session.good()) == 12 and session.needs_check()
    session.close()


def test_a_job_tells_what_it_still_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, times_left, runner = [0.0], list[str](), JobRunner(1)
    monkeypatch.setattr(jobs.time, "monotonic", lambda: clock[0])

    def job(report: Any) -> str:
        for seconds, fraction in ((30, 0.0), (31, 0.1), (40, 0.25), (55, 0.9)):  # thirty seconds in the queue
            clock[0] = seconds
            report(fraction, "learning")
            times_left.append(runner.status.time_left)
        return "learned"

    list(runner.run(job))
    assert times_left == ["", "", "about 30 s left", "about 3 s left"]
    assert runner.status == JobStatus(None, "learned")
    assert phrases.time_left("epoch 3 of 9, loss 0.1, 14 s left", 40, 0.25) == ""  # it says so itself


def test_waiting_in_the_queue_is_not_computing(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, queue, runner, times_left = [0.0], JobQueue(), JobRunner(1), list[str]()
    monkeypatch.setattr(jobs.time, "monotonic", lambda: clock[0])
    inside, leave = threading.Event(), threading.Event()

    def other() -> None:
        with queue.turn(no_report):
            inside.set()
            leave.wait(30)

    def job(report: Report) -> str:
        def wait(fraction: float, message: str) -> None:
            clock[0] += 50  # another minute in the queue, about
            report(0.5, message)
            times_left.append(runner.status.time_left)
            if len(times_left) == 3:
                leave.set()

        with queue.turn(wait):
            clock[0] += 10
            report(0.75, "learning")
        return "learned"

    thread = threading.Thread(target=other)
    thread.start()
    assert inside.wait(5)
    list(runner.run(job))
    thread.join()
    assert runner.status.message == "learned" and runner.seconds_used == 10


def test_the_minutes_of_a_visit_end(folder: Path) -> None:
    session = visit(folder)
    session.runner.minutes = 0
    list(session.runner.run(lambda report: session.answer("padim", report)))
    assert "minutes of computing are used up" in session.runner.status.message and not session.answers.fitted
    session.close()


# --- in a browser -----------------------------------------------------------------------------------------------------


class Served(NamedTuple):
    address: str
    blocks: gr.Blocks
    tab: YourImages


@pytest.fixture(scope="module")
def served(browser: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with gr.Blocks(analytics_enabled=False, delete_cache=(60, 600)) as blocks:
        with gr.Tabs(), gr.Tab("Your images", id="yours"):
            tab = YourImages(Small(folder=tmp_path_factory.mktemp("cache"), backbone=None))
        tab.load(blocks)
    with serve(blocks) as address:
        yield Served(address, blocks, tab)


def parts() -> tuple[list[Item], list[Item]]:
    """20 good ones and 5 bad ones: real ones where they are at hand, else washers."""
    real = shared("LAB_DATA", "data")
    dataset = load(str(real / "mvtec"), "bottle") if real else samples.load("washer")
    return list(dataset.train[:20]), [item for item in dataset.test if item.bad][8:13]


def test_twenty_good_five_bad_verdicts_and_a_detector(browser: Any, served: Served, tmp_path: Path) -> None:
    address, blocks, tab = served
    named = blocks.get_api_info()["named_endpoints"]
    assert {"/yours_good", "/yours_answer", "/yours_false_alarm", "/yours_undo", "/yours_why", "/yours_try"} <= set(
        named
    )
    about = str(named["/yours_answer"])
    assert "its name; " in about, about
    good, bad = parts()
    for item in (*good, *bad):
        image_files.write_png(tmp_path / f"{item.defect}-{item.name[-3:]}.png", item.image())
    image_files.write_png(tmp_path / "unseen-0.png", np.fliplr(good[3].image()).copy())
    seen = Visit(browser, address, viewport={"width": 390, "height": 800}, accept_downloads=True)
    page = seen.page
    assert not page.get_by_text(limits.LIMITS).is_visible()
    page.get_by_text("Limits and privacy").click()
    page.get_by_text(limits.LIMITS).wait_for()
    page.get_by_text("Limits and privacy").click()
    (tmp_path / "broken.png").write_bytes(b"no image")
    page.locator("#yours input[type=file]").first.set_input_files(str(tmp_path / "broken.png"))
    page.locator("#yours .hints").get_by_text("broken.png: not an image").wait_for()
    seen.give(0, tmp_path.glob("good-*.png"))
    seen.give(1, set(tmp_path.glob("[!gu]*-*.png")))
    seen.give(2, tmp_path.glob("unseen-*.png"))
    seen.told("Data check of 20")
    page.locator("#yours .hints").get_by_text("broken.png: not an image").wait_for()  # still, after the data check
    page.get_by_role("button", name="Mark what does not matter").click()
    stage = page.locator("#yours .ignore .stage")
    stage.scroll_into_view_if_needed()
    box = stage.bounding_box()
    page.mouse.move(box["x"] + 2, box["y"] + 2)
    page.mouse.down()
    page.mouse.move(box["x"] + 0.3 * box["width"], box["y"] + 0.2 * box["height"])
    page.mouse.up()
    page.get_by_text("of each image is ignored", exact=False).first.wait_for()
    page.get_by_role("button", name="Remove all").click()
    seen.told("Data check of 20")
    seen.answer("PatchCore:")
    seen.told("has learned from 20 good images")
    seen.until("() => document.querySelectorAll('#yours .strip .thumb').length == 26")
    seen.until("() => !document.querySelector('#yours .strip .thumb.open')")
    (session,) = tab.sessions.all()
    judged = session.answers.require_shown().judged
    found, alarms = (sum(i.verdict == "bad" for i in judged if i.role is role) for role in (BAD, GOOD))
    verdict = page.locator("#yours .verdict")
    assert f"PatchCore finds {found} of 5 bad, wrongly flags {alarms} of 20 good" in verdict.inner_text()
    assert "of 1 to judge calls" in verdict.inner_text()
    kind = "usable" if found >= 4 else "useless" if found <= 2 else "open"
    assert verdict.get_attribute("data-kind") == kind
    page.locator("#yours .grip.bad").focus()
    page.keyboard.press("End")  # no image scores above the line: what is said follows it
    seen.until("() => document.querySelector('#yours .verdict').dataset.kind == 'useless'")
    assert "finds 0 of 5 bad, wrongly flags 0 of 20" in verdict.inner_text()
    verdict.get_by_label("a miss costs so many false alarms").select_option("20")
    line = session.answers.require_shown().cheapest_line(20)
    told = f"A line at {line.threshold:.2f} σ costs least".replace("-", "−")
    verdict.get_by_text(told).wait_for()
    seen.until(
        "t => Math.abs(document.querySelector('#yours .grip.bad').getAttribute('aria-valuenow') - t) < 1e-6",
        line.threshold,
    )

    kept = {}
    for name in ("Detector (safetensors)", "Table (CSV)"):
        with page.expect_download() as got:
            page.get_by_role("button", name=name).click()  # one: the link behind it is not seen
        kept[name] = tmp_path / got.value.suggested_filename
        got.value.save_as(kept[name])
    files, out = sorted(set(tmp_path.glob("[!gu]*-*.png"))), tmp_path / "out"
    done = subprocess.run(
        [sys.executable, "-m", "lab", "detect", str(kept["Detector (safetensors)"]), *map(str, files), "-o", str(out)],
        cwd=ROOT, capture_output=True, text=True,
    )  # fmt: skip
    assert not done.returncode, done.stderr
    with open(kept["Table (CSV)"]) as ours, open(out / "results.csv") as line:
        here = {row["image"]: row for row in csv.DictReader(ours)}
        there = {Path(row["image"]).name: row for row in csv.DictReader(line)}
    assert len(here) == 26 and len(there) == 5
    for name, row in there.items():
        assert float(here[name]["score"]) == pytest.approx(float(row["score"]), abs=1e-4)
        assert here[name]["verdict"] == row["verdict"]

    page.locator("#yours .strip .thumb").nth(0).click()
    seen.until("() => document.querySelector('#yours .strip .thumb[aria-current=true]')")
    page.get_by_role("button", name="Why this spot?").click()
    page.get_by_text("times the usual distance").wait_for()
    page.get_by_role("button", name="A false alarm").click()
    seen.told("was given as bad; learned as good, defects like it would no longer be found")
    page.locator("#yours .strip .thumb").nth(5).click()
    seen.until("() => document.querySelector('#yours .strip .thumb[aria-current=true] img').alt.startsWith('unseen-0')")
    seen.until("() => !document.querySelector('#yours .near')")  # it was of another image
    page.get_by_role("button", name="A false alarm").click()
    seen.told("is now one of 21 good images")
    page.get_by_role("button", name="Undo").click()
    seen.told("has learned from 20 good images")
    assert not seen.abroad(address)
    assert not seen.complaints
    files = [session.uploads.folder, *session._downloads.values()]  # of 26 images; two files to take along
    assert len(files) == 3 and all(path.exists() for path in files)
    assert len(list(session.uploads.folder.iterdir())) == 26
    page.close()  # and with it the visit ends
    patience = time.monotonic() + 60
    while any(path.exists() for path in files):
        assert time.monotonic() < patience, "what was uploaded is still there"
        time.sleep(0.2)
    assert not tab.sessions.all()


def test_the_page_can_be_tried_without_images_of_ones_own(browser: Any, served: Served) -> None:
    seen = Visit(browser, served.address, viewport={"width": 1440, "height": 900})
    seen.page.get_by_role("button", name="Try it with images of circuit boards").click()
    seen.told("Data check of 20")
    counts = seen.page.locator("#yours .images em").all_inner_texts()
    assert counts == ["20", "5", "5"]
    (session,) = served.tab.sessions.all()
    assert [len(session.uploads.with_role(role)) for role in (GOOD, BAD, NEW)] == [20, 5, 5]
    assert not list(Path(tempfile.gettempdir()).rglob("anomaly-lab-samples-*")) and not seen.complaints
    seen.page.close()


def test_cancelling_a_training_leaves_the_tab_usable(
    browser: Any, served: Served, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = Visit(browser, served.address, viewport={"width": 1280, "height": 900})
    settings = Small.settings
    with monkeypatch.context() as long:
        slow = lambda self, v: settings(self, v).replace(**({"epochs": 2000} if v.method == "cdo" else {}))
        long.setattr(Small, "settings", slow)
        seen.give(0, folder.glob("good-*.png"))
        seen.told("Data check of 12")
        seen.answer("CDO:")
        seen.told("of 2000")
        seen.page.get_by_role("button", name="Cancel").click()
        seen.told("Cancelled")
    assert not seen.page.locator("#yours .answers").is_visible()
    seen.answer("PaDiM:")
    seen.told("PaDiM has learned from 12 good images")
    assert not seen.complaints
    seen.page.close()


def test_what_suits_the_images_is_chosen_without_being_asked(
    browser: Any, served: Served, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(METHODS["patchcore"], "worth_trying", (dict(size=64), dict(size=96, spread=3)))
    seen = Visit(browser, served.address, viewport={"width": 1440, "height": 900})
    seen.give(0, folder.glob("good-*.png"))
    seen.told("Data check of 12")
    seen.page.get_by_role("button", name="Get answers").click()
    seen.told("chosen of 2 tried")
    seen.told("has learned from 12 good images")
    tried = seen.page.locator("#yours .ranking").first
    assert tried.get_by_text("chosen").count() == 1 and tried.locator("tbody tr").count() == 2
    assert seen.page.locator("#yours .answers").is_visible()
    seen.page.get_by_role("button", name="How many images are enough?").click()
    seen.told("12 good images are too few for a curve")
    assert not seen.complaints
    seen.page.close()


def test_a_curve_says_what_twice_as_many_images_bring(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lab.inspection.learning_curve.FEWEST", 6)
    monkeypatch.setattr("lab.inspection.learning_curve.DRAWS", 2)
    session = visit(folder)
    session.answer("patchcore", no_report)
    told = enough.curve(session, no_report)
    assert "With 24 it should miss" in told and told.count("<tr><td>") == 3  # 6, 8 and 12
    assert "misses 0 % of 3 bad" in told
    session.ignore([[0.0, 0.0, 1.0, 0.45], [0.0, 0.44, 0.5, 0.3]])  # where two of the three blots lie
    session.answer("patchcore", no_report)
    assert "misses 0 % of 3 bad" not in enough.curve(session, no_report)


def test_without_good_images_nothing_is_fitted(tmp_path: Path) -> None:
    image_files.write_png(tmp_path / "bad-0.png", stripes(1, defect=True))
    session = visit(tmp_path)
    for ask in (session.answer_best, session.answer_all, lambda report: session.answer("padim", report)):
        with pytest.raises(LabError, match="0 good images are too few"):
            ask(no_report)


def test_long_images_may_be_cut_into_tiles_and_are_judged_in_their_own_shape(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(METHODS["patchcore"], "worth_trying", (dict(size=64, tiles=1, candidates=2000),))
    wide = lambda i, **options: np.concatenate([stripes(i, **options), *(stripes(10 * i + k) for k in (1, 2))], axis=1)
    for i in range(12):
        image_files.write_png(tmp_path / f"good-{i:02}.png", wide(i))
    image_files.write_png(tmp_path / "bad-0.png", wide(70, defect=True))
    session = visit(tmp_path)
    session.ignore([[0.8, 0.0, 0.2, 1.0]])
    session.answer_best(no_report)
    shown = session.answers.require_shown()
    height, width = image_files.read(tmp_path / "bad-0.png").shape[:2]
    assert width == 3 * height and shown.detector.settings.tiles == 1
    bad = next(image for image in shown.judged if image.role is BAD)
    best = bad.regions[0]
    assert bad.verdict == "bad" and best.left + best.width <= width / 3 + 8  # squeezed, it would still be there
    finding = shown.detector.detect(tmp_path / "bad-0.png")
    assert bad.score == pytest.approx(finding.score, abs=0.1)
    assert shown.payload["images"][0]["anomaly_map"] and not finding.mask[:, int(0.85 * width) :].any()
    explanation = close_up.explain_spot(session, 0.1, 0.5, no_report)
    assert "times the usual distance" in explanation and session.answers.require_shown() is shown
    image_files.write_png(tmp_path / "new-0.png", wide(40))
    session.add(sent([tmp_path / "new-0.png"]), NEW)
    session.answer_best(no_report)
    shown = session.answers.require_shown()
    session.learn_as_good("new-0.png", no_report)
    again = session.answers.require_shown().detector
    assert again.settings == shown.detector.settings and again.tried == shown.detector.tried and again.n_images == 13
