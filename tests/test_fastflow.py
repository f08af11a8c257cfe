"""FastFlow: the flow is a bijection whose log-determinant is autograd's; the loss and the map by hand."""

from __future__ import annotations

import math

import pytest
import torch
from conftest import stripes

from lab.image_stack import ImageStack
from lab.methods.fastflow import CLAMP, FastFlow, Flow, Step, flow_loss, likelihood_map

SMALL = dict(size=64, steps=2, epochs=3, batch_size=4)


def stirred(flow: torch.nn.Module) -> torch.nn.Module:
    """Away from its start, where it only permutes."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for p in flow.parameters():
            p.copy_(torch.randn(p.shape, generator=generator) * 0.5)
    return flow.double()


@pytest.fixture(scope="module")
def good() -> ImageStack:
    return ImageStack(torch.stack([torch.from_numpy(stripes(i, size=64)).permute(2, 0, 1) for i in range(8)]))


@pytest.mark.parametrize("channels", [4, 5])
def test_inverse_undoes_forward(channels: int) -> None:
    flow = stirred(Flow(channels, 4))
    x = torch.randn(3, channels, 6, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    z, _ = flow(x)
    assert torch.allclose(flow.inverse(z), x, atol=1e-9) and not torch.allclose(z, x, atol=0.1)


@pytest.mark.parametrize("channels", [4, 5])
def test_log_determinant_is_autograds(channels: int) -> None:
    flow = stirred(Flow(channels, 3))
    x = torch.randn(1, channels, 3, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    jacobian = torch.autograd.functional.jacobian(lambda v: flow(v.view_as(x))[0].flatten(), x.flatten())
    assert flow(x)[1].item() == pytest.approx(torch.linalg.slogdet(jacobian).logabsdet.item())


def test_a_coupling_by_hand() -> None:
    # first convolution x_1, last (2, 3) times it; x = (1, 5): s = 2 * 2/pi * atan(2/2) = 1, b = 3: 5e + 3
    step = Step(2, 1, 1.0)
    step.order = torch.tensor([0, 1])
    with torch.no_grad():
        for p, values in zip(step.subnet.parameters(), ([1.0], [0.0], [2.0, 3.0], [0.0, 0.0]), strict=True):
            p.copy_(torch.tensor(values).view(p.shape))
    y, log_det = step(torch.tensor([1.0, 5.0]).view(1, 2, 1, 1))
    assert y.flatten().tolist() == pytest.approx([1, 5 * math.e + 3]) and log_det.item() == pytest.approx(1)


def test_scales_are_bounded() -> None:
    step = Step(4, 3, 1.0)
    torch.nn.init.constant_(step.subnet[-1].bias, 1e6)
    s, _ = step.scale_and_shift(torch.randn(1, 2, 4, 4))
    assert s.max() <= CLAMP and s.min() > 0.99 * CLAMP


def test_flow_loss() -> None:
    # |z|^2 = 1 + 4 + 9 + 16 = 30, log det 3, four dimensions: (15 - 3) / 4 = 3
    z = torch.tensor([1.0, 2, 3, 4]).view(1, 2, 1, 2)
    assert flow_loss(z, torch.tensor([3.0])).item() == pytest.approx(3)


def test_likelihood_map() -> None:
    # z = (0, 2): mean of -z^2/2 over channels = -1: -exp(-1); z = 0: -1
    z = torch.tensor([[0.0, 0.0], [2.0, 0.0]]).view(1, 2, 1, 2)
    assert likelihood_map(z).flatten().tolist() == pytest.approx([-math.exp(-1), -1])


def test_it_learns_and_finds_a_blot(good: ImageStack) -> None:
    method = FastFlow(**(SMALL | {"epochs": 12, "size": 64})).fit(good)
    loss = method.history["loss"]
    assert loss[-1] < loss[0]
    bad = torch.stack([torch.from_numpy(stripes(50 + i, defect=i > 0, size=64)).permute(2, 0, 1) for i in range(4)])
    scores = method.score(bad.float() / 255)
    assert scores.anomaly_map.shape == (4, 64, 64) and scores.anomaly_map.min() >= -1 and scores.anomaly_map.max() <= 0
    assert scores.image_score[1:].min() > scores.image_score[0]
