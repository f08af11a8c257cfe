"""The embedded backbone and how it is made."""

from __future__ import annotations

import hashlib
import json
import statistics
import time
from pathlib import Path

import numpy as np
import pytest
import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from lab.distill.distillation_data import DistillationData
from lab.distill.pruning import fit_heads, prune_teacher
from lab.distill.recipe import (
    VARIANCE_FLOOR,
    Muon,
    Targets,
    distill,
    distillation_errors,
    learning_rate_factor,
    orthogonal,
)
from lab.errors import LabError
from lab.parts.embedded import Embedded
from lab.parts.features import architecture, imagenet_norm

WEIGHTS = Path(__file__).parents[1] / "weights"
FILE = WEIGHTS / "embedded.safetensors"


@pytest.fixture(scope="module")
def embedded() -> Embedded:
    net = Embedded().eval()
    net.load_state_dict(safetensors.torch.load_file(FILE))
    return net.requires_grad_(False)


class Tiny(nn.Module):
    """A teacher small enough for a test: random, three strides."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(7)
        self.steps = nn.ModuleList([nn.Conv2d(3, 40, 7, 4, 3), nn.Conv2d(40, 80, 3, 2, 1), nn.Conv2d(80, 160, 3, 2, 1)])

    def forward(self, x: Tensor) -> list[Tensor]:
        maps = []
        for step in self.steps:
            x = torch.relu(step(x))
            maps.append(x)
        return maps


def test_file_is_small_and_tells_its_story() -> None:
    assert FILE.stat().st_size <= 4_000_000
    with safetensors.safe_open(FILE, "pt") as f:
        metadata = f.metadata()
    assert list(metadata) == ["lab"]
    story = json.loads(metadata["lab"])
    assert metadata["lab"] == json.dumps(story, sort_keys=True)
    assert {t.dtype for t in safetensors.torch.load_file(FILE).values()} == {torch.float16}
    assert story["teacher"] == "resnet18.tv_in1k" and len(story["sha256"]) == 64 and story["crops"] > 0


def test_readme_names_the_files_hash() -> None:
    assert hashlib.sha256(FILE.read_bytes()).hexdigest() in (WEIGHTS / "SHA256SUMS").read_text()


@pytest.mark.parametrize("size", [(64, 64), (96, 160), (70, 50)])
def test_shapes(embedded: Embedded, size: tuple[int, int]) -> None:
    levels = embedded(torch.randn(2, 3, *size))
    for f, c, s in zip(levels, Embedded.channels, Embedded.strides, strict=True):
        assert f.shape == (2, c, -(-size[0] // s), -(-size[1] // s)) and f.dtype == torch.float32


def test_levels_are_on_one_scale(embedded: Embedded) -> None:
    """The promise of `Embedded`: mean squared distance of random patches about 2 at every level."""
    maps = embedded(DistillationData(None, 5).batch(32, 64, 0))
    for f in maps:
        z = f.permute(1, 0, 2, 3).flatten(1)
        assert 0.5 < 2 * float(z.var(1).sum()) < 5


def test_targets_keep_distances_and_are_centred() -> None:
    shapes = ((8, 8), (12, 4), (16, 4))
    maps = [torch.randn(4, c, n, n) * torch.linspace(3, 0.1, c)[:, None, None] + 5 for c, n in shapes]
    targets = Targets(maps, (8, 12, 16))  # every direction kept: an isometry but for one factor a level
    for f, t in zip(maps, targets(maps), strict=True):
        a, b = f.permute(0, 2, 3, 1).reshape(-1, f.shape[1]), t.permute(0, 2, 3, 1).reshape(-1, t.shape[1])
        ratio = torch.pdist(b) / torch.pdist(a)
        assert torch.allclose(ratio, ratio[0].expand_as(ratio), rtol=1e-3)
        assert b.mean(0).abs().max() < 1e-3
        assert float(b.pow(2).sum(1).mean()) == pytest.approx(1, rel=1e-3)


def test_errors_by_hand() -> None:
    """Each is 0 for the teacher; the image's own mean gets v / (v + ε) of its variance v, no change at all gets 1."""
    torch.manual_seed(0)
    maps = [torch.randn(6, c, n, n) for c, n in ((8, 16), (12, 8), (16, 4))]
    targets = Targets(maps, (8, 12, 16), power=0)
    wanted = targets(maps)
    assert [float(e) for e in distillation_errors(wanted, wanted, targets, 2)] == [0, 0]
    means = [t.mean((2, 3), keepdim=True).expand_as(t) for t in wanted]
    variances = [(t - m).pow(2).sum(1).mean((1, 2)) for t, m in zip(wanted, means, strict=True)]
    features, change = distillation_errors(means, [t.clone() for t in wanted], targets, 2)
    expected = torch.stack([(v / (v + VARIANCE_FLOOR)).mean() for v in variances]).mean()
    assert float(features) == pytest.approx(float(expected), rel=1e-4)
    change = distillation_errors([torch.zeros_like(t) for t in wanted], wanted, targets, 2)[1]
    assert float(change) == pytest.approx(1, abs=1e-2)


