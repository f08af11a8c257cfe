"""The tab *Your images*: the data check, the trials, a visit's own objects, and the walk in a browser."""

from __future__ import annotations

import csv
import dataclasses
import html
import io
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import gradio as gr
import numpy as np
import pytest
from conftest import ROOT, shared, stripes
from pages import Visit, serve, tiny
from PIL import Image

from lab import METHODS, image_files
from lab.checks import data_check
from lab.data import load, samples
from lab.data.dataset import Item
from lab.data.unaligned import unaligned
from lab.detector import Detector, held_out
from lab.errors import Cancelled, LabError
from lab.inspection import nearest_patches, ranking, synthetic_defects
from lab.lru_cache import LRUCache
from lab.parts import features
from lab.progress import Report, no_report
from lab.ui import jobs, phrases
from lab.ui.detector_service import DetectorService
from lab.ui.jobs import JobQueue
from lab.ui.your_images import answers, close_up, session, uploads, views, visits
from lab.ui.your_images import tab as your_images_tab
from lab.ui.your_images.fitting import Fitted, Late


def looks(images: list[np.ndarray]) -> list[data_check.ImageSummary]:
    return [data_check.summarize(f"p{i}", image) for i, image in enumerate(images)]


def kinds(hints: list[data_check.Hint]) -> list[tuple[str, tuple[int, ...]]]:
    return [(hint.kind, hint.images) for hint in hints]


# --- the data check ---------------------------------------------------------------------------------------------------


def test_too_few_images_are_said_with_what_they_can_promise() -> None:
    assert "add at least 2 more" in data_check.too_few(4)[0].words
    assert "1/10 = 10%" in data_check.too_few(9)[0].words and data_check.too_few(20) == []


def test_a_copy_is_found_even_when_saved_anew(good: list[np.ndarray]) -> None:
    packed = io.BytesIO()
    Image.fromarray(good[2]).save(packed, "JPEG", quality=90)
    given = [*good[:6], good[4].copy(), image_files.read(packed.getvalue())]
    assert kinds(data_check.duplicates(looks(given))) == [("twice", (6, 7))]
    assert data_check.duplicates(looks(good)) == []
    assert kinds(data_check.in_both_sets(looks(good), looks([good[5]]))) == [("mixed", (5,))]


def test_odd_light_shape_and_drift_are_named(good: list[np.ndarray]) -> None:
    bright = (good[3].astype(float) * 1.41).clip(0, 255).astype(np.uint8)
    (hint,) = data_check.exposure(looks([*good[:3], bright, *good[4:]]))
    assert hint.images == (3,) and "p3 is 4" in hint.words and "brighter than the rest of your 12" in hint.words
    wide = np.concatenate([good[0], good[1]], 1)
    (hint,) = data_check.sizes(looks([*good, wide]))
    assert hint.images == (12,) and "12 of your 13 good images are 96 x 96" in hint.words
    fading = [(p.astype(float) * (1 - 0.02 * i)).astype(np.uint8) for i, p in enumerate(good)]
    assert "darker: the last third by 16%" in data_check.drift(looks(fading))[0].words
    assert data_check.exposure(looks(good)) + data_check.sizes(looks(good)) + data_check.drift(looks(good)) == []


def test_a_spoilt_image_among_the_good_is_pointed_out(good: list[np.ndarray], bad: np.ndarray) -> None:
    assert kinds(data_check.check_images(looks(good))) == [("few", ())]
    assert ("odd", (12,)) in kinds(data_check.check_images(looks([*good, bad])))


def test_objects_that_lie_differently_are_offered_imm() -> None:
    washers = samples.load("washer")
    turned = [item.image() for item in unaligned(washers, 30).train[:8]]
    assert "IMM" in data_check.unaligned(looks(turned))[0].words
    assert data_check.unaligned(looks([item.image() for item in washers.train[:8]])) == []
    cloth = [item.image() for item in samples.load("cloth").train[:6]]
    assert data_check.unaligned(looks(cloth)) == []  # a texture has no pose


