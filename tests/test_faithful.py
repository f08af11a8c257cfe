"""The papers as a whole: no equation without its test, every backbone a paper names, curves kept with the detector."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
import safetensors.torch
import torch
from conftest import stripes

from lab import METHODS, Detector, equations
from lab.methods.cdo import CDO
from lab.parts import features, maps

# The numbered equations of the four papers. What is missing is a case of one that stands here (`covers`: CDO's (4) and
# (5), Local OCC's (3)), a mean of squares or (13) again within (14) and (17) (RB-AE's (12), (15), (16)), or computes
# nothing.
EQUATIONS = dict(
    cdo={3, 6, 7, 8, 10},
    smcc={3, 4, 5, 6, 7, 8},
    rb_ae={1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 14, 17},
    local_occ={1, 2, 5},
)
WITHOUT_FUNCTION = {("padim", "1")}  # settings whose equation no function computes: the covariance is summed in parts


@pytest.mark.parametrize("method", EQUATIONS)
def test_every_equation_is_a_function(method: str) -> None:
    assert EQUATIONS[method] == {n for e in equations.equations_of(method) for n in e.numbers}


def test_an_equation_is_registered_where_its_method_finds_it() -> None:
    for registered in equations.REGISTRY:
        module = registered.function.__module__
        assert module.startswith(("lab.parts.", METHODS[registered.method].__module__.rpartition(".")[0])), registered
        assert not (registered.function.__doc__ or "").startswith("Eq. (")  # number and formula stand once


def test_every_equation_is_called_in_a_test() -> None:
    called: set[str] = set()
    for path in Path(__file__).parent.glob("test_*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call):
                called.add(getattr(node.func, "id", getattr(node.func, "attr", "")))
    # what composes them is tested as a method is: the functions of a class are not asked for
    pure = {e.function.__name__ for e in equations.REGISTRY if e.function.__qualname__ == e.function.__name__}
    assert len(pure) > 20 and pure <= called


def test_every_equation_of_a_setting_has_its_formula() -> None:
    for name, method_class in METHODS.items():
        for field in method_class.Settings.fields().values():
            if number := field.metadata["eq"]:
                alone = equations.formula(name, number) == f"Eq. ({number})"
                assert alone == ((name, number) in WITHOUT_FUNCTION), (name, number)


def test_formulas_are_texts() -> None:
    formula = equations.formula
    assert formula("cdo", "6-7") == "Eq. (6)-(7): w_n = (d/mu_n)^gamma, w_s = (d/mu_s)^-gamma"
    assert formula("cdo", "7") == formula("cdo", "6-7") and formula("padim", "1") == "Eq. (1)"
    assert formula("cdo", "5") == ("Eq. (5) within Eq. (8): L = (sum w_n d_n - sum w_s d_s) / (sum w_n + sum w_s)")
    assert formula("rb_ae", "1") == "Eq. (1): I_ad = I_o (1 - M) + I_n M"
    assert formula("rb_ae", "3-8") == (  # the first two
        "Eq. (3): S_ij = <f_d^i, f_ref^j> / (|f_d^i| |f_ref^j|); Eq. (4): a_ij = exp(t S_ij) / sum_j exp(t S_ij)"
    )
    assert "autoencoder" not in {e.method for e in equations.REGISTRY}  # though it shares RB-AE's networks


# CDO -----------------------------------------------------------------------------------------------------------------


def test_cdos_map_is_the_sum_over_hierarchies(monkeypatch: pytest.MonkeyPatch) -> None:
    # Eq. (10): hierarchies of 1, 2 and 0.5 everywhere add up to 3.5, at every pixel and as the image's score
    levels = [torch.full((2, 16, 16), value) for value in (1.0, 2.0, 0.5)]
    monkeypatch.setattr(CDO, "discrepancies", lambda self, images, resize: levels)
    scores = CDO(size=64).score(torch.rand(2, 3, 64, 64))
    assert torch.allclose(scores.anomaly_map, torch.full((2, 64, 64), 3.5))
    assert scores.image_score.tolist() == pytest.approx([3.5, 3.5])
    # a cell of 4 x 4 pixels is brought up before it is smoothed, sigma 1 at 64 pixels
    levels[1] = torch.zeros(2, 16, 16)
    levels[1][:, 5, 9] = 1
    wanted = 1.5 + maps.smooth(maps.upsample(levels[1], 64), 1.0)
    assert torch.allclose(CDO(size=64).score(torch.rand(2, 3, 64, 64)).anomaly_map, wanted, atol=1e-6)


def test_cdos_curves_are_kept_with_the_detector(tmp_path: Path) -> None:
    """The paper's Fig. 5b: the mean discrepancies of normal and of synthetic pixels, one pair an epoch."""
    good = [stripes(i) for i in range(12)]
    trained = Detector("cdo", size=96, epochs=4, batch_size=4).fit(good, folds=0)
    normal, synthetic = (trained.method.history[f"d, {kind} pixels"] for kind in ("normal", "synthetic"))
    assert len(normal) == len(synthetic) == 4 and all(0 < value < 4 for value in normal + synthetic)
    assert synthetic[-1] - normal[-1] > synthetic[0] - normal[0]  # the two part
    trained = Detector("cdo", size=96, epochs=1, batch_size=4).fit(good)
    kept = Detector.load(trained.save(tmp_path / "cdo.safetensors")).method.history
    assert kept == trained.method.history and "d, synthetic pixels" in kept
    without = Detector("cdo", size=96, epochs=1, mom=False).fit(good, folds=0).method.history
    assert "d, normal pixels" in without and "d, synthetic pixels" not in without


# Backbones -----------------------------------------------------------------------------------------------------------

CHANNELS = {
    "resnet18.tv_in1k": (64, 128, 256),
    "wide_resnet50_2.tv_in1k": (256, 512, 1024),
    "hrnet_w32.ms_in1k": (32, 64, 128),  # the three finest branches of its last stage
}


@pytest.mark.parametrize("tag", CHANNELS)
def test_a_papers_backbone_carries_its_method(tag: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Built from a file of random weights under the backbone's name: its shapes, and CDO from fit to map upon it."""
    torch.manual_seed(0)
    stored = features.architecture(tag).state_dict()
    safetensors.torch.save_file({k: v.contiguous() for k, v in stored.items()}, tmp_path / f"{tag}.safetensors")
    monkeypatch.setenv("LAB_WEIGHTS", str(tmp_path))
    monkeypatch.setattr(features, "weights_folders", lambda: [])
    expert = features.backbone(tag)
    shapes = [tuple(level.shape) for level in expert(torch.rand(2, 3, 64, 64))]
    assert shapes == [(2, c, 64 // s, 64 // s) for c, s in zip(CHANNELS[tag], (4, 8, 16), strict=True)]
    assert expert.channels == CHANNELS[tag] and expert.tag == tag
    images = torch.stack([torch.from_numpy(stripes(i, size=64)).permute(2, 0, 1) for i in range(4)])
    method = METHODS["cdo"](backbone=tag, size=64, epochs=1, batch_size=2).fit(images)
    scores = method.score(images[:2].float() / 255)
    assert scores.anomaly_map.shape == (2, 64, 64) and torch.isfinite(scores.anomaly_map).all()
    assert method.apprentice is not method.backbone
    assert all(torch.equal(v, stored[k]) for k, v in expert.network.state_dict().items())  # frozen, BatchNorm too
    features._backbone.cache_clear()
