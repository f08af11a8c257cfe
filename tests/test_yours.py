"""The tab *Your pictures*: the data check, the trials, a visit's own objects, and the walk in a browser."""

from __future__ import annotations

import csv
import io
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np
import pytest
from conftest import ROOT, stripes
from pages import Visit, serve
from PIL import Image

from lab import check, images, trial, why
from lab.data import samples
from lab.data.unaligned import unaligned
from lab.detector import Detector, held_out
from lab.errors import Cancelled, LabError
from lab.method import silent
from lab.parts import marks
from lab.ui import closer, given, own, uploads, yours
from lab.ui.service import Service
from lab.ui.sharing import Shelf


def looks(pictures: list[np.ndarray]) -> list[check.Look]:
    return [check.look(f"p{i}", picture) for i, picture in enumerate(pictures)]


def kinds(hints: list[check.Hint]) -> list[tuple[str, tuple[int, ...]]]:
    return [(hint.kind, hint.pictures) for hint in hints]


# --- the data check ---------------------------------------------------------------------------------------------------


def test_too_few_pictures_are_said_with_what_they_can_promise() -> None:
    assert "add at least 2 more" in check.few(4)[0].words
    assert "1/10 = 10%" in check.few(9)[0].words and check.few(20) == []


def test_a_copy_is_found_even_when_saved_anew(good: list[np.ndarray]) -> None:
    packed = io.BytesIO()
    Image.fromarray(good[2]).save(packed, "JPEG", quality=90)
    given = [*good[:6], good[4].copy(), images.read(packed.getvalue())]
    assert kinds(check.twice(looks(given))) == [("twice", (6, 7))]
    assert check.twice(looks(good)) == []
    assert kinds(check.mixed(looks(good), looks([good[5]]))) == [("mixed", (5,))]


def test_odd_light_shape_and_drift_are_named(good: list[np.ndarray]) -> None:
    bright = (good[3].astype(float) * 1.41).clip(0, 255).astype(np.uint8)
    (hint,) = check.exposure(looks([*good[:3], bright, *good[4:]]))
    assert hint.pictures == (3,) and "p3 is 4" in hint.words and "brighter than the rest of your 12" in hint.words
    wide = np.concatenate([good[0], good[1]], 1)
    (hint,) = check.sizes(looks([*good, wide]))
    assert hint.pictures == (12,) and "12 of your 13 good pictures are 96 x 96" in hint.words
    fading = [(p.astype(float) * (1 - 0.02 * i)).astype(np.uint8) for i, p in enumerate(good)]
    assert "darker: the last third by 16%" in check.drift(looks(fading))[0].words
    assert check.exposure(looks(good)) + check.sizes(looks(good)) + check.drift(looks(good)) == []


def test_a_spoilt_picture_among_the_good_is_pointed_out(good: list[np.ndarray], bad: np.ndarray) -> None:
    assert kinds(check.check(looks(good))) == [("few", ())]
    assert ("odd", (12,)) in kinds(check.check(looks([*good, bad])))


def test_objects_that_lie_differently_are_offered_imm() -> None:
    washers = samples.load("washer")
    turned = [item.picture() for item in unaligned(washers, 30).train[:8]]
    assert "IMM" in check.unaligned(looks(turned))[0].words
    assert check.unaligned(looks([item.picture() for item in washers.train[:8]])) == []
    cloth = [item.picture() for item in samples.load("cloth").train[:6]]
    assert check.unaligned(looks(cloth)) == []  # a texture has no pose


# --- marks and trials -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", marks.KINDS)
def test_a_mark_changes_its_spot_and_nothing_else(kind: str) -> None:
    picture = stripes(1)
    made = marks.mark(kind, picture, 40, 60, 20)
    changed = (made != picture).any(2)
    rows, columns = np.nonzero(changed)
    assert changed.any() and abs(rows - 60).max() <= 12 and abs(columns - 40).max() <= 12


def test_what_fits_within_a_minute_is_tried_quickest_first() -> None:
    order = trial.affordable(20, 0.02)
    spent = [trial.expected(m, 20, 0.02) for m in order]
    assert spent == sorted(spent) and sum(spent) <= 60 and "local_occ" not in order
    assert trial.affordable(200, 1.0) == order[:1] and set(trial.affordable(8, 1e-6)) == set(trial.COST)


def test_good_pictures_are_judged_without_what_was_learned_from_them(good: list[np.ndarray]) -> None:
    stored = Detector("padim", size=64).fit(good)
    found = trial.unseen(stored, good)
    assert stored.calibration is not None and sorted(found) == list(range(12))
    assert sorted(f.score for f in found.values()) == pytest.approx(stored.calibration.scores)
    assert held_out(12, 0)[0].tolist() == held_out(12, 0)[0].tolist() and len(held_out(12, 0)[0]) == 4