# --- marks and trials -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", synthetic_defects.KINDS)
def test_a_mark_changes_its_spot_and_nothing_else(kind: str) -> None:
    image = stripes(1)
    made = synthetic_defects.draw_defect(kind, image, 40, 60, 20)
    changed = (made != image).any(2)
    rows, columns = np.nonzero(changed)
    assert changed.any() and abs(rows - 60).max() <= 12 and abs(columns - 40).max() <= 12


def test_good_images_are_judged_without_what_was_learned_from_them(good: list[np.ndarray]) -> None:
    stored = Detector("padim", size=64).fit(good)
    found = ranking.held_out_findings(stored, good)
    assert stored.calibration is not None and sorted(found) == list(range(12))
    assert sorted(f.score for f in found.values()) == pytest.approx(stored.calibration.scores)
    assert held_out(12, 0)[0].tolist() == held_out(12, 0)[0].tolist() and len(held_out(12, 0)[0]) == 4


def test_a_ranking_without_bad_images_uses_marks_on_unseen_ones(good: list[np.ndarray]) -> None:
    result = ranking.evaluate_on_synthetic_defects(Detector("padim", size=64).fit(good), good, 1.0)
    assert (result.good, result.bad, result.made) == (4, 12, True) and result.interval is not None
    with pytest.raises(LabError, match="too few to rank"):
        ranking.evaluate_on_synthetic_defects(Detector("padim", size=64).fit(good[:8]), good[:8], 1.0)


def test_a_size_from_which_on_all_are_found() -> None:
    tried = [ranking.SizeTrial(size, np.empty(0), 0.0, verdict) for size, verdict in
             ((1, "bad"), (2, "look"), (3, "bad"), (4, "bad"))]  # fmt: skip
    assert ranking.smallest_found(tried) == 3 and ranking.smallest_found(tried[:2]) is None


def test_why_names_the_image_and_the_place(good: list[np.ndarray], bad: np.ndarray) -> None:
    detector = Detector("patchcore", size=96, candidates=0, ratio=1.0).fit(good)
    near = nearest_patches.nearest_patches(detector, good[3], 0.3, 0.7)
    assert near[0].image == 3 and near[0].distance < 1e-3 and abs(near[0].x - 0.3) < 0.1 and abs(near[0].y - 0.7) < 0.1
    assert [one.distance for one in near] == sorted(one.distance for one in near)
    assert 3 not in [one.image for one in nearest_patches.nearest_patches(detector, good[3], 0.3, 0.7, own=3)]
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

    def settings(self, method: str) -> dict[str, Any]:
        return super().settings(method) | {"size": 64}


def visit(folder: Path) -> session.Own:
    made = session.Own(Small(folder=folder / "cache", backbone=None), LRUCache(100))
    for role in ("good", "bad", "new"):
        made.take(sorted(map(str, folder.glob(f"{role}-*.png"))), role)
    return made


