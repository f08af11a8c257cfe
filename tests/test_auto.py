"""`auto`: what it tries, what it chooses and why, with and without bad images, within its budget."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import bolt
from PIL import Image

import lab
from lab import METHODS, Detector, LabError
from lab.__main__ import main
from lab.inspection import auto as auto_module
from lab.inspection.auto import DRAWN, Trial, _Tried, auto, candidates, choose, nested_auroc, with_defects
from lab.methods.patchcore import PatchCore

GOOD = [bolt(0, i) for i in range(8)]
SMALL = dict(size=64, candidates=600)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(PatchCore, "worth_trying", (SMALL, SMALL | dict(spread=2), dict(size=96, candidates=600)))


def tried(good: list[float], defects: list[float], bad: list[float], seconds: float) -> _Tried:
    trial = Trial("patchcore", {}, None, 0, 0, None, None, 1.0, 0.5, seconds)
    return _Tried(trial, None, good, defects, bad)  # type: ignore[arg-type]


def test_what_separates_best_is_chosen_and_all_that_was_tried_is_told(quick: None) -> None:
    detector = lab.auto(GOOD)
    assert len(detector.tried) == 3 and [trial.note for trial in detector.tried].count("chosen") == 1
    chosen = next(trial for trial in detector.tried if trial.note == "chosen")
    assert chosen.auroc is not None
    assert chosen.auroc >= max(trial.auroc or 0 for trial in detector.tried) - auto_module.TIE
    assert all(trial.drawn == DRAWN * len(GOOD) and 0 <= trial.found <= trial.drawn for trial in detector.tried)
    assert 0 < chosen.fit_seconds < chosen.seconds
    assert chosen.alarms_promised == pytest.approx(1 / 9) and chosen.bad_auroc is None
    assert {name: getattr(detector.settings, name) for name in chosen.settings} == chosen.settings
    assert "chosen of 3 tried" in detector.method.notes["auto"]
    assert detector.detect(bolt(0, 51, defect=True)).verdict == "bad"


def test_the_same_images_and_seed_choose_the_same(quick: None) -> None:
    first, second = (lab.auto(GOOD, seed=3) for _ in range(2))
    assert [trial.auroc for trial in first.tried] == [trial.auroc for trial in second.tried]


def test_of_what_separates_as_well_the_fastest_is_chosen() -> None:
    slow, fast, worse = ([0.0, 1.0], [2.0, 3.0], [], 0.3), ([0.0, 1.0], [2.0, 2.5], [], 0.1), ([0.0, 1.0], [0.5], [], 0)
    assert choose([tried(*slow), tried(*fast), tried(*worse)]) == 1


def test_bad_images_decide_and_defects_only_among_what_they_cannot_tell() -> None:
    by_defects = tried([0.0, 1.0], [2.0] * 4, [0.5] * 4, 0.1)  # AUROC of the bad images 0.5
    by_bad = tried([0.0, 1.0], [0.5] * 4, [2.0] * 4, 0.1)  # 1.0
    assert choose([by_defects, by_bad]) == 1
    equal = tried([0.0, 1.0], [2.0] * 4, [2.0] * 4, 0.2)
    assert choose([by_defects, by_bad, equal]) == 2


def test_the_figure_of_bad_images_is_of_those_that_had_no_part_in_the_choice() -> None:
    told, honest = [], []
    for seed in range(20):  # six candidates that know nothing: bad images score as good ones do
        dice = np.random.default_rng(seed)
        blind = [tried(*(dice.normal(size=n).tolist() for n in (20, 50, 20)), 0.1) for _ in range(6)]
        nested = nested_auroc(blind)
        assert nested is not None
        honest.append(nested)
        told.append(auto_module._auroc((best := blind[choose(blind)]).good, best.bad))
    assert np.mean(told) > 0.54  # of the images that chose it
    assert np.mean(honest) == pytest.approx(0.5, abs=0.04)
    assert nested_auroc([tried([0.0], [1.0], [1.0] * 4, 0.1)]) is None  # too few


def test_bad_images_have_figures_of_their_own(quick: None) -> None:
    detector = auto(GOOD, bad=[bolt(0, 60 + i, defect=True) for i in range(5)])
    assert all(trial.bad_auroc is not None for trial in detector.tried)
    assert "no part in the choice: AUROC" in detector.method.notes["auto"]


def test_good_images_keep_their_order_where_parts_of_them_are_left_out(
    quick: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[_Tried] = []
    keep = lambda tried, *parts: seen.extend(tried) or 0
    monkeypatch.setattr(auto_module, "choose", keep)
    odd = [*GOOD[:3], bolt(8, 3), *GOOD[4:]]  # its number is 3 for every candidate
    auto(odd, bad=[bolt(0, 60, defect=True)])
    assert len(seen) == 3 and all(int(np.argmax(t.good)) == 3 for t in seen)
    assert all(sorted(t.good) == pytest.approx(list(t.detector.calibration.scores)) for t in seen)  # type: ignore[union-attr]


def test_what_the_budget_does_not_hold_is_told_and_not_tried(quick: None) -> None:
    detector = auto(GOOD, 1e-3)
    assert [trial.note == "chosen" for trial in detector.tried] == [True, False, False]
    assert all(t.auroc is None and t.note.startswith("not tried") for t in detector.tried[1:])


@pytest.mark.parametrize("budget", [0, -1, float("nan")])
def test_a_budget_is_above_zero(budget: float) -> None:
    with pytest.raises(LabError, match="budget"):
        auto(GOOD, budget)


def test_too_few_images_are_refused() -> None:
    with pytest.raises(LabError, match="4 good images are too few"):
        auto(GOOD[:4])


def test_candidates_follow_the_images() -> None:
    titles = lambda images: [Trial("patchcore", auto_module.changed_settings(m, s), *[0] * 8).title  # type: ignore[arg-type]
                             for m, s in candidates(images)[0]]  # fmt: skip
    upright = titles([np.repeat(np.repeat(image, 2, 0), 2, 1) for image in GOOD])
    assert "PatchCore" in upright and not any("turns" in title or "tiles" in title for title in upright)
    assert any("size 384" in title for title in upright)
    assert not any("size 384" in title for title in titles(GOOD))  # of 128 pixels: it would only enlarge them
    turned = titles([bolt(137.5 * i, i) for i in range(12)])
    assert turned and all("turns 8" in title for title in turned)
    long = titles([np.tile(image, (2, 8, 1)) for image in GOOD])
    assert any("tiles 1" in title for title in long)


@pytest.mark.parametrize("method", [name for name, cls in METHODS.items() if cls.worth_trying])
def test_what_is_tried_judges_a_changed_image_as_if_its_good_one_were_never_learned_from(method: str) -> None:
    assert METHODS[method].leaves_out_by_number or METHODS[method].trains
    for changes in METHODS[method].worth_trying:
        options: dict[str, Any] = dict(size=64) | {
            name: v for name, v in changes.items() if name not in ("size", "tiles")
        }
        if method == "patchcore":
            options |= dict(candidates=0, ratio=1.0)  # a coreset would be another one without the image
        detector = Detector(method, **options).fit(GOOD)
        others = Detector(method, **options).fit(GOOD[:2] + GOOD[3:])
        changed = bolt(0, 2, defect=True)
        left_out, alone = detector.raw(changed, 2).anomaly_map, others.raw(changed).anomaly_map
        assert np.allclose(left_out.cpu(), alone.cpu(), rtol=2e-2, atol=2e-2)


def test_defects_differ_in_kind_size_strength_and_place_and_miss_what_is_ignored() -> None:
    image = np.random.default_rng(0).integers(90, 160, (240, 240, 3), dtype=np.uint8)
    ignored = np.zeros((10, 10), bool)
    ignored[:, :5] = True
    drawn = with_defects(image, 0, ignored)
    assert len(drawn) == DRAWN and len({copy.tobytes() for copy in drawn}) == DRAWN
    for copy in drawn:
        columns = np.nonzero((copy != image).any((0, 2)))[0]
        assert columns.mean() >= 115
    assert all((first == second).all() for first, second in zip(drawn, with_defects(image, 0, ignored), strict=True))


def test_large_images_are_compared_small_and_learned_from_as_they_are(
    quick: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(auto_module, "WORKING_SIDE", 96)
    chosen = auto(GOOD)
    again = Detector("patchcore", **chosen.settings.as_dict()).fit(GOOD)
    assert chosen.calibration == again.calibration and chosen.fingerprint == again.fingerprint


def test_a_chosen_detector_is_kept_like_any_other(quick: None, tmp_path: Path) -> None:
    detector = auto(GOOD)
    loaded = Detector.load(detector.save(tmp_path / "chosen.safetensors"))
    assert loaded.method.notes["auto"] == detector.method.notes["auto"]
    assert loaded.detect(GOOD[0]).score == pytest.approx(detector.detect(GOOD[0]).score, abs=1e-4)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for kind, images in {
        "train/good": GOOD,
        "test/good": [bolt(0, 50)],
        "test/bad": [bolt(0, 51, defect=True)],
    }.items():
        (tmp_path / "set" / "bolt" / kind).mkdir(parents=True)
        for number, image in enumerate(images):
            Image.fromarray(image).save(tmp_path / "set" / "bolt" / kind / f"{number}.png")
    return tmp_path / "set"


def test_command_line_chooses_and_tells(quick: None, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = folder.parent / "chosen.safetensors"
    assert not main(["fit", "--method", "auto", "--budget", "30", "--data", str(folder), "-o", str(file)])
    assert "auto: PatchCore" in capsys.readouterr().out and Detector.load(file).id == "patchcore"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--smallest-defect", "8"], "chooses tiles itself"),
        (["--resume", "x.safetensors"], "leave out --resume"),
        (["--preset", "paper"], "no preset 'paper'"),
        (["--budget", "0"], "budget"),
    ],
)
def test_command_line_refuses_what_auto_does_not_take(
    folder: Path, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    out = str(folder.parent / "chosen.safetensors")
    assert main(["fit", "--method", "auto", "--data", str(folder), "-o", out, *arguments]) == 2
    assert message in capsys.readouterr().err and not Path(out).exists()


def test_a_bench_tells_what_was_chosen_and_times_the_search_apart(quick: None, folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "rows"
    assert not main(["bench", "--methods", "auto", "--data", str(folder), "-o", str(out)])
    (row,) = json.loads((out / "rows.json").read_text())
    assert row["method"] == "auto" and row["chosen"]["method"] == "patchcore" and len(row["tried"]) == 3
    assert row["search_seconds"] > 0 and row["fit_seconds"] > 0 and row["settings"]["budget"] == 60.0
    assert row["image_auroc"] == 1.0
    assert main(["bench", "--ablate", "auto", "--data", str(folder)]) == 2


def test_what_is_ignored_has_no_part_in_the_choice(quick: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(auto_module, "WORKING_SIDE", 96)  # the mask is as large as the images as they are
    mask = np.zeros((128, 128), bool)
    mask[:, :50] = True
    marked = [image.copy() for image in GOOD]
    for number, image in enumerate(marked):
        image[20:40, 5:25] = 30 * number
    plain, ignoring = auto(GOOD, ignore=mask), auto(marked, ignore=mask)
    assert [trial.auroc for trial in plain.tried] == [trial.auroc for trial in ignoring.tried]
    assert plain.raw(GOOD[0]).image_score == ignoring.raw(marked[0]).image_score


def test_five_images_rank_candidates_without_a_calibration(quick: None) -> None:
    detector = auto(GOOD[:5], folds=0)
    assert detector.calibration is None and len(detector.tried) == 3
    assert all(t.auroc is not None and t.alarms_promised is None and t.drawn == 5 * DRAWN for t in detector.tried)
    unlike = [detector.score(bolt(0, i, defect=True)) for i in range(51, 55)]
    assert min(unlike) > max(detector.score(bolt(0, i)) for i in range(51, 55))