def test_a_ranking_without_bad_pictures_uses_marks_on_unseen_ones(good: list[np.ndarray]) -> None:
    result = trial.by_made_marks(Detector("padim", size=64).fit(good), good, 1.0)
    assert (result.good, result.bad, result.made) == (4, 12, True) and result.interval is not None
    with pytest.raises(LabError, match="too few to rank"):
        trial.by_made_marks(Detector("padim", size=64).fit(good[:8]), good[:8], 1.0)


def test_a_size_from_which_on_all_are_found() -> None:
    tried = [trial.Tried(size, np.empty(0), 0.0, verdict) for size, verdict in
             ((1, "bad"), (2, "look"), (3, "bad"), (4, "bad"))]  # fmt: skip
    assert trial.found_from(tried) == 3 and trial.found_from(tried[:2]) is None


def test_why_names_the_picture_and_the_place(good: list[np.ndarray], bad: np.ndarray) -> None:
    detector = Detector("patchcore", size=96, candidates=0, ratio=1.0).fit(good)
    near = why.why(detector, good[3], 0.3, 0.7)
    assert (
        near[0].picture == 3 and near[0].distance < 1e-3 and abs(near[0].x - 0.3) < 0.1 and abs(near[0].y - 0.7) < 0.1
    )
    assert [one.distance for one in near] == sorted(one.distance for one in near)
    assert 3 not in [one.picture for one in why.why(detector, good[3], 0.3, 0.7, own=3)]
    usual = why.usual(detector, good)
    rows, columns = np.nonzero(bad[..., 0] < 60)
    spot = why.why(detector, bad, columns.mean() / 96, rows.mean() / 96)[0]
    assert spot.distance > usual[-1] and "farther than any of" in why.words(spot.distance, usual)
    assert "50% of good patches" in why.words(2.5, np.array([1.0, 2.0, 3.0, 4.0]))


# --- a visit ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path, good: list[np.ndarray]) -> Path:
    for i, picture in enumerate(good):
        images.write_png(tmp_path / f"good-{i}.png", picture)
    for i in range(3):
        images.write_png(tmp_path / f"bad-{i}.png", stripes(100 + i, defect=True))
    images.write_png(tmp_path / "new-0.png", stripes(70))
    return tmp_path


class Small(Service):
    """Methods see 64 pixels: quick."""

    def settings(self, method: str) -> dict[str, Any]:
        return super().settings(method) | {"size": 64}


def visit(folder: Path) -> own.Own:
    made = own.Own(Small(folder=folder / "cache", backbone=None), Shelf(100))
    for role in ("good", "bad", "new"):
        made.take(sorted(map(str, folder.glob(f"{role}-*.png"))), role)
    return made


def test_zips_and_bad_files_and_caps(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    packed = folder / "more.zip"
    with zipfile.ZipFile(packed, "w") as archive:
        archive.write(folder / "good-0.png", "inside/good-0.png")
        archive.writestr("inside/notes.txt", "not a picture")
    held = uploads.Uploads()
    refused = held.take([str(folder / "good-0.png"), str(packed)], "good")
    assert list(held.held) == ["good-0.png", "good-0.png (2)"] and len(refused) == 1 and "notes.txt" in refused[0]
    monkeypatch.setattr(uploads, "PICTURES", 2)
    assert "may hold 2 pictures" in held.take([str(folder / "good-1.png")], "good")[0]
    monkeypatch.setattr(uploads, "PICTURES", 200)
    monkeypatch.setattr(uploads, "MEGAPIXELS", 0.005)
    assert "megapixels" in held.take([str(folder / "good-1.png")], "good")[0]
    place = held.folder
    assert len(list(place.iterdir())) == 2
    held.drop("good-0.png")
    assert len(list(place.iterdir())) == 1
    held.close()
    assert not place.exists()


def test_a_false_alarm_is_learned_and_taken_back(folder: Path) -> None:
    made = visit(folder)
    made.answer("padim", silent)
    before = made.fitted["padim"]
    assert [j.role for j in before.judged] == ["bad"] * 3 + ["new"] + ["good"] * 12
    assert before.result.auroc == 1.0 and before.result.interval is not None
    words = made.false_alarm("new-0.png", silent)
    assert "one of 13 good pictures" in words and made.fitted["padim"].detector.count == 13
    assert "new-0.png is to judge again" in made.undo() and made.fitted["padim"] is before
    with pytest.raises(LabError, match="among the good pictures already"):
        made.false_alarm("good-1.png", silent)

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
    monkeypatch.setattr(trial, "affordable", lambda *_: ["padim", "patchcore"])
    made.answer_all(silent)
    assert len(made.ranking()) == 2 and made.method == made.ranking()[0].method
    table = given.ranking(made)
    assert "Local OCC" in table and "not tried: takes about" in table and "1.00 (" in table
    told = closer.explained(made, 0.5, 0.5, silent)
    assert "times the usual distance" in told and told.count("<figure>") == 5
    assert closer.tried(made, "paint", 0.5, 0.5, silent).count("<figure>") == len(trial.STEPS)
    with pytest.raises(LabError, match="no mark"):
        closer.tried(made, "magic", 0.5, 0.5, silent)
    report = Path(made.files()[2]).read_text()
    assert report.count("<figure") == 16 and "http" not in report and "Methods tried" in report
    made.close()


def test_a_settled_hint_does_not_come_back(folder: Path) -> None:
    made = visit(folder)
    made.take([str(folder / "good-3.png")], "good")
    made.look(silent)
    (hint,) = [hint for hint in made.hints if hint.kind == "twice"]
    assert hint.pictures == (12,) and "Leave it out" in given.given(made)
    made.keep(hint.words)
    made.look(silent)
    assert "twice" not in [hint.kind for hint in made.hints]
    made.leave_out(["good-3.png (2)"])
    assert len(made.uploads.of("good")) == 12 and made.checked != made.uploads.of("good", "bad", "new")
    made.close()


def test_the_minutes_of_a_visit_end(folder: Path) -> None:
    made = visit(folder)
    made.work.minutes = 0
    list(made.work.run(lambda report: made.answer("padim", report)))
    assert "minutes of computing are used up" in made.work.told[1] and not made.fitted
    made.close()


# --- in a browser -----------------------------------------------------------------------------------------------------


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[str, gr.Blocks]]:
    with gr.Blocks(analytics_enabled=False, delete_cache=(60, 60)) as blocks:
        with gr.Tabs(), gr.Tab("Your pictures", id="yours"):
            tab = yours.Yours(Small(folder=tmp_path / "cache", backbone=None))
        tab.load(blocks)
    with serve(blocks) as address:
        yield address, blocks


