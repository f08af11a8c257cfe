"""What methods may cost, as ratios measured in one process: `make slow`. Unit: one pass of a bare ResNet-18 trunk.

Processor time of one thread, not the clock's: what else the machine does then counts for nothing.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import ROOT, stripes

from lab import METHODS, Detector
from lab.methods import preset_settings
from lab.parts import features, memory_bank

pytestmark = pytest.mark.slow

# Trunk passes (256 x 256) per training image that a `live` fit may take.
FIT_BUDGET = [
    ("padim", {}, 4),
    ("patchcore", {}, 4),
    ("smcc", {}, 30),
    ("cdo", {}, 60),
    ("stfpm", {}, 60),
    ("fastflow", {}, 60),
    ("autoencoder", {}, 60),
    ("local_occ", {"imm": False}, 60),
    ("local_occ", {}, 100),
    ("rb_ae", {}, 150),
]


def median_seconds(run: Callable[[], object], times: int = 30) -> float:
    for _ in range(3):
        run()
    spent = []
    for _ in range(times):
        began = time.process_time()
        run()
        spent.append(time.process_time() - began)
    return statistics.median(spent)


def trunk_pass() -> float:
    """Seconds of one pass of ResNet-18's layers 1-3 over one 256 x 256 image; random weights cost the same."""
    network, x = features.architecture("resnet18.tv_in1k").eval(), torch.rand(1, 3, 256, 256)
    with torch.no_grad():
        return median_seconds(lambda: network(x), 15)


def test_every_method_has_a_budget() -> None:
    assert {name for name, _, _ in FIT_BUDGET} == set(METHODS)


@pytest.mark.parametrize(("name", "changes", "budget"), FIT_BUDGET)
def test_live_fit_stays_within_its_budget(
    name: str, changes: dict[str, Any], budget: int, capsys: pytest.CaptureFixture
) -> None:
    good = [stripes(i, size=256) for i in range(24)]
    unit = trunk_pass()
    features.CACHE.pop_where(lambda key: True)
    detector = Detector(name, **changes)
    began = time.process_time()
    detector.fit(good)
    passes = (time.process_time() - began) / unit / len(good)
    with capsys.disabled():
        print(f"\nlive fit of {name} {changes}: {passes:.1f} passes an image (budget {budget}; {unit:.3f} s each)")
    assert passes <= budget


def bare_passes(method: Any) -> Callable[[torch.Tensor], object]:
    """One pass of every network that scoring one image runs, and nothing else."""
    name = next(name for name, method_class in METHODS.items() if type(method) is method_class)
    if name == "rb_ae":
        return lambda x: method.reconstruct(x)
    if name == "autoencoder":
        return lambda x: method.reconstruct(x)
    if name == "fastflow":
        return lambda x: method.latents(method.backbone(x))
    if name == "local_occ":
        cells = torch.rand(1, len(method.W), method.grid, method.grid)
        small = torch.rand(1, 3, method.matcher.size, method.matcher.size)
        return lambda x: (method.matcher(small, small), method.backbone(x), method.N_M(cells))
    learned = [getattr(method, part, None) for part in ("student", "apprentice")]
    networks = [network for network in (method.backbone, *learned) if network is not None]
    return lambda x: [network(x) for network in networks]


def search(method: Any, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor] | None:
    """The patches of one image and the bank in which their nearest rows are searched."""
    bank = getattr(getattr(method, "embedding", method), "bank", None)
    if bank is None:
        return None
    with torch.no_grad():
        patches = method.rows(method.backbone(x)) if hasattr(method, "rows") else torch.rand(1024, bank.shape[1])
    return patches, bank


@pytest.mark.parametrize("name", METHODS)
def test_detect_costs_little_beyond_its_networks(
    name: str, real_weights: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setenv("LAB_WEIGHTS", str(real_weights))
    few = {k: 1 for k in METHODS[name].Settings.fields() if "epochs" in k}
    settings = preset_settings(name, "live", dict(backbone="resnet18.tv_in1k") | few)
    detector = Detector(name, **settings).fit([stripes(i, size=256) for i in range(24)])
    method = detector.method
    size = detector.settings.size
    image, x = stripes(99, size=256), torch.rand(1, 3, size, size)
    networks, searched = bare_passes(method), search(method, x)

    @torch.no_grad()
    def bare() -> None:
        networks(x)

    @torch.no_grad()
    def products() -> None:
        assert searched is not None
        queries, bank = searched
        for block in queries.split(memory_bank.BLOCK):
            block @ bank.T

    # interleaved, so that a noisy machine is noisy for all of them alike
    spent: dict[str, list[float]] = {"bare": [], "products": [], "detect": []}
    for turn in range(33):
        for key, run in (("bare", bare), ("products", products), ("detect", lambda: detector.detect(image))):
            if key == "products" and searched is None:
                continue
            began = time.process_time()
            run()
            if turn >= 3:
                spent[key].append(time.process_time() - began)
    cost = {k: statistics.median(v) if v else 0.0 for k, v in spent.items()}
    allowed = 1.5 * cost["bare"] + 1.25 * cost["products"]
    with capsys.disabled():
        told = ", ".join(f"{k} {1000 * v:.0f} ms" for k, v in cost.items())
        passes = (cost["detect"] - 1.25 * cost["products"]) / cost["bare"]
        print(f"\ndetect of {name}: {told}; {passes:.2f} passes beyond 1.25 searches")
    assert cost["detect"] <= allowed


@pytest.mark.parametrize("name", METHODS)
def test_peak_memory_of_a_thousand_images(name: str, capsys: pytest.CaptureFixture) -> None:
    """Fits in a process of its own and asks the system for its peak; a few steps of a training need as much as all."""
    program = f"""
import resource, numpy as np
from lab import METHODS, Detector
from lab.bench.runs import preset_settings
rng = np.random.default_rng(0)
base = rng.integers(0, 200, (256, 256, 3), dtype=np.uint8)
known = METHODS[{name!r}].Settings.fields()
settings = preset_settings({name!r}, "live", {{k: 1 for k in known if "epochs" in k}})
good = (base + rng.integers(0, 50, (256, 256, 1), dtype=np.uint8) for _ in range(1000))
Detector({name!r}, **settings).fit(good)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    peak = int(done.stdout.split()[-1])
    with capsys.disabled():
        print(f"\nfit of {name} on 1,000 images: peak {peak} MB")
    assert peak < 3000
