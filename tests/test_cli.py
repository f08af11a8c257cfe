"""The command line, as a person types it: in processes of its own where that matters, in this one where it does not."""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import ROOT, stripes
from PIL import Image

from lab import METHODS, Detector, image_files
from lab.__main__ import main

QUICK = ["--size", "96", "--candidates", "600"]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small set in the MVTec layout: 10 training images, 3 good and 3 bad test images with masks."""
    root = tmp_path_factory.mktemp("sets") / "stripes"
    for folder, count, defect in (("train/good", 10, False), ("test/good", 3, False), ("test/blot", 3, True)):
        (root / folder).mkdir(parents=True)
        for i in range(count):
            image_files.write_png(
                root / folder / f"{i:03}.png", stripes(i + 50 * (folder != "train/good"), defect=defect)
            )
    (root / "ground_truth/blot").mkdir(parents=True)
    for i in range(3):
        clean, blot = stripes(i + 50), np.asarray(Image.open(root / f"test/blot/{i:03}.png"))
        changed = np.abs(blot.astype(int) - clean.astype(int)).max(2) > 40
        image_files.write_png(root / f"ground_truth/blot/{i:03}_mask.png", changed)
    return root


def shell(*words: str) -> subprocess.CompletedProcess:
    command, environment = [sys.executable, "-m", "lab", *words], {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)


def test_methods_lists_every_method_setting_and_preset(capsys: pytest.CaptureFixture) -> None:
    assert main(["methods"]) == 0
    told = capsys.readouterr().out
    for name, kind in METHODS.items():
        assert f"{name}: {kind.title}" in told
        assert all(f"    {field}: " in told for field in kind.Settings.fields())
    assert "[component]" in told and "live 256, paper 224" in told


def test_tables_in_the_readmes_are_those_of_the_code(capsys: pytest.CaptureFixture) -> None:
    assert main(["methods", "--table"]) == 0
    told = capsys.readouterr().out
    methods, differs = re.findall(r"<!-- \w+ -->.*?<!-- /\w+ -->\n", told, re.DOTALL)
    readme = (ROOT / "lab/methods/README.md").read_text()
    assert methods in readme and differs in readme
    for kind in METHODS.values():
        assert kind.fails() in methods and kind.fails()
        assert all(what and why for what, why in kind.differs())


@pytest.mark.timeout(900)  # two fresh processes, each of which imports torch
def test_fit_then_detect_in_two_processes(data: Path, tmp_path: Path) -> None:
    """What one process fits and another detects equals, bit for bit, what this one does alone."""
    one, two = tmp_path / "a.safetensors", tmp_path / "b.safetensors"
    fit = ["fit", "--method", "patchcore", "--data", str(data), *QUICK, "-o"]
    done = shell(*fit, str(one))
    assert done.returncode == 0, done.stderr
    assert "fitted on 10 images" in done.stdout and "1/11" in done.stdout
    assert main([*fit, str(two)]) == 0
    assert one.read_bytes() == two.read_bytes()
    detect = ["detect", str(two), str(data / "test"), "-o"]
    done = shell(*detect, str(tmp_path / "out0"))
    assert done.returncode == 0, done.stderr
    assert main([*detect, str(tmp_path / "out1")]) == 0
    results = [json.loads((tmp_path / f"out{i}/results.json").read_text())["images"] for i in (0, 1)]
    assert [r["score"] for r in results[0]] == [r["score"] for r in results[1]] and len(results[0]) == 6
    out = tmp_path / "out0"
    with open(out / "results.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        assert row["verdict"] in ("good", "look", "bad")
        assert image_files.read(out / f"{row['file']}_anomaly_map.png").shape == (96, 96, 3)
        assert image_files.read_mask(out / f"{row['file']}_mask.png").mean() == pytest.approx(float(row["marked"]))
    blots = [float(r["score"]) for r in rows if "blot" in r["image"]]
    assert min(blots) > max(float(r["score"]) for r in rows if "good" in r["image"])


def test_a_bad_file_does_not_stop_the_rest(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    file = tmp_path / "det.safetensors"
    assert main(["fit", "--method", "patchcore", "--data", str(data), *QUICK, "-o", str(file)]) == 0
    (tmp_path / "text.png").write_text("no image")
    fine = data / "test/good/000.png"
    capsys.readouterr()
    assert main(["detect", str(file), str(tmp_path / "text.png"), str(fine), "-o", str(tmp_path / "out")]) == 2
    told = capsys.readouterr()
    assert told.err.count("\n") == 1 and "text.png" in told.err
    assert len(json.loads((tmp_path / "out/results.json").read_text())["images"]) == 1


def test_bench_by_number_of_images_judges_the_others_too(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    words = ["bench", "--methods", "patchcore", "--data", str(data), "--output", str(tmp_path), *QUICK]
    assert main([*words, "--train", "6"]) == 0  # measured without the others: does not count
    assert main([*words, "--shots", "6,8,10", "--seeds", "0,1"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert sum("6 images" in line and "4 unseen good: image_auroc 1.000" in line for line in lines) == 2
    assert [line.split()[4:7] for line in lines if line.startswith("mean of 2")] == [
        ["patchcore", shots, "images"] for shots in ("6", "8", "10")
    ]
    rows = [row for row in json.loads((tmp_path / "rows.json").read_text())]
    assert sorted((row["train"], row.get("unseen", 0)) for row in rows) == [(6, 4)] * 2 + [(8, 2)] * 2 + [(10, 0)] * 2
    for row in rows:
        assert row.get("unseen_false_alarms", 0) <= row.get("unseen", 0)
    capsys.readouterr()
    assert main([*words, "--shots", "5", "--seeds", "0"]) == 0  # too few for a promise, enough for a ranking
    assert "missed" not in capsys.readouterr().out
    few = next(row for row in json.loads((tmp_path / "rows.json").read_text()) if row["train"] == 5)
    assert few["folds"] == 0 and few["unseen"] == 5 and few["image_auroc"] == 1.0
    assert "missed" not in few and "promised" not in few and "unseen_false_alarms" not in few
    assert main([*words, "--shots", "6", "--train", "6"]) == 2
    assert "--shots and --train both say" in capsys.readouterr().err


def test_bench_writes_its_rows(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    words = ["bench", "--methods", "patchcore,stfpm", "--data", str(data), "--seeds", "0,1", "--output", str(tmp_path)]
    assert main([*words, *QUICK, "--epochs", "1"]) == 0
    told = capsys.readouterr().out
    assert told.count("/stripes  ") == 4 and "mean of 2 rows  stfpm" in told
    rows = json.loads((tmp_path / "rows.json").read_text())
    wanted = "dataset category method settings seed image_auroc pixel_auroc pixel_ap aupro margin overlap fit_seconds "
    wanted += "detect_ms peak_mb weights version missed false_alarms"
    assert [(r["method"], r["seed"]) for r in rows] == [(m, s) for m in ("patchcore", "stfpm") for s in (0, 1)]
    for row in rows:
        assert set(wanted.split()) <= set(row)
        assert row["settings"]["size"] == 96 and row["weights"]["tag"] == "embedded"
    assert rows[0]["image_auroc"] == 1.0
    with open(tmp_path / "rows.csv", newline="") as file:
        assert len(list(csv.DictReader(file))) == 4


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["fit", "--method", "magic", "--data", "samples", "-o", "x"], "no method is called magic"),
        (["fit", "--method", "cdo", "--data", "samples", "-o", "x"], "name one of"),
        (["fit", "--method", "cdo", "--data", "samples", "--category", "unicorn", "-o", "x"], "no category unicorn"),
        (["fit", "--method", "cdo", "--data", "nowhere", "-o", "x"], "nowhere"),
        (["fit", "--method", "cdo", "--data", "samples", "--category", "cloth", "--gamma", "9", "-o", "x"], "0 to 5"),
        (["fit", "--method", "cdo", "--data", "samples", "--category", "cloth", "--gamma", "x", "-o", "x"], "--gamma"),
        (["fit", "--method", "padim", "--data", "samples", "--oom", "-o", "x"], "--oom"),
        (["fit", "--method", "cdo", "--data", "samples", "--category", "cloth", "--preset", "b", "-o", "x"], "preset"),
        (["detect", "absent.safetensors", "x.png", "-o", "out"], "no file absent.safetensors"),
        (["bench", "--methods", "padim", "--data", "samples", "--categories", "unicorn"], "no category unicorn"),
        (["nothing"], "nothing"),
    ],
)
def test_bad_arguments_are_one_sentence_and_exit_2(
    words: list[str], told: str, capsys: pytest.CaptureFixture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(words) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and error.count("\n") == 1 and told in error
    assert not list(tmp_path.iterdir())


# --- errors end as sentences ------------------------------------------------------------------------------------------


def good_folder(path: Path, count: int = 8) -> Path:
    path.mkdir(parents=True)
    for i in range(count):
        image_files.write_png(path / f"{i}.png", stripes(i))
    return path


def test_an_output_that_cannot_be_written_is_said_before_the_work(
    tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Detector, "fit", lambda *_, **__: pytest.fail("it was fitted"))
    data, there = good_folder(tmp_path / "g"), tmp_path / "no/such/d.safetensors"
    assert main(["fit", "--method", "padim", "--data", str(data), "-o", str(there)]) == 2
    assert f"there is no folder {there.parent}" in capsys.readouterr().err
    assert main(["fit", "--method", "padim", "--data", str(data), "-o", str(data)]) == 2
    assert "is a folder; name a file in it" in capsys.readouterr().err
    resumed = ["--resume", str(tmp_path / "no/checkpoint"), "-o", str(tmp_path / "d.safetensors")]
    assert main(["fit", "--method", "stfpm", "--data", str(data), *resumed]) == 2
    assert "no/checkpoint: there is no folder" in capsys.readouterr().err
    (tmp_path / "file").write_text("x")
    assert main(["detect", "washer/cdo", str(data), "-o", str(tmp_path / "file")]) == 2
    assert "cannot be made a folder" in capsys.readouterr().err


def test_detect_never_reads_what_it_has_written(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    data = good_folder(tmp_path / "p", 3)
    for _ in range(2):
        assert main(["detect", "washer/stfpm", str(data), "-o", str(data / "out")]) == 0
    assert len(json.loads((data / "out/results.json").read_text())["images"]) == 3
    assert "1 folder of results not entered" in capsys.readouterr().err


def test_detect_reads_images_of_any_name_and_no_masks(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    there = tmp_path / "set"
    shutil.copytree(data, there)
    (there / "test/blot/001.png").rename(there / "test/blot/001.jfif")
    (there / "test/blot/new.heic").write_bytes(b"\0\0\0\x18ftypheic" + bytes(64))
    assert main(["detect", "washer/stfpm", str(there), "-o", str(tmp_path / "out")]) == 0
    judged = [row["image"] for row in json.loads((tmp_path / "out/results.json").read_text())["images"]]
    assert len(judged) == 16 and str(there / "test/blot/001.jfif") in judged and "ground_truth" not in "".join(judged)
    told = capsys.readouterr().err
    assert "3 masks not judged" in told and "1 file not read: HEIC (1)" in told


def test_fit_checks_its_images(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    """The data check of the page, on the command line: one image much brighter than the rest."""
    folder = good_folder(tmp_path / "g", 12)
    bright = np.clip(np.asarray(stripes(5)).astype(float) * 1.5, 0, 255).astype(np.uint8)
    image_files.write_png(folder / "bright.png", bright)
    assert main(["fit", "--method", "padim", "--data", str(folder), "-o", str(tmp_path / "d.safetensors")]) == 0
    told = capsys.readouterr().err
    assert "bright is 50%" in told and "brighter than the rest of your 13 good images" in told


def test_a_threshold_is_asked_for_by_mean_or_bound(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    detector = tmp_path / "d.safetensors"
    assert main(["fit", "--method", "patchcore", "--data", str(data), "-o", str(detector), *QUICK]) == 0
    arguments = ["detect", str(detector), str(data / "test"), "-o", str(tmp_path / "out")]
    capsys.readouterr()
    assert main([*arguments, "--false-alarms", "20", "--on-average"]) == 0
    assert "18.2 % on average, at most 39.4 % with 95 % confidence, are called bad" in capsys.readouterr().out
    assert main([*arguments, "--false-alarms", "30"]) == 0
    assert "9.1 % on average, at most 25.9 % with 95 % confidence, are called bad" in capsys.readouterr().out
    assert main([*arguments, "--false-alarms", "5"]) == 2
    assert "5.0 % of false alarms would take 59 of them: 10 good images promise" in capsys.readouterr().err
    assert main([*arguments, "--on-average"]) == 2 and "name a rate" in capsys.readouterr().err


def test_fit_and_bench_say_what_was_not_read_and_what_leaks(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    there = tmp_path / "leaky"
    shutil.copytree(data, there)
    for number, change in enumerate((lambda image: image, lambda image: np.roll(image, 1, 0))):
        copy = change(image_files.read(there / f"train/good/{number:03}.png"))
        image_files.write_png(there / f"test/good/copy{number}.png", copy)
    (there / "validation/good").mkdir(parents=True)
    image_files.write_png(there / "validation/good/0.png", stripes(90))
    assert main(["fit", "--method", "padim", "--data", str(there), "-o", str(tmp_path / "d.safetensors")]) == 0
    assert "1 image not read: in validation/good" in capsys.readouterr().err
    assert main(["bench", "--methods", "padim", "--data", str(there), "-o", str(tmp_path / "out")]) == 0
    told = capsys.readouterr().out
    assert "2 test images are learned from: test/good/copy0 shows the same as train/good/000" in told
    (row,) = json.loads((tmp_path / "out/rows.json").read_text())
    assert "validation/good" in row["notes"]["reading"] and "learned from" in row["notes"]["leak"]
    assert main(["bench", "--methods", "padim", "--data", str(there / "train/good")]) == 2
    assert "holds no test images" in capsys.readouterr().err


def test_a_name_of_another_encoding_is_judged_and_written(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    data = good_folder(tmp_path / "p", 1)
    os.rename(os.fsencode(data / "0.png"), os.fsencode(data) + b"/teil_\xfc.png")
    assert main(["detect", "washer/stfpm", str(data), "-o", str(tmp_path / "out")]) == 0
    assert r"teil_\xfc.png" in capsys.readouterr().out
    assert r"teil_\xfc.png" in (tmp_path / "out/results.csv").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", ["cuda:99", "toaster", "mps"])
def test_a_device_that_is_not_here_is_a_sentence(
    name: str, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    monkeypatch.setenv("LAB_DEVICE", name)
    arguments = ["fit", "--method", "padim", "--data", str(data), "-o", str(tmp_path / "d.safetensors")]
    for command in (arguments, ["detect", "washer/stfpm", str(data), "-o", str(tmp_path / "out")]):
        assert main(command) == 2
        assert capsys.readouterr().err.startswith(f"error: LAB_DEVICE={name}")


def test_a_bench_that_cannot_write_is_told_before_it_measures(
    data: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Detector, "fit", lambda *_, **__: pytest.fail("it was fitted"))
    assert main(["bench", "--methods", "padim", "--data", str(data), "-o", "/proc/nothing"]) == 2
    assert "/proc/nothing: cannot be made a folder" in capsys.readouterr().err


def test_an_error_of_ours_has_an_id(
    capsys: pytest.CaptureFixture, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lab.ready_detectors.resolve", lambda name: 1 / 0)
    assert main(["detect", "washer/cdo", "x", "-o", "y"]) == 1
    number = re.search(r"an error of ours \(id (\w{6})\): ZeroDivisionError", capsys.readouterr().err)
    assert number and number[1] in caplog.text
    monkeypatch.setattr("lab.ready_detectors.resolve", lambda name: (_ for _ in ()).throw(OSError(28, "No space left")))
    assert main(["detect", "washer/cdo", "x", "-o", "y"]) == 2 and "No space left" in capsys.readouterr().err