def test_twenty_good_five_bad_verdicts_and_a_detector(
    browser: Any, served: tuple[str, gr.Blocks], tmp_path: Path
) -> None:
    address, blocks = served
    named = blocks.get_api_info()["named_endpoints"]
    assert {"/yours_good", "/yours_answer", "/yours_false_alarm", "/yours_undo", "/yours_why", "/yours_try"} <= set(
        named
    )
    told = str(named["/yours_answer"])
    assert "its name, or" in told, told
    washers = samples.load("washer")
    for item in (*washers.train[:20], *[item for item in washers.test if item.bad][8:13]):
        images.write_png(tmp_path / f"{item.defect}-{item.name[-3:]}.png", item.picture())
    seen = Visit(browser, address, viewport={"width": 390, "height": 800}, accept_downloads=True)
    page = seen.page

    def give(number: int, pattern: str, told: str) -> None:
        page.locator("#yours input[type=file]").nth(number).set_input_files(sorted(map(str, tmp_path.glob(pattern))))
        seen.until("told => document.querySelector('#yours .given')?.innerText.includes(told)", told)

    give(0, "good-*.png", "20")
    give(1, "[!g]*-*.png", "5")
    seen.told("Data check of 20")
    page.get_by_role("button", name="Get answers").click()
    seen.told("has learned from 20 good pictures")
    seen.until("() => document.querySelectorAll('#yours .strip .thumb').length == 25")
    seen.until("() => !document.querySelector('#yours .strip .thumb.open')")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390

    kept = {}
    for name in ("Detector (safetensors)", "Table (CSV)"):
        with page.expect_download() as got:
            page.get_by_role("link", name=name).or_(page.get_by_role("button", name=name)).first.click()
        kept[name] = tmp_path / got.value.suggested_filename
        got.value.save_as(kept[name])
    bad = sorted(tmp_path.glob("[!g]*-*.png"))
    out = tmp_path / "out"
    done = subprocess.run(
        [sys.executable, "-m", "lab", "detect", str(kept["Detector (safetensors)"]), *map(str, bad), "-o", str(out)],
        cwd=ROOT, capture_output=True, text=True,
    )  # fmt: skip
    assert not done.returncode, done.stderr
    with open(kept["Table (CSV)"]) as ours, open(out / "results.csv") as line:
        here = {row["picture"]: row for row in csv.DictReader(ours)}
        there = {Path(row["picture"]).name: row for row in csv.DictReader(line)}
    assert len(here) == 25 and len(there) == 5
    for name, row in there.items():
        assert float(here[name]["score"]) == pytest.approx(float(row["score"]), abs=1e-4)
        assert here[name]["verdict"] == row["verdict"]

    page.locator("#yours .strip .thumb").nth(0).click()
    seen.until("() => document.querySelector('#yours .strip .thumb[aria-current=true]')")
    page.get_by_role("button", name="A false alarm").click()
    seen.told("is now one of 21 good pictures")
    page.get_by_role("button", name="Undo").click()
    seen.told("has learned from 20 good pictures")
    assert not seen.abroad(address)
    assert not seen.complaints
    page.close()
