"""A slice of `make fuzz`, and that the fuzzing notices what it is there for."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from conftest import ROOT

from lab import Detector, image_files
from lab.calibration import Calibration
from lab.errors import LabError
from tests.fuzz import detector_files, driver, images, planted, targets
from tests.fuzz.targets import attempt, load

SLICE = {"images": 150, "zips": 120, "detector_files": 50, "command_lines": 30, "folders": 20, "tables": 80}
"""Inputs of each target; those of `endpoints` are in tests/test_endpoints.py, where the page is."""
COSTLY = {"images": images, "zips": load("zips")}  # whose costly inputs are left to `make fuzz`


@pytest.fixture(scope="module", autouse=True)
def few_detectors() -> Iterator[None]:
    """Detectors that are fitted in a moment, in place of one of each method."""
    bomb = detector_files.bomb
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(detector_files, "BASES", list(detector_files.OFTEN))
        patch.setattr(detector_files, "bomb", lambda count: bomb(2**20))
        yield


@pytest.mark.parametrize("name", SLICE)
def test_a_slice_finds_nothing(name: str) -> None:
    target, failures = load(name), []
    for number in range(SLICE[name]):
        made = target.make(number)
        if name in COSTLY and made.kind in COSTLY[name].COSTS:
            continue
        if (outcome := attempt(target, made)).failed:
            failures.append(f"python -m tests.fuzz --target {name} --only {number}  # {outcome}")
    assert not failures, "\n".join(failures)


@pytest.mark.parametrize("name", SLICE)
def test_an_input_is_known_by_its_number(name: str) -> None:
    """Equal in another process, too: nothing in it depends on a set's order or on the time."""
    target = load(name)
    assert [target.make(n) for n in range(5)] == [target.make(n) for n in range(5)]
    assert len({repr(target.make(n)) for n in range(20)}) > 10
    assert callable(target.try_) and target.EXPECTED


# --- it notices ------------------------------------------------------------------------------------------------------


def test_every_way_to_fail_is_noticed_counted_and_passed_by(tmp_path: Path) -> None:
    limits = driver.Limits(hang=6)
    first = driver.run("tests.fuzz.planted", 5, tmp_path, limits)
    assert first.done == 5
    progress = driver.run("tests.fuzz.planted", 10, tmp_path, limits)  # which continues
    assert progress.done == 10 and progress.counts["fine"] == 5  # 0, 8, 9, and the two that cost too much
    found = {failure["number"]: failure["kind"] for failure in progress.failures}
    assert list(found) == list(planted.FAILS)
    assert all(found[number].startswith(kind) for number, (kind, _) in planted.FAILS.items()), found
    assert "a planted exception" in driver.table([progress])
    assert "python -m tests.fuzz --target tests.fuzz.planted --only 7" in driver.table([progress])
    assert progress.worst["mb"] > 600 and progress.worst["seconds"] > 0.3
    kept = json.loads((tmp_path / "planted.json").read_text())
    assert kept["done"] == 10 and kept["version"] == driver.code_version()
    (tmp_path / "planted.json").write_text(json.dumps(kept | dict(version="of other code")))
    assert driver.read_progress(tmp_path / "planted.json", "tests.fuzz.planted", driver.code_version()).done == 0


def test_the_status_says_whether_anything_failed(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.fuzz", "--target", "tests.fuzz.planted", "--out", str(tmp_path), "--count"]
    failing = subprocess.run([*command, "2"], cwd=ROOT, capture_output=True, text=True)
    assert failing.returncode == 1 and "ValueError" in failing.stdout, failing.stderr
    again = subprocess.run([*command[:-1], "--only", "1"], cwd=ROOT, capture_output=True, text=True)
    assert again.returncode == 1 and "a planted" in again.stderr, again.stderr
    fine = subprocess.run([*command, "1", "--out", str(tmp_path / "fine")], cwd=ROOT, capture_output=True, text=True)
    assert fine.returncode == 0, fine.stdout + fine.stderr


def test_a_silent_good_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if a file were loaded whose threshold is no number: nothing is above it."""
    broken = detector_files.DetectorFile(b"", "padim", "bad = nan", "a number is not finite")
    other = dataclasses.replace(broken, nonsense="")
    monkeypatch.setattr(Detector, "load", lambda path: detector_files.detector("padim"))
    assert attempt(detector_files, broken).kind == "loaded"  # it calls the bad image bad
    monkeypatch.setattr(Calibration, "verdict", lambda self, score: "good")
    assert attempt(detector_files, broken) == targets.Outcome("silent good, a number is not finite", True)
    assert attempt(detector_files, other).kind == "loaded"  # which may be another detector


def test_pixels_that_nobody_wrote_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image_files, "read", lambda data, name: np.empty((20, 20, 3), np.uint8) ^ next(noise))
    noise = iter(range(1, 9))
    assert attempt(images, images.ImageFile(b"x", "read", "any")).kind == "uninitialised"


@pytest.mark.parametrize("error", [KeyError("x"), LabError("a\0b")])
def test_other_exceptions_and_unprintable_refusals_are_failures(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(data: bytes, name: str) -> None:
        raise error

    monkeypatch.setattr(image_files, "read", refuse)
    outcome = attempt(images, images.ImageFile(b"x", "read", "any"))
    assert outcome.failed and ("KeyError at tests/test_fuzz.py" in outcome.kind or "not printable" in outcome.kind)


def test_an_outcome_that_is_not_expected_is_a_failure() -> None:
    target = SimpleNamespace(EXPECTED={"read"}, try_=lambda made: made)
    assert not attempt(target, "read: something").failed
    assert attempt(target, "escapes: ../x") == targets.Outcome("escapes", True, "../x")
