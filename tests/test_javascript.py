"""The page's scripts, where Node is present: their syntax, their own tests, and the same numbers as in Python."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import ROOT
from test_threshold import level_at

from lab import plots
from lab.calibration import Calibration
from lab.ui import assets
from lab.ui.html import image_data, tables
from lab.ui.panel import component
from lab.ui.panel.payload import scale_payload, top

NODE = shutil.which("node") or ""
SCRIPTS = sorted(str(path.relative_to(assets.ROOT)) for path in assets.ROOT.rglob("*.js"))
GRADIO = "element, trigger, props, server, watch"

pytestmark = pytest.mark.skipif(not NODE, reason="node is not installed")


def node(*arguments: str | Path, text: str = "") -> str:
    done = subprocess.run([NODE, *map(str, arguments)], input=text, capture_output=True, text=True, cwd=ROOT)
    assert not done.returncode, done.stdout + done.stderr
    return done.stdout


def evaluate(scripts: list[str], *calls: tuple[Any, ...]) -> list[Any]:
    """What functions of these scripts return: each call is a name and its arguments."""
    results: list[Any] = json.loads(node("tests/js/evaluate.js", text=json.dumps({"scripts": scripts, "calls": calls})))
    return results


@pytest.mark.parametrize("script", SCRIPTS)
def test_every_script_parses(script: str) -> None:
    node("--check", assets.ROOT / script)


@pytest.mark.parametrize("scripts", [component.SCRIPTS, tables.SCRIPTS], ids=["panel", "tables"])
def test_scripts_of_a_component_define_each_name_once(scripts: tuple[str, ...], tmp_path: Path) -> None:
    together = tmp_path / "together.js"
    text = f'"use strict";\n(({GRADIO}) => {{\n{assets.text(*scripts)}\n}});\n'
    together.write_text(text, encoding="utf-8")
    node("--check", together)


def test_the_panel_uses_every_name_that_its_scripts_define() -> None:
    text = assets.text(*component.SCRIPTS)
    names = re.findall(r"^(?:const|let) (\w+) = ", text, re.M)
    assert len(names) > 100 and not [name for name in names if len(re.findall(rf"\b{name}\b", text)) == 1]


def test_the_scripts_pass_their_own_tests() -> None:
    assert "# fail 0" in node("--test", "--test-reporter=tap", "tests/js/")


@pytest.mark.parametrize("images", [6, 12, 250])
def test_thresholds_are_the_same_in_python_and_in_the_browser(images: int) -> None:
    rng = np.random.default_rng(images)
    scores, peaks = np.sort(rng.gamma(4, 1.0, images)), np.sort(rng.gamma(5, 1.0, images))
    calibration = Calibration.of(rng.normal(0, 1, 4000), scores, peaks, "drawn")
    scale = json.loads(json.dumps(scale_payload(calibration)))
    values = [float(value) for value in [*np.linspace(-40, 60, 201), *calibration.scores]]
    names = ("pixelThresholdAt", "levelAt", "supportedRate")
    results = evaluate(["panel/thresholds.js"], *((name, scale, value) for name in names for value in values))
    functions = (calibration.pixel_threshold_at, lambda value: level_at(calibration, value), calibration.promise)
    assert results == [function(value) for function in functions for value in values]
    verdicts = evaluate(["panel/thresholds.js"], *(("verdictOf", value, scale) for value in values))
    assert verdicts == [calibration.verdict(value) for value in values]


def test_an_anomaly_map_arrives_as_it_was_sent() -> None:
    rng = np.random.default_rng(3)
    calibration = Calibration.of(rng.normal(0, 1, 4000), *np.sort(rng.gamma(4, 1.0, (2, 20))), "drawn")
    smooth = np.add.outer(np.linspace(-2, 30, 61), np.sin(np.linspace(0, 9, 83)))
    for anomaly_map in (smooth, rng.normal(5, 5, (7, 130)), np.zeros((64, 64))):
        levels = plots.to_levels(anomaly_map, top(calibration))
        calls = [("decodePNG", image_data.png(levels))]
        received = evaluate(["panel/anomaly_map.js"], *calls)[0]
        assert (received["height"], received["width"]) == levels.shape
        assert list(received["levels"].values()) == levels.ravel().tolist()
