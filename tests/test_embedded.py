"""The embedded backbone and how it is made."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from lab.distill import Targets, distill, error
from lab.errors import LabError
from lab.parts.embedded import Embedded
from lab.parts.features import imagenet_norm
from lab.parts.lessons import Lessons
from lab.parts.narrow import narrow, settle

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
    told = json.loads(metadata["lab"])
    assert metadata["lab"] == json.dumps(told, sort_keys=True)
    assert told["teacher"] == "resnet18.tv_in1k" and len(told["sha256"]) == 64 and told["crops"] > 0


def test_readme_names_the_files_hash() -> None:
    assert hashlib.sha256(FILE.read_bytes()).hexdigest() in (WEIGHTS / "README.md").read_text()


@pytest.mark.parametrize("size", [(64, 64), (96, 160), (70, 50)])
def test_shapes(embedded: Embedded, size: tuple[int, int]) -> None:
    levels = embedded(torch.randn(2, 3, *size))
    for f, c, s in zip(levels, Embedded.channels, Embedded.strides, strict=True):
        assert f.shape == (2, c, -(-size[0] // s), -(-size[1] // s)) and f.dtype == torch.float32


def test_levels_are_on_one_scale(embedded: Embedded) -> None:
    """The promise of `Embedded`: mean squared distance of random patches about 2 at every level."""
    maps = embedded(Lessons(None, 5).batch(32, 64, 0))
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


def test_error_is_one_for_a_constant_and_zero_for_the_teacher() -> None:
    torch.manual_seed(0)
    maps = [torch.randn(6, c, n, n) for c, n in ((8, 16), (12, 8), (16, 4))]
    targets = Targets(maps, (8, 12, 16))
    wanted = targets(maps)
    assert [float(e) for e in error(wanted, wanted, targets, 2)] == [0, 0]
    features, change = error([torch.zeros_like(t) for t in wanted], wanted, targets, 2)
    assert float(features) == pytest.approx(1, abs=1e-3) and float(change) == pytest.approx(1, abs=1e-2)


def test_pairs_differ_by_a_defect_only() -> None:
    x = Lessons(None, 3).batch(20, 64, 10)
    changed = (x[10:] - x[:10]).abs().amax(1) > 1e-6
    share = changed.float().mean((1, 2))
    assert (share > 0).sum() >= 8 and share.mean() < 0.25
    again = Lessons(None, 3).batch(20, 64, 10)
    assert torch.equal(x, again)


def test_narrow_start_beats_chance() -> None:
    """The folded, narrowed ResNet with fitted heads explains its teacher better than fitted heads on random weights;
    live BatchNorm statistics show that folding is right."""
    timm = pytest.importorskip("timm")
    torch.manual_seed(0)
    teacher = timm.create_model("resnet18.tv_in1k", pretrained=False, features_only=True, out_indices=(1, 2, 3))
    x = Lessons(None, 0).batch(16, 64, 0)
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
            narrow(teacher, student, x)
        settle(student, x, wanted)
        with torch.no_grad():
            wrong.append(float(error(student(x), wanted, targets, 1)[0]))
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
    x = Lessons(None, 0).batch(16, 128, 0)
    narrow(teacher, student, x)
    with torch.no_grad():
        for head, width in zip(student.heads, student.widths, strict=True):
            head.weight.copy_(torch.eye(width)[:, :, None, None])
            head.bias.zero_()
        for ours, theirs in zip(student(x), teacher(x), strict=True):
            assert (ours - theirs).norm() < 1e-2 * theirs.norm()


def test_distilling_lowers_the_error_and_repeats(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lab.distill.SIDE", 64)
    monkeypatch.setattr("lab.distill.FIRST", 4)
    said: list[float] = []
    course = distill(Tiny(), None, tmp_path / "a.safetensors", crops=800, report=lambda f, words: said.append(f))
    assert course[-1][0] < 0.9 * course[0][0] and course[-1][1] < course[0][1]
    assert said[0] == 0 and said[-1] == 1 and said == sorted(said)
    distill(Tiny(), None, tmp_path / "b.safetensors", crops=48)
    distill(Tiny(), None, tmp_path / "c.safetensors", crops=48)
    assert (tmp_path / "b.safetensors").read_bytes() == (tmp_path / "c.safetensors").read_bytes()
    Embedded().load_state_dict(safetensors.torch.load_file(tmp_path / "b.safetensors"))


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(LabError, match="nothing.safetensors"):
        distill(tmp_path / "nothing.safetensors", None, tmp_path / "out.safetensors")
    with pytest.raises(LabError, match="holds no pictures"):
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
    """Nearest-neighbour distance to patches of twelve sound pictures, image AUROC over three draws."""
    torch.manual_seed(0)
    nets, auroc = {"embedded": embedded, "random": Embedded().eval()}, {"embedded": 0.0, "random": 0.0}
    for x in map(scratched, (2, 3, 4)):
        for name, net in nets.items():
            with torch.no_grad():
                f = nn.functional.avg_pool2d(net(x)[1], 3, 1, 1)[:, :, 1:-1, 1:-1]
            z = f.permute(0, 2, 3, 1).flatten(1, 2)
            bank = z[:12].flatten(0, 1)
            score = torch.stack([torch.cdist(q, bank).amin(1).max() for q in z[12:]])
            auroc[name] += float((score[12:, None] > score[None, :12]).float().mean()) / 3
    assert auroc["embedded"] > 0.75
    assert auroc["embedded"] > auroc["random"] + 0.2