def test_what_is_faint_in_its_image_counts_like_what_is_loud() -> None:
    """An image a hundredth as varied, learned as badly, is no smaller part of the error than ε makes it."""
    torch.manual_seed(0)
    maps = [torch.randn(4, 8, 8, 8) * 3]
    targets = Targets(maps, (8,), power=0)
    loud = targets(maps)[0]
    faint = loud.mean((2, 3), keepdim=True) + 0.5 * (loud - loud.mean((2, 3), keepdim=True))
    share = [float(distillation_errors([0.9 * (t - m) + m], [t], targets, 1)[0])
             for t in (loud, faint) for m in [t.mean((2, 3), keepdim=True)]]  # fmt: skip
    assert share[1] > 0.7 * share[0]  # a plain mean of squares would say 0.25


def test_muon_turns_every_direction_alike() -> None:
    torch.manual_seed(0)
    for shape in ((6, 40), (40, 6)):
        g = torch.randn(shape) @ torch.diag(torch.logspace(0, -1.5, shape[1]))
        u, _, v = torch.linalg.svd(g, full_matrices=False)
        q = orthogonal(g)
        assert torch.linalg.svdvals(q).sub(1).abs().max() < 0.35
        assert float((q * (u @ v)).sum()) > 0.85 * min(shape)  # the nearest orthogonal matrix, nearly
    weight = nn.Parameter(torch.randn(8, 4, 3, 3))
    before = weight.detach().clone()
    optimiser = Muon([weight], lr=0.01)
    weight.pow(2).sum().backward()
    optimiser.step()
    moved = (weight.detach() - before).norm() / before.norm()
    assert 0.006 < float(moved) < 0.013 and weight.norm() < before.norm()


def test_rates_rise_and_fall() -> None:
    course = [learning_rate_factor(i, 1000) for i in range(1001)]
    assert course[0] == pytest.approx(1 / 50) and course[500] == pytest.approx(0.5) and course[1000] == 0
    assert course[:47] == sorted(course[:47]) and course[50:] == sorted(course[50:], reverse=True)


def test_pairs_differ_by_a_defect_only() -> None:
    x = DistillationData(None, 3).batch(20, 64, 10)
    changed = (x[10:] - x[:10]).abs().amax(1) > 1e-6
    share = changed.float().mean((1, 2))
    assert (share > 0).sum() >= 8 and share.mean() < 0.25
    again = DistillationData(None, 3).batch(20, 64, 10)
    assert torch.equal(x, again)


def test_narrow_start_beats_chance() -> None:
    """The folded, narrowed ResNet with fitted heads explains its teacher better than fitted heads on random weights;
    live BatchNorm statistics show that folding is right."""
    timm = pytest.importorskip("timm")
    torch.manual_seed(0)
    teacher = timm.create_model("resnet18.tv_in1k", pretrained=False, features_only=True, out_indices=(1, 2, 3))
    x = DistillationData(None, 0).batch(16, 64, 0)
    teacher.train()
    with torch.no_grad():
        for _ in range(10):
            teacher(x)
        teacher.eval()
        maps = teacher(x)
    targets = Targets(maps, Embedded.channels)
    wanted = targets(maps)
    wrong = []
    for start in (True, False):
        torch.manual_seed(1)
        student = Embedded()
        if start:
            prune_teacher(teacher, student, x)
        fit_heads(student, x, wanted)
        with torch.no_grad():
            wrong.append(float(distillation_errors(student(x), wanted, targets, 1)[0]))
    assert wrong[0] < 0.8 * wrong[1]


def test_narrowing_nothing_away_is_folding_batchnorm(monkeypatch: pytest.MonkeyPatch) -> None:
    """With every channel kept the narrowed network gives the teacher's own maps: BatchNorm was folded without loss."""
    timm = pytest.importorskip("timm")
    torch.manual_seed(0)
    teacher = timm.create_model("resnet18.tv_in1k", pretrained=False, features_only=True, out_indices=(1, 2, 3))
    for m in teacher.modules():
        if isinstance(m, nn.BatchNorm2d):
            nn.init.uniform_(m.weight, 0.5, 1.5)
            nn.init.normal_(m.bias, 0.2, 0.2)
            m.running_mean.normal_(0, 0.2)  # type: ignore[union-attr]
            m.running_var.uniform_(0.5, 2)  # type: ignore[union-attr]
    teacher.eval()
    monkeypatch.setattr(Embedded, "widths", (64, 128, 256))
    monkeypatch.setattr(Embedded, "channels", (64, 128, 256))
    student = Embedded()
    x = DistillationData(None, 0).batch(16, 128, 0)
    prune_teacher(teacher, student, x)
    with torch.no_grad():
        for head, width in zip(student.heads, student.widths, strict=True):
            head.weight.copy_(torch.eye(width)[:, :, None, None])
            head.bias.zero_()
        for ours, theirs in zip(student(x), teacher(x), strict=True):
            assert (ours - theirs).norm() < 1e-2 * theirs.norm()


