"""The contract, over every entry of METHODS and every component: a new method is tested without a new test."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import stripes

from lab import METHODS, Cancelled, LabError
from lab import progress as progress_module
from lab.image_stack import ImageStack
from lab.method import BaseSettings, Method

METHOD = pytest.mark.parametrize("name", METHODS)
COMPONENTS = [
    (name, row)
    for name, method_class in METHODS.items()
    for row in list(method_class.ablations(method_class.presets()["live"]))[1:]
]


def quick(method_class: type[Method], base: BaseSettings) -> BaseSettings:
    """Settings that fit in a second: small images, an epoch, a small coreset."""
    smaller: dict[str, Any] = {"size": 96, "candidates": 400, "batch_size": 4}
    known = method_class.Settings.fields()
    changes = {k: v for k, v in smaller.items() if k in known}
    changes |= {k: 1 for k in known if "epochs" in k}
    return base.replace(**changes)


def images(n: int = 8, size: int = 96) -> ImageStack:
    rows = [torch.from_numpy(stripes(i, size=size)).permute(2, 0, 1) for i in range(n)]
    return ImageStack(torch.stack(rows))


def fitted(name: str, settings: BaseSettings | None = None, seed: int = 0, **more: Any) -> Method:
    method_class = METHODS[name]
    settings = settings or quick(method_class, method_class.presets()["live"])
    values = {field: getattr(settings, field) for field in method_class.Settings.fields()}
    return method_class(**values).fit(images(), seed=seed, **more)


@pytest.fixture(scope="module")
def full() -> dict[str, Method]:
    """Every method fitted once with its quick live settings."""
    return {name: fitted(name) for name in METHODS}


@pytest.fixture(scope="module")
def tested() -> torch.Tensor:
    rows = [torch.from_numpy(stripes(100 + i, defect=i == 1)).permute(2, 0, 1) for i in range(2)]
    return torch.stack(rows).float() / 255


@METHOD
def test_tells_about_itself(name: str) -> None:
    method_class = METHODS[name]
    families = ("reconstruction", "normalizing flow", "representation", "data augmentation")
    assert method_class.title and method_class.paper and method_class.family in families
    presets = method_class.presets()
    assert next(iter(presets)) == "live" and "paper" in presets
    assert all(isinstance(s, method_class.Settings) for s in presets.values())
    for field in method_class.Settings.fields().values():
        assert field.metadata["help"], field.name
    components = [f for f in method_class.Settings.fields().values() if f.metadata["component"]]
    rows = method_class.ablations(presets["live"])
    assert next(iter(rows)) == "full" and len(rows) > len(components)


@METHOD
def test_refuses_what_it_does_not_know(name: str) -> None:
    method_class = METHODS[name]
    with pytest.raises(TypeError, match="size"):
        method_class(no_such_setting=1)
    for value in (100, "96", 8192):  # no multiple of 32, no number, too large
        with pytest.raises(LabError, match="size"):
            method_class(size=value)


@METHOD
def test_scores_have_the_contracts_shapes(name: str, full: dict[str, Method], tested: torch.Tensor) -> None:
    scores = full[name].score(tested)
    assert scores.anomaly_map.shape == (2, 96, 96) and scores.anomaly_map.dtype == torch.float32
    assert scores.image_score.shape == (2,)
    assert torch.isfinite(scores.anomaly_map).all() and torch.isfinite(scores.image_score).all()
    for view in scores.views.values():
        assert view.shape[0] == 2 and (view.ndim == 3 or view.shape[1] == 3)
    left_out = full[name].score_left_out(images()[:2], torch.tensor([0, 1]))
    assert METHODS[name].trains or (left_out is not None and left_out.anomaly_map.shape == (2, 96, 96))


class OnGpu(torch.Tensor):
    """Stands for a tensor on a GPU: NumPy cannot read it before `cpu` has copied it."""

    def numpy(self, **options: Any) -> Any:
        raise TypeError("can't convert cuda:0 device type tensor to numpy")

    def cpu(self, *options: Any) -> torch.Tensor:
        return self.as_subclass(torch.Tensor)


@pytest.mark.parametrize("name", [name for name, method_class in METHODS.items() if not method_class.trains])
def test_images_on_a_gpu_are_left_out_as_others_are(name: str, full: dict[str, Method]) -> None:
    """Their content names them too: a batch that `fit` has moved to a GPU finds the features it had on the CPU.

    No GPU is needed: this proves that no image is given to NumPy from its device, not that kernels run there.
    """
    batch, index = images()[:2], torch.tensor([0, 1])
    moved = batch.as_subclass(OnGpu)
    with pytest.raises(TypeError, match="cuda"):
        moved.numpy()
    assert [ImageStack(moved).digest(i) for i in (0, 1)] == [ImageStack(batch).digest(i) for i in (0, 1)]
    before, after = (full[name].score_left_out(x, index) for x in (batch, moved))
    assert before is not None and after is not None and torch.equal(before.anomaly_map, after.anomaly_map.cpu())


@METHOD
def test_state_restores_the_same_scores(name: str, full: dict[str, Method], tested: torch.Tensor) -> None:
    method = full[name]
    again = METHODS[name](**{f: getattr(method.settings, f) for f in method.settings.fields()}).restore(method.state())
    before, after = method.score(tested), again.score(tested)
    assert torch.equal(before.anomaly_map, after.anomaly_map) and torch.equal(before.image_score, after.image_score)
    with pytest.raises(LabError):
        METHODS[name](**{f: getattr(method.settings, f) for f in method.settings.fields()}).restore({})


@METHOD
def test_same_seed_same_state(name: str, full: dict[str, Method]) -> None:
    first, again = full[name].state(), fitted(name).state()
    assert list(first) == list(again)
    assert all(torch.equal(first[k], again[k]) for k in first)


@METHOD
def test_a_second_fit_forgets_the_first(name: str, full: dict[str, Method]) -> None:
    method = fitted(name, seed=5).fit(images(), seed=0)
    assert all(torch.equal(v, method.state()[k]) for k, v in full[name].state().items())
    assert method.history == full[name].history


@METHOD
def test_report_can_cancel(name: str) -> None:
    def stop(fraction: float, message: str) -> None:
        raise Cancelled

    with pytest.raises(Cancelled):
        fitted(name, report=stop)


@pytest.mark.parametrize("name", [name for name, method_class in METHODS.items() if method_class.trains])
def test_a_stopped_training_continues_to_the_same_end(name: str, tmp_path: Path) -> None:
    """And tells epoch, step and loss all the while."""
    method_class, file, messages = METHODS[name], tmp_path / "half", list[str]()
    live = quick(method_class, method_class.presets()["live"])
    settings = live.replace(**{k: 2 for k in live.fields() if "epochs" in k})

    def stop(fraction: float, message: str) -> None:
        messages.append(message)
        if "epoch 2 of" in message:
            raise Cancelled

    with pytest.raises(Cancelled):
        fitted(name, settings, report=stop, resume=file)
    trained = [message for message in messages if "epoch" in message]
    form = r"([a-z0-9 -]+ )?epoch \d of \d, step \d of \d, loss -?\d\S*"
    assert len(trained) > 1 and all(re.match(form, message) for message in trained) and file.exists()
    whole, resumed = fitted(name, settings), fitted(name, settings, resume=file)
    assert not file.exists() and resumed.history == whole.history and resumed.notes == whole.notes
    assert all(torch.equal(v, resumed.state()[k]) for k, v in whole.state().items())


def test_progress_tells_the_time_left(monkeypatch: pytest.MonkeyPatch) -> None:
    # continued at step 4 of 10, half a second a step: 2.5 s left after the fifth, 0.5 s, not reported, after the ninth
    clock = iter([100.0, 100.5, 101.0, 101.5, 102.0, 102.5])
    monkeypatch.setattr(progress_module.time, "monotonic", lambda: next(clock))
    messages: list[tuple[float, str]] = []
    progress = progress_module.Progress(lambda fraction, message: messages.append((fraction, message)), 10, 4)
    for _ in range(5):
        progress.step("epoch")
    assert messages[0] == (0.5, "epoch, 2 s left") and messages[-1] == (0.9, "epoch")


@pytest.mark.parametrize(("name", "row"), COMPONENTS)
def test_every_component_changes_the_map(name: str, row: str, full: dict[str, Method], tested: torch.Tensor) -> None:
    method_class = METHODS[name]
    without = quick(method_class, method_class.ablations(method_class.presets()["live"])[row])
    other = fitted(name, without).score(tested).anomaly_map
    whole = full[name].score(tested).anomaly_map
    assert float((other - whole).abs().max()) > 1e-4 * float(whole.abs().max())