def test_zips_and_bad_files_and_caps(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    packed = folder / "more.zip"
    with zipfile.ZipFile(packed, "w") as archive:
        archive.write(folder / "good-0.png", "inside/good-0.png")
        archive.writestr("inside/notes.txt", "not an image")
    held = uploads.Uploads()
    refused = held.take([str(folder / "good-0.png"), str(packed)], "good")
    assert list(held.held) == ["good-0.png", "good-0.png (2)"] and len(refused) == 1 and "notes.txt" in refused[0]
    monkeypatch.setattr(uploads, "IMAGES", 2)
    assert "may hold 2 images" in held.take([str(folder / "good-1.png")], "good")[0]
    monkeypatch.setattr(uploads, "IMAGES", 200)
    monkeypatch.setattr(uploads, "MEGAPIXELS", 0.005)
    assert "megapixels" in held.take([str(folder / "good-1.png")], "good")[0]
    monkeypatch.setattr(uploads, "MEGAPIXELS", 24)
    monkeypatch.setattr(uploads, "MEGABYTES", held.bytes / 10**6)
    assert "MB of files" in held.take([str(folder / "good-1.png")], "good")[0]
    place = held.folder
    assert len(list(place.iterdir())) == 2
    held.drop("good-0.png")
    assert len(list(place.iterdir())) == 1
    held.close()
    assert not place.exists()
    monkeypatch.setattr(uploads, "MEGABYTES", 400)
    (told,) = held.take([str(folder / "good-1.png")], "good")
    assert told.startswith("good-1.png: could not be kept (No such file") and not held.held


def test_a_false_alarm_is_learned_and_taken_back(folder: Path) -> None:
    made = visit(folder)
    made.answer("padim", no_report)
    before = made.fitted["padim"]
    assert [j.role for j in before.judged] == ["bad"] * 3 + ["new"] + ["good"] * 12
    assert before.result.auroc == 1.0 and before.result.interval is not None
    words = made.false_alarm("new-0.png", no_report)
    assert "one of 13 good images" in words and made.fitted["padim"].detector.count == 13
    assert "new-0.png is to judge again" in made.undo() and made.fitted["padim"] is before
    with pytest.raises(LabError, match="among the good images already"):
        made.false_alarm("good-1.png", no_report)

    def leave(fraction: float, words: str) -> None:
        raise Cancelled

    with pytest.raises(Cancelled):
        made.false_alarm("new-0.png", leave)
    assert made.fitted["padim"] is before and len(made.uploads.of("good")) == 12
    key, place = before.key, made.uploads.folder
    assert made.desk.get(key) and made.panel() is not None
    made.close()
    assert made.desk.get(key) is None and not place.exists()


def test_methods_are_ranked_and_the_rest_offered(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = visit(folder)
    monkeypatch.setattr(answers, "METHODS", {m: METHODS[m] for m in ("padim", "patchcore")})
    made.answer_all(no_report)
    assert len(made.ranking()) == 2 and made.method == made.ranking()[0].method
    table = views.ranking(made)
    assert "Local OCC" in table and "not tried: takes about" in table and "1.00 (" in table
    told = close_up.explained(made, 0.5, 0.5, no_report)
    assert "times the usual distance" in told and told.count("<figure>") == 5
    assert close_up.tried(made, "paint", 0.5, 0.5, no_report).count("<figure>") == len(ranking.TRIAL_SIZES)
    with pytest.raises(LabError, match="no mark"):
        close_up.tried(made, "magic", 0.5, 0.5, no_report)
    report = Path(made.files()[2]).read_text()
    assert report.count("<figure") == 16 and "http" not in report and "Methods tried" in report
    made.close()


def stand_in(monkeypatch: pytest.MonkeyPatch, made: session.Own, slower: float) -> list[tuple[str, float | None]]:
    """Fits that take `slower` times what is expected at first, by a clock of their own; who was begun, within what."""
    first = made._fit("padim", no_report)
    expected, begun = {m: made.expected(m) for m in METHODS}, list[tuple[str, float | None]]()

    def fit(method: str, report: Any, rank: bool = False, within: float | None = None) -> Fitted:
        begun.append((method, within))
        report(0.5, "half of it")
        if within is not None and slower * expected[method] > within:
            raise Late
        took = slower * expected[method]
        result = first.result._replace(method=method, seconds=took)
        return dataclasses.replace(first, key=method, result=result, took=took)

    monkeypatch.setattr(made, "_fit", fit)
    return begun


@pytest.mark.parametrize("slower", [1.0, 5.0])
def test_what_fits_within_a_minute_is_tried_quickest_first(
    folder: Path, monkeypatch: pytest.MonkeyPatch, slower: float
) -> None:
    made = visit(folder)
    made.unit = 0.03
    begun, told = stand_in(monkeypatch, made, slower), list[float]()
    made.answer_all(lambda fraction, words: told.append(fraction))
    took = [held.took for held in made.fitted.values()]
    assert 2 <= len(took) < len(METHODS) and took == sorted(took) and sum(took) <= ranking.BUDGET_SECONDS
    assert begun[0][1] is None and all(within is not None for _, within in begun[1:])
    assert made.unit == pytest.approx(slower * 0.03)  # and so the rest is offered at this machine's speed
    assert all(made.expected(m) > ranking.BUDGET_SECONDS - sum(took) for m in METHODS if m not in made.fitted)
    assert told == sorted(told) and 0 <= told[0] <= told[-1] <= 1
    assert len(made.answer_all(no_report)) and list(made.fitted)[: len(took)] == [m for m, _ in begun[: len(took)]]
    made.close()


def test_one_that_does_not_end_in_time_is_given_up(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = visit(folder)
    made.unit = 0.03
    stand_in(monkeypatch, made, 1.0)
    monkeypatch.setattr(made, "expected", lambda method: 0.001 * len(method))  # far too hopeful
    made.answer_all(no_report)
    assert sum(held.took for held in made.fitted.values()) <= ranking.BUDGET_SECONDS and len(made.fitted) < len(METHODS)
    made.close()
    late = visit(folder)
    with pytest.raises(Late):
        late._fit("padim", no_report, within=0.0)
    late.close()


def test_a_visit_holds_so_much_and_says_what_went(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = visit(folder)
    made.answer("padim", no_report)
    monkeypatch.setattr(answers, "MEMORY", 1.5 * made.bytes() / 10**6)
    made.false_alarm("new-0.png", no_report)  # two of them do not fit in: undo is given up
    assert not made.past and "nothing to undo" in made.undo()
    assert made.desk.all() == [made.fitted["padim"].payload]  # what undo needed is gone
    key = made.fitted["padim"].key
    assert "no longer holds" not in made.answer("padim", no_report) and made.desk.get(key) is None
    monkeypatch.setattr(answers, "MEMORY", made.bytes() / 10**6)
    made.method = "patchcore"
    words, key = made.answer("patchcore", no_report), made.fitted["patchcore"].key
    assert words.endswith(f"To stay within {answers.MEMORY} MB, this visit no longer holds PaDiM.")
    assert list(made.fitted) == ["patchcore"] and made.desk.get(key)
    made.close()


def test_nothing_computed_of_a_visitors_images_outlasts_the_visit(folder: Path) -> None:
    made, held = visit(folder), features.CACHE.held
    before = len(held)
    list(made.work.run(lambda report: made.answer("padim", report)))
    mine = [key for key in held if key[0] == made.work.owner]
    assert len(mine) == len(held) - before >= 12 and len(made.desk.all()) == 1
    held_answer, images = made.fitted["padim"], [one.pixels() for one in made.uploads.of("good")]
    late, begun = threading.Event(), threading.Event()

    def job(report: Report) -> str:
        begun.set()
        late.wait(60)
        Detector("padim", size=64).fit(images)
        return made._hold("padim", held_answer)

    news = made.work.run(job)
    next(news)
    assert begun.wait(60)
    made.close()
    assert not made.desk.all() and len(held) == before
    late.set()  # a job that notices the end too late
    until = time.monotonic() + 60
    while any(thread.name == made.work.owner for thread in threading.enumerate()):
        assert time.monotonic() < until
        time.sleep(0.05)
    assert not made.desk.all() and len(held) == before and not made.fitted
    list(made.work.run(lambda report: "ran on"))
    assert made.work.told[1] == jobs.ENDED


def test_a_hint_is_about_the_images_that_were_checked(folder: Path) -> None:
    made = visit(folder)
    made.take([str(folder / "good-3.png")], "good")
    made.look(no_report)
    (hint,) = [hint for hint in made.hints if hint.kind == "twice"]
    made.hints = [hint]
    made.leave_out(["good-0.png"])  # all numbers move by one
    assert '["good-3.png (2)"]' in html.unescape(views.given(made))
    made.leave_out(["good-3.png (2)"])
    assert "hints" not in views.given(made)
    made.close()


def test_a_image_that_was_learned_can_be_picked(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tiny(monkeypatch)
    made = visit(folder)
    made.answer("cdo", no_report)  # it trains: of the good ones it judges but those held out
    names = [judged.name for judged in made.fitted["cdo"].judged]
    learned = next(one.name for one in made.uploads.of("good") if one.name not in names)
    made.pick(learned)
    state = made.panel()
    assert state and state["set"]["images"][state["chosen"]]["name"] == names[0] and "nothing to undo" in made.undo()
    made.close()


def test_while_a_false_alarm_is_learned_the_image_is_still_to_judge(folder: Path) -> None:
    made, roles = visit(folder), set[str]()
    made.answer("padim", no_report)
    made.false_alarm("new-0.png", lambda fraction, words: roles.add(made.uploads.held["new-0.png"].role))
    assert roles == {"new"} and made.uploads.held["new-0.png"].role == "good"
    made.close()


def test_a_newer_job_begins_when_the_stopped_one_has_ended() -> None:
    made, inside, leave, order = jobs.Work(1), threading.Event(), threading.Event(), list[str]()

    def first(report: Report) -> str:
        inside.set()
        leave.wait(30)  # a long step, in which it hears nothing
        order.append("first")
        report(0.5, "half")
        return "not reached"

    def other(name: str) -> Any:
        return lambda report: order.append(name) or name

    old = made.run(first)
    next(old)
    assert inside.wait(5)
    given_up, newest = made.run(other("second")), made.run(other("third"))
    next(given_up)
    next(newest)
    assert not order and made.running
    leave.set()
    for follower in (old, given_up, newest):
        list(follower)
    assert order == ["first", "third"] and made.told == (None, "third", "")


def told(steps: Iterator[Any]) -> dict[Any, Any]:
    (*_, last) = steps
    return dict(last)


@pytest.fixture
def tab(folder: Path, monkeypatch: pytest.MonkeyPatch) -> your_images_tab.Yours:
    """Outside of any page; what gradio keeps goes into a folder of the test."""
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(folder / "served"))
    with gr.Blocks(analytics_enabled=False):
        return your_images_tab.Yours(Small(folder=folder / "cache", backbone=None))


def test_no_copy_of_what_was_made_outlasts_the_visit(tab: your_images_tab.Yours, folder: Path) -> None:
    request, kept = gr.Request(session_hash="a"), lambda: {path for path in (folder / "served").rglob("*.*")}
    tab._taken(sorted(map(str, folder.glob("good-*.png"))), "good", request)
    first = told(tab.answer("padim", request))
    assert {Path(first[button]["value"]) for button in tab.files} == kept() and len(kept()) == 3
    second = told(tab.answer("patchcore", request))
    assert {Path(second[button]["value"]) for button in tab.files} == kept() and len(kept()) == 3
    for button in tab.files:  # gradio, which hands it out, makes no other
        assert button.move_resource_to_block_cache(second[button]["value"]) == second[button]["value"]
    tab.leave(request)
    assert not kept()
    assert sum(your_images_tab.SWEPT) <= 2 * 3600 and "within two hours" in your_images_tab.KEPT


def test_all_visits_together_hold_so_much(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    alone = visit(folder)
    alone.answer("padim", no_report)
    monkeypatch.setattr(visits, "TOGETHER", 1.5 * alone.bytes() / 10**6)
    alone.close()
    with gr.Blocks(analytics_enabled=False):
        tab = your_images_tab.Yours(Small(folder=folder / "cache", backbone=None))
    mine, other = gr.Request(session_hash="a"), gr.Request(session_hash="b")
    for request in (mine, other):
        tab._taken(sorted(map(str, folder.glob("good-*.png"))), "good", request)
        assert len(tab.visits.values()) == (1 if request is mine else 2)
        told(tab.answer("padim", request))
    (left,) = tab.visits.values()  # the one unused for longest has ended
    assert left is tab.own(other) and left.fitted
    tab.leave(other)


def test_undo_waits_for_the_job_that_runs(tab: your_images_tab.Yours, folder: Path) -> None:
    request = gr.Request(session_hash="a")
    made, inside, leave = tab.own(request), threading.Event(), threading.Event()
    made.take(sorted(map(str, folder.glob("*.png"))), "good")

    def job(report: Report) -> str:
        inside.set()
        leave.wait(30)
        return ""

    next(made.work.run(job))
    assert inside.wait(5)
    taken = tab.take_back(request)
    next(taken)
    words = made.work.told[1]
    assert made.work.running and "undo" not in words
    leave.set()
    assert "There is nothing to undo." in told(taken)[tab.status]
    tab.leave(request)


def test_a_settled_hint_does_not_come_back(folder: Path) -> None:
    made = visit(folder)
    made.take([str(folder / "good-3.png")], "good")
    made.look(no_report)
    (hint,) = [hint for hint in made.hints if hint.kind == "twice"]
    assert hint.images == (12,) and "Leave it out" in views.given(made)
    made.keep(hint.words)
    made.look(no_report)
    assert "twice" not in [hint.kind for hint in made.hints]
    made.leave_out(["good-3.png (2)"])
    assert len(made.uploads.of("good")) == 12 and made.checked != made.uploads.of("good", "bad", "new")
    made.close()


def test_a_job_tells_what_it_still_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, told = [0.0], list[str]()
    monkeypatch.setattr(jobs.time, "monotonic", lambda: clock[0])
    made = jobs.Work(1)

    def job(report: Any) -> str:
        for seconds, fraction in ((30, 0.0), (31, 0.1), (40, 0.25), (55, 0.9)):  # thirty seconds in the queue
            clock[0] = seconds
            report(fraction, "learning")
            told.append(made.told[2])
        return "learned"

    list(made.run(job))
    assert told == ["", "", "about 30 s left", "about 3 s left"] and made.told == (None, "learned", "")
    assert phrases.time_left("epoch 3 of 9, loss 0.1, 14 s left", 40, 0.25) == ""  # it says so itself


def test_waiting_in_the_line_is_not_computing(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, line, made, told = [0.0], JobQueue(), jobs.Work(1), list[str]()
    monkeypatch.setattr(jobs.time, "monotonic", lambda: clock[0])
    inside, leave = threading.Event(), threading.Event()

    def other() -> None:
        with line.turn(no_report):
            inside.set()
            leave.wait(30)

    def job(report: Report) -> str:
        def told_of(fraction: float, words: str) -> None:
            clock[0] += 50  # another minute in the line, about
            report(0.5, words)
            told.append(made.told[2])
            if len(told) == 3:
                leave.set()

        with line.turn(told_of):
            clock[0] += 10
            report(0.75, "learning")
        return "learned"

    thread = threading.Thread(target=other)
    thread.start()
    assert inside.wait(5)
    list(made.run(job))
    thread.join()
    assert made.told[1] == "learned" and made.spent == 10


def test_the_minutes_of_a_visit_end(folder: Path) -> None:
    made = visit(folder)
    made.work.minutes = 0
    list(made.work.run(lambda report: made.answer("padim", report)))
    assert "minutes of computing are used up" in made.work.told[1] and not made.fitted
    made.close()


# --- in a browser -----------------------------------------------------------------------------------------------------


class Served(NamedTuple):
    address: str
    blocks: gr.Blocks
    tab: your_images_tab.Yours


@pytest.fixture(scope="module")
def served(browser: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with gr.Blocks(analytics_enabled=False, delete_cache=(60, 600)) as blocks:
        with gr.Tabs(), gr.Tab("Your images", id="yours"):
            tab = your_images_tab.Yours(Small(folder=tmp_path_factory.mktemp("cache"), backbone=None))
        tab.load(blocks)
    with serve(blocks) as address:
        yield Served(address, blocks, tab)


def parts() -> tuple[list[Item], list[Item]]:
    """20 good ones and 5 bad ones: real ones where they are at hand, else washers."""
    real = shared("LAB_DATA", "data")
    found = load(str(real / "mvtec"), "bottle") if real else samples.load("washer")
    return list(found.train[:20]), [item for item in found.test if item.bad][8:13]


def test_twenty_good_five_bad_verdicts_and_a_detector(browser: Any, served: Served, tmp_path: Path) -> None:
    address, blocks, tab = served
    named = blocks.get_api_info()["named_endpoints"]
    assert {"/yours_good", "/yours_answer", "/yours_false_alarm", "/yours_undo", "/yours_why", "/yours_try"} <= set(
        named
    )
    told = str(named["/yours_answer"])
    assert "its name, or" in told, told
    good, bad = parts()
    for item in (*good, *bad):
        image_files.write_png(tmp_path / f"{item.defect}-{item.name[-3:]}.png", item.image())
    seen = Visit(browser, address, viewport={"width": 390, "height": 800}, accept_downloads=True)
    page = seen.page
    page.get_by_text(uploads.LIMITS).wait_for()
    seen.give(0, tmp_path.glob("good-*.png"))
    seen.give(1, tmp_path.glob("[!g]*-*.png"))
    seen.told("Data check of 20")
    page.get_by_role("button", name="Get answers").click()
    seen.told("has learned from 20 good images")
    seen.until("() => document.querySelectorAll('#yours .strip .thumb').length == 25")
    seen.until("() => !document.querySelector('#yours .strip .thumb.open')")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390

    kept = {}
    for name in ("Detector (safetensors)", "Table (CSV)"):
        with page.expect_download() as got:
            page.get_by_role("link", name=name).or_(page.get_by_role("button", name=name)).first.click()
        kept[name] = tmp_path / got.value.suggested_filename
        got.value.save_as(kept[name])
    files, out = sorted(tmp_path.glob("[!g]*-*.png")), tmp_path / "out"
    done = subprocess.run(
        [sys.executable, "-m", "lab", "detect", str(kept["Detector (safetensors)"]), *map(str, files), "-o", str(out)],
        cwd=ROOT, capture_output=True, text=True,
    )  # fmt: skip
    assert not done.returncode, done.stderr
    with open(kept["Table (CSV)"]) as ours, open(out / "results.csv") as line:
        here = {row["image"]: row for row in csv.DictReader(ours)}
        there = {Path(row["image"]).name: row for row in csv.DictReader(line)}
    assert len(here) == 25 and len(there) == 5
    for name, row in there.items():
        assert float(here[name]["score"]) == pytest.approx(float(row["score"]), abs=1e-4)
        assert here[name]["verdict"] == row["verdict"]

    page.locator("#yours .strip .thumb").nth(0).click()
    seen.until("() => document.querySelector('#yours .strip .thumb[aria-current=true]')")
    page.get_by_role("button", name="A false alarm").click()
    seen.told("is now one of 21 good images")
    page.get_by_role("button", name="Undo").click()
    seen.told("has learned from 20 good images")
    assert not seen.abroad(address)
    assert not seen.complaints
    (visited,) = tab.visits.values()
    held = [visited.uploads.folder, *visited.sent]  # 25 images, and three files to take along
    assert len(held) == 29 and all(path.exists() for path in held)
    page.close()  # and with it the visit ends
    patience = time.monotonic() + 60
    while any(path.exists() for path in held):
        assert time.monotonic() < patience, "what was uploaded is still there"
        time.sleep(0.2)
    assert not tab.visits.values()


def test_cancelling_a_training_leaves_the_tab_usable(
    browser: Any, served: Served, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = Visit(browser, served.address, viewport={"width": 1280, "height": 900})
    settings = Small.settings
    with monkeypatch.context() as long:
        long.setattr(Small, "settings", lambda self, m: settings(self, m) | ({"epochs": 2000} if m == "cdo" else {}))
        seen.give(0, folder.glob("good-*.png"))
        seen.told("Data check of 12")
        seen.page.get_by_label("3 · Method").click()
        seen.page.get_by_role("option").filter(has_text="CDO:").click()
        seen.page.get_by_role("button", name="Get answers").click()
        seen.told("of 2000")
        seen.page.get_by_role("button", name="Cancel").click()
        seen.told("Cancelled")
    assert not seen.page.locator("#yours .answers").is_visible()
    seen.page.get_by_label("3 · Method").click()
    seen.page.get_by_role("option").filter(has_text="PaDiM:").click()
    seen.page.get_by_role("button", name="Get answers").click()
    seen.told("PaDiM has learned from 12 good images")
    assert not seen.complaints
    seen.page.close()