def test_distilling_lowers_the_error_and_repeats(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lab.distill.recipe.SIDE", 64)
    monkeypatch.setattr("lab.distill.recipe.START_BATCHES", 4)
    fractions: list[float] = []
    history = distill(
        Tiny(), None, tmp_path / "a.safetensors", crops=800, report=lambda f, message: fractions.append(f)
    )
    assert history[-1][0] < 0.95 * history[0][0] and history[-1][1] < history[0][1]
    assert fractions[0] == 0 and fractions[-1] == 1 and fractions == sorted(fractions)
    distill(Tiny(), None, tmp_path / "b.safetensors", crops=48)
    distill(Tiny(), None, tmp_path / "c.safetensors", crops=48)
    assert (tmp_path / "b.safetensors").read_bytes() == (tmp_path / "c.safetensors").read_bytes()
    Embedded().load_state_dict(safetensors.torch.load_file(tmp_path / "b.safetensors"))


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(LabError, match="nothing.safetensors"):
        distill(tmp_path / "nothing.safetensors", None, tmp_path / "out.safetensors")
    other = tmp_path / "other.safetensors"
    safetensors.torch.save_file({"mean": torch.zeros(3)}, other)
    with pytest.raises(LabError, match=r"other.safetensors lacks \d+ tensors of resnet18"):
        distill(other, None, tmp_path / "out.safetensors")
    with pytest.raises(LabError, match="holds no images"):
        distill(Tiny(), tmp_path, tmp_path / "out.safetensors")


def scratched(seed: int) -> Tensor:
    """24 sound and 12 faintly scratched grainy grey surfaces in uneven light, normalised."""
    dice = np.random.default_rng(seed)

    def surface(scratch: bool) -> np.ndarray:
        p = 0.5 + 0.1 * dice.standard_normal((128, 128)) + dice.uniform(-0.3, 0.3) * np.linspace(-1, 1, 128)
        if scratch:
            i, n = dice.integers(24, 100, 2)
            p[i : i + 2, n - 20 : n + 20] -= 0.22
        return np.repeat(p[None].clip(0, 1), 3, 0).astype(np.float32)

    return imagenet_norm(torch.from_numpy(np.stack([surface(i >= 24) for i in range(36)])))


def test_finds_defects_that_random_weights_miss(embedded: Embedded) -> None:
    """Nearest-neighbour distance to patches of twelve sound images, image AUROC over three draws; random: the mean of
    three networks."""
    nets = [embedded]
    for seed in range(3):
        torch.manual_seed(seed)
        nets.append(Embedded().eval())
    auroc = [0.0] * len(nets)
    for x in map(scratched, (2, 3, 4)):
        for i, net in enumerate(nets):
            with torch.no_grad():
                f = nn.functional.avg_pool2d(net(x)[1], 3, 1, 1)[:, :, 1:-1, 1:-1]
            z = f.permute(0, 2, 3, 1).flatten(1, 2)
            bank = z[:12].flatten(0, 1)
            score = torch.stack([torch.cdist(q, bank).amin(1).max() for q in z[12:]])
            auroc[i] += float((score[12:, None] > score[None, :12]).float().mean()) / 3
    assert auroc[0] > 0.8
    assert auroc[0] > sum(auroc[1:]) / 3 + 0.15


@pytest.mark.slow
def test_time_per_image(embedded: Embedded, capsys: pytest.CaptureFixture) -> None:
    """Median processor time of one thread, turn by turn in one process; random weights cost the teacher's time."""
    pytest.importorskip("timm")
    nets = {"embedded": embedded, "teacher": architecture("resnet18.tv_in1k").eval()}
    for count in (1, 8):
        x, spent = torch.randn(count, 3, 256, 256), {name: [] for name in nets}
        for turn in range(13):
            for name, net in nets.items():
                began = time.process_time()
                with torch.inference_mode():
                    net(x)
                if turn >= 3:
                    spent[name].append(1000 * (time.process_time() - began) / count)
        ours, theirs = (statistics.median(spent[name]) for name in nets)
        with capsys.disabled():
            print(f"\nbatch {count}: {ours:.1f} ms against {theirs:.1f} ({ours / theirs:.2f})")
        assert ours <= 0.4 * theirs
