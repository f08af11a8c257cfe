"""The contract, over every entry of METHODS and every component: a new method is tested without a new test."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from conftest import stripes

from lab import METHODS, Cancelled, LabError
from lab.method import BaseSettings, Method
from lab.parts.train import Pictures

METHOD = pytest.mark.parametrize("name", METHODS)
COMPONENTS = [
    (name, row)
    for name, kind in METHODS.items()
    for row in list(kind.ablations(kind.presets()["live"]))[1:]
]  # fmt: skip


def quick(kind: type[Method], base: BaseSettings) -> BaseSettings:
    """Settings that fit in a second: small pictures, an epoch, a small coreset."""
    smaller: dict[str, Any] = {"size": 96, "candidates": 400, "batch": 4}
    known = kind.Settings.fields()
    changes = {k: v for k, v in smaller.items() if k in known}
    changes |= {k: 1 for k in known if k.startswith("epochs")}
    return base.replace(**changes)


def pictures(n: int = 8, size: int = 96) -> Pictures:
    held = [torch.from_numpy(stripes(i, size=size)).permute(2, 0, 1) for i in range(n)]
    return Pictures(torch.stack(held))


def fitted(name: str, settings: BaseSettings | None = None, seed: int = 0, **more: Any) -> Method:
    kind = METHODS[name]
    settings = settings or quick(kind, kind.presets()["live"])
    own = {field: getattr(settings, field) for field in kind.Settings.fields()}
    return kind(**own).fit(pictures(), seed=seed, **more)


@pytest.fixture(scope="module")
def full() -> dict[str, Method]:
    """Every method fitted once with its quick live settings."""
    return {name: fitted(name) for name in METHODS}


@pytest.fixture(scope="module")
def tested() -> torch.Tensor:
    held = [torch.from_numpy(stripes(100 + i, defect=i == 1)).permute(2, 0, 1) for i in range(2)]
    return torch.stack(held).float() / 255


@METHOD
def test_tells_about_itself(name: str) -> None:
    kind = METHODS[name]
    families = ("reconstruction", "normalizing flow", "representation", "data augmentation")
    assert kind.title and kind.paper and kind.family in families
    presets = kind.presets()
    assert next(iter(presets)) == "live" and "paper" in presets
    assert all(isinstance(s, kind.Settings) for s in presets.values())
    for field in kind.Settings.fields().values():
        assert field.metadata["help"], field.name
    components = [f for f in kind.Settings.fields().values() if f.metadata["component"]]
    rows = kind.ablations(presets["live"])
    assert next(iter(rows)) == "full" and len(rows) > len(components)


@METHOD
def test_refuses_what_it_does_not_know(name: str) -> None:
    kind = METHODS[name]
    with pytest.raises(TypeError, match="size"):
        kind(no_such_setting=1)
    for value in (100, "96", 8192):  # no multiple of 32, no number, too large
        with pytest.raises(LabError, match="size"):
            kind(size=value)


@METHOD
def test_scores_have_the_contracts_shapes(name: str, full: dict[str, Method], tested: torch.Tensor) -> None:
    scores = full[name].score(tested)
    assert scores.pixel.shape == (2, 96, 96) and scores.pixel.dtype == torch.float32
    assert scores.image.shape == (2,)
    assert torch.isfinite(scores.pixel).all() and torch.isfinite(scores.image).all()
    for view in scores.views.values():
        assert view.shape[0] == 2 and (view.ndim == 3 or view.shape[1] == 3)
    left_out = full[name].score_left_out(pictures()[:2], torch.tensor([0, 1]))
    assert METHODS[name].trains or (left_out is not None and left_out.pixel.shape == (2, 96, 96))


@METHOD
def test_state_restores_the_same_scores(name: str, full: dict[str, Method], tested: torch.Tensor) -> None:
    method = full[name]
    again = METHODS[name](**{f: getattr(method.settings, f) for f in method.settings.fields()}).restore(method.state())
    before, after = method.score(tested), again.score(tested)
    assert torch.equal(before.pixel, after.pixel) and torch.equal(before.image, after.image)
    with pytest.raises(LabError):
        METHODS[name](**{f: getattr(method.settings, f) for f in method.settings.fields()}).restore({})


@METHOD
def test_same_seed_same_state(name: str, full: dict[str, Method]) -> None:
    first, again = full[name].state(), fitted(name).state()
    assert list(first) == list(again)
    assert all(torch.equal(first[k], again[k]) for k in first)


@METHOD
def test_a_second_fit_forgets_the_first(name: str, full: dict[str, Method]) -> None:
    method = fitted(name, seed=5).fit(pictures(), seed=0)
    assert all(torch.equal(v, method.state()[k]) for k, v in full[name].state().items())
    assert method.history == full[name].history


@METHOD
def test_report_can_cancel(name: str) -> None:
    def stop(fraction: float, words: str) -> None:
        raise Cancelled

    with pytest.raises(Cancelled):
        fitted(name, report=stop)


@pytest.mark.parametrize(("name", "row"), COMPONENTS)
def test_every_component_changes_the_map(name: str, row: str, full: dict[str, Method], tested: torch.Tensor) -> None:
    kind = METHODS[name]
    without = quick(kind, kind.ablations(kind.presets()["live"])[row])
    other = fitted(name, without).score(tested).pixel
    whole = full[name].score(tested).pixel
    assert float((other - whole).abs().max()) > 1e-4 * float(whole.abs().max())
