"""RB-AE and the plain autoencoder: every equation against a number worked by hand, and what the two phases promise."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from conftest import stripes
from PIL import Image
from torch import Tensor

from lab.errors import Cancelled, LabError
from lab.image_stack import ImageStack
from lab.methods.autoencoder import Autoencoder, residual
from lab.methods.rb_ae import RBAE, perceptual, rb_ae, rbam, synthetic_defects
from lab.parts import autoencoding as ae
from lab.parts import features, textures
from lab.parts.random_numbers import perlin

TINY = dict(size=64, width=0.125, perceptual="none", epochs_1=1, epochs_2=1, batch_size=4)


def gen(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=gen(seed))


def surfaces(n: int = 6) -> ImageStack:
    return ImageStack(torch.stack([torch.from_numpy(stripes(i, size=64)).permute(2, 0, 1) for i in range(n)]))


@pytest.fixture(scope="module")
def tested() -> Tensor:
    return torch.from_numpy(stripes(100, defect=True, size=64)).permute(2, 0, 1)[None].float() / 255


@pytest.fixture(scope="module")
def full() -> RBAE:
    return RBAE(**TINY).fit(surfaces())


# ---- synthetic defects


def test_eq_1_is_a_hard_composite() -> None:
    # inside M the texture (0.8), outside the image (0.2); with beta 0.25 inside 0.75 * 0.8 + 0.25 * 0.2 = 0.65
    I_o, I_n, M = torch.full((3, 1, 2), 0.2), torch.full((3, 1, 2), 0.8), torch.tensor([[[True, False]]])
    assert synthetic_defects.composite(I_o, I_n, M)[0, 0].tolist() == pytest.approx([0.8, 0.2])
    assert synthetic_defects.composite(I_o, I_n, M, 0.25)[0, 0].tolist() == pytest.approx([0.65, 0.2])


def test_perlin_noise_vanishes_at_its_grid_and_is_smooth() -> None:
    noise = perlin(64, (4, 8), gen())
    assert noise[::16, ::8].abs().max() < 1e-6  # the offset from a corner is zero at that corner
    assert 0.5 < noise.abs().max() < 1.5
    assert noise.diff(dim=0).abs().max() < 0.35  # a cell is 16 high
    # in the middle of one cell every fade is 1/2: sqrt 2 * mean of the four gradients' products with (+-1/2, +-1/2)
    angle = 2 * math.pi * torch.rand(2, 2, generator=gen(3))
    offset = torch.tensor([0.5, -0.5])
    middle = math.sqrt(2) * (angle.sin() * offset[:, None] + angle.cos() * offset).mean()
    assert perlin(64, (1, 1), gen(3))[32, 32].item() == pytest.approx(middle.item(), abs=1e-6)


def test_masks_are_draems() -> None:
    # without the turn 4 % are empty and the mean area is 5.5 % (METHODS: measured on the official code)
    g, blobs = gen(), []
    for _ in range(400):
        cells = tuple(2 ** int(torch.randint(6, (1,), generator=g)) for _ in range(2))
        blobs.append(perlin(64, cells, g) > 0.5)
    share = torch.stack(blobs).flatten(1).float().mean(1)
    assert 0.01 < (share == 0).float().mean() < 0.08 and 0.045 < share.mean() < 0.065
    assert all(synthetic_defects.mask(64, g).any() for _ in range(60))


def test_defects_lie_in_their_mask() -> None:
    images = surfaces()[:4]
    draw, description = textures.source("procedural")
    defective, M = synthetic_defects.defective(images, gen(), draw)
    outside = ~M[:, None].expand_as(defective)
    assert "procedural" in description and torch.equal(defective[outside], images[outside])
    assert (defective != images).any(1)[M].float().mean() > 0.9 and defective.min() >= 0 and defective.max() <= 1
    again = synthetic_defects.defective(images, gen(), draw)
    assert torch.equal(defective, again[0]) and torch.equal(M, again[1])
    clean, none = synthetic_defects.defective(images, gen(), draw, p_clean=1.0)
    assert torch.equal(clean, images) and not none.any()


def test_every_drawn_texture_and_change_is_a_image() -> None:
    g, image = gen(), (surfaces()[0][0] * 255).to(torch.uint8)
    for _ in range(40):
        texture = synthetic_defects.augment(textures.procedural(image, g), g)
        assert texture.shape == (3, 64, 64) and texture.dtype == torch.uint8
    assert textures.drawn_texture(64, g).std() > 0
    moved = textures.shuffled_pieces(image, g)
    assert torch.equal(moved.flatten(1).sort().values, image.flatten(1).sort().values)
    assert not torch.equal(moved, image)


def test_the_folder_of_textures_is_named_or_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LAB_TEXTURES", raising=False)
    with pytest.raises(LabError, match="LAB_TEXTURES"):
        RBAE(**TINY | {"source": "folder"}).fit(surfaces())
    Image.new("RGB", (80, 50), (10, 200, 30)).save(tmp_path / "green.png")
    monkeypatch.setenv("LAB_TEXTURES", str(tmp_path))
    draw, description = textures.source("folder")
    assert description.startswith("1 images") and draw(torch.zeros(3, 64, 64), gen())[:, 5, 5].tolist() == [10, 200, 30]


# ---- RBAM


def test_eq_3_is_the_cosine() -> None:
    # (3, 4) and (4, 3): 24 / 25 = 0.96; with (-3, -4): -1
    S = rbam.similarity(torch.tensor([[[3.0, 4.0]]]), torch.tensor([[4.0, 3.0], [-3.0, -4.0]]))
    assert S.flatten().tolist() == pytest.approx([0.96, -1])


def test_eq_4_sums_to_one() -> None:
    # t = 10, S = (1, 0.9): e^10 / (e^10 + e^9) = 1 / (1 + e^-1) = 0.7311; t = 1: 1 / (1 + e^-0.1) = 0.5250
    S = torch.tensor([1.0, 0.9])
    assert rbam.attention(S, 10)[0].item() == pytest.approx(0.7311, abs=1e-4)
    assert rbam.attention(S, 1)[0].item() == pytest.approx(0.5250, abs=1e-4)
    a = rbam.attention(random(2, 30, 20), 10)
    assert torch.allclose(a.sum(-1), torch.ones(2, 30))


def test_eq_5_by_hand() -> None:
    # K = 1: patches are pixels. F_d = (1, 0) everywhere, F_ref = (2, 0) and (0, 4): S = (1, 0); t = ln 3 weighs them
    # 3 : 1, so the repaired feature is 0.75 (2, 0) + 0.25 (0, 4) = (1.5, 1)
    F_d = torch.tensor([1.0, 0.0]).view(1, 2, 1, 1).expand(1, 2, 1, 2)
    F_ref = torch.tensor([[2.0, 0.0], [0.0, 4.0]]).view(1, 2, 1, 2)
    repaired = rbam.repaired(F_d, F_ref, 1, math.log(3))
    assert torch.allclose(repaired, torch.tensor([1.5, 1.0]).view(1, 2, 1, 1).expand(1, 2, 1, 2))


@pytest.mark.parametrize("K", [2, 4])
def test_a_reference_like_the_input_gives_it_back(K: int) -> None:
    F_d = random(1, 16, 8, 8)
    assert torch.allclose(rbam.repaired(F_d, F_d, K, 50), F_d, atol=1e-4)
    odd = random(1, 16, 6, 6)  # 4 does not divide 6
    assert torch.allclose(rbam.repaired(odd, odd, K, 50), odd, atol=1e-4)
    blurred = rbam.repaired(F_d, F_d, K, 1)  # t = 1, as printed: nearly the mean of all patches
    assert (blurred - F_d).square().mean() > 0.3


def test_eq_3_to_5_agree_with_loops() -> None:
    F_d, F_ref, K, t = random(1, 3, 4, 8, seed=1), random(1, 3, 4, 8, seed=2), 2, 10.0
    cut = lambda f, i, j: f[0, :, K * i : K * i + K, K * j : K * j + K]
    places, wanted = [(i, j) for i in range(2) for j in range(4)], torch.empty(1, 3, 4, 8)
    for i, j in places:
        cosines = [F.cosine_similarity(cut(F_d, i, j).flatten(), cut(F_ref, *p).flatten(), dim=0) for p in places]
        weights = torch.softmax(t * torch.stack(cosines), 0)
        mixed = sum(w * cut(F_ref, *p) for w, p in zip(weights, places, strict=True))
        wanted[0, :, K * i : K * i + K, K * j : K * j + K] = mixed
    assert torch.allclose(rbam.repaired(F_d, F_ref, K, t), wanted, atol=1e-5)


def test_eq_6_to_8() -> None:
    # logits ln(1, 2, 5) weigh 1/8, 2/8, 5/8: 0.125 * 8 + 0.25 * 4 + 0.625 * 16 = 12
    maps = torch.tensor([8.0, 4.0, 16.0]).view(1, 3, 1, 1, 1)
    logits = torch.tensor([1.0, 2.0, 5.0]).log().view(1, 3, 1, 1, 1)
    assert rbam.fused(maps, logits).item() == pytest.approx(12)
    # weights sum to one at every channel and place: three equal maps come out as they went in
    ffm, same = rbam.FFM(6, 4), random(2, 6, 5, 5)
    assert torch.allclose(ffm(same, same, same), same, atol=1e-6)
    # Eq. (6): only the sum U reaches the weights, so exchanging the inputs exchanges no weight
    a, b, c = (random(1, 6, 5, 5, seed=i) for i in range(3))
    ffm.eval()
    weights = torch.softmax(ffm.expand(ffm.squeeze(a + b + c)).unflatten(1, (3, 6)), 1)
    assert torch.allclose(ffm(c, a, b), weights[:, 0] * c + weights[:, 1] * a + weights[:, 2] * b, atol=1e-6)


# ---- losses


def test_eq_2_by_hand() -> None:
    # one layer of 2 x 2, one channel: differences (0, 1, 2, 1) -> R = (0, 1, 4, 1), N = R / 4 =
    # (0, 0.25, 1, 0.25); M of 4 x 4 covers the lower left quarter and half of the lower right: M_l = (0, 0, 1, 0.5);
    # squares (0, 0.0625, 0, 0.0625), mean 0.03125
    normal = torch.zeros(1, 1, 2, 2)
    defective = torch.tensor([0.0, 1.0, 2.0, 1.0]).view(1, 1, 2, 2)
    M = torch.zeros(1, 4, 4, dtype=torch.bool)
    M[0, 2:, :3] = True
    assert rb_ae.pixel_discrepancy([normal], [defective], M).item() == pytest.approx(0.03125)
    # a second layer that sees exactly M_l costs nothing: the mean over layers halves
    exact = torch.tensor([0.0, 0.0, 1.0, 0.5]).sqrt().view(1, 1, 2, 2)
    assert rb_ae.pixel_discrepancy([normal, normal], [defective, exact], M).item() == pytest.approx(0.015625)


def test_eq_2_skips_empty_masks() -> None:
    normal, defective = random(2, 3, 4, 4), random(2, 3, 4, 4, seed=1).requires_grad_()
    M = torch.zeros(2, 8, 8, dtype=torch.bool)
    assert rb_ae.pixel_discrepancy([normal], [defective], M).item() == 0
    M[1, :3] = True
    alone = rb_ae.pixel_discrepancy([normal[1:]], [defective[1:]], M[1:])
    both = rb_ae.pixel_discrepancy([normal], [defective], M)
    both.backward()
    assert both.item() == pytest.approx(alone.item()) and defective.grad is not None
    assert not defective.grad[0].any() and defective.grad[1].any()


def test_eq_9_is_a_mean_over_three_layers() -> None:
    # squared differences 1, 4, 4: (1 + 4 + 4) / 3 = 3, not / 2 as printed
    F_o = [torch.zeros(1, 2, 2, 2)] * 3
    assert rb_ae.feature_repair([torch.full((1, 2, 2, 2), v) for v in (1.0, 2.0, -2.0)], F_o).item() == pytest.approx(3)


def test_eq_10_is_the_focal_loss() -> None:
    # p(defect) = 0.8 everywhere; two pixels, one a defect: -(0.2^2) ln 0.8 = 0.008926 and -(0.8^2) ln 0.2 = 1.030041,
    # mean 0.519483. (The smoothing of 1e-5 changes the fifth digit.)
    logits = torch.tensor([0.0, math.log(4)]).view(1, 2, 1, 1).expand(1, 2, 1, 2)
    M = torch.tensor([[[True, False]]])
    assert rb_ae.segmentation([logits], M).item() == pytest.approx(0.519483, abs=1e-4)
    # one pixel of 2 x 2 is a defect: the pooled pixel is one; both scales right and sure cost nothing
    M = torch.tensor([[[True, False], [False, False]]])
    sure = 60 * (2 * M.float() - 1)
    fine, coarse = torch.stack([-sure, sure], 1), torch.tensor([-60.0, 60.0]).view(1, 2, 1, 1)
    loss = rb_ae.segmentation([fine, coarse], M)
    assert 0 <= loss.item() < 1e-9
    # and surely wrong is finite: p = 1e-5, -ln p = 11.5129
    assert rb_ae.segmentation([-coarse], M).item() == pytest.approx(11.5129, abs=1e-3)


def test_eq_11_fuses_with_0_2_0_2_0_6() -> None:
    AM = [torch.full((1, 8, 8), 1.0), torch.full((1, 4, 4), 0.5), torch.full((1, 2, 2), 0.25)]
    assert torch.allclose(rb_ae.fusion(AM), torch.full((1, 8, 8), 0.2 + 0.1 + 0.15))


def test_eq_12_to_17() -> None:
    one, two, three, four = (torch.tensor(float(v)) for v in (1, 2, 3, 4))
    assert rb_ae.phase_1(one, two, three).item() == 105  # 100 + 2 + 3
    assert rb_ae.phase_2(one, two, three, four).item() == 109
    # Eq. (13): two maps, mean absolute differences 1 and 0.5, mean 0.75
    original = [torch.zeros(1, 1, 2, 2), torch.zeros(1, 2, 1, 1)]
    rebuilt = [torch.ones(1, 1, 2, 2), torch.tensor([1.0, 0.0]).view(1, 2, 1, 1)]
    assert perceptual.distance(original, rebuilt).item() == pytest.approx(0.75)


def test_ssim() -> None:
    # equal images 1; two flat ones of 0.25 and 0.75: var = cov = 0, so (2 * 0.1875 + 1e-4) / (0.625 + 1e-4) = 0.6001
    x = torch.rand(2, 3, 32, 32, generator=gen())
    assert torch.allclose(ae.ssim(x, x), torch.ones(2, 32, 32), atol=1e-4)
    flat = torch.full((1, 3, 32, 32), 0.25)
    assert torch.allclose(ae.ssim(flat, 3 * flat), torch.full((1, 32, 32), 0.6001), atol=1e-3)
    inverse = ae.ssim(x, 1 - x)
    assert inverse.mean() < -0.5 and inverse.min() >= -1


def test_image_score_is_a_peak_of_means() -> None:
    # S = 256: one bright pixel is 1 / 441; S = 64: 21 / 4 becomes a window of 5, 1 / 25
    for side, window in ((256, 21), (64, 5)):
        spot = torch.zeros(1, side, side)
        spot[0, side // 2, side // 2] = 1
        assert ae.peak_of_averages(spot, spot.shape[-1]).item() == pytest.approx(1 / window**2)


# ---- the perceptual network


def test_a_perceptual_network_is_never_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAB_WEIGHTS", str(tmp_path))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("huggingface_hub.hf_hub_download", lambda *a: (_ for _ in ()).throw(OSError("offline")))
    with pytest.raises(LabError, match="vgg16"):
        RBAE(**TINY | {"perceptual": perceptual.VGG}).fit(surfaces())
    from safetensors.torch import save_file
    from torchvision.models import vgg

    torch.manual_seed(0)
    net = vgg.make_layers(vgg.cfgs["D"][:7], batch_norm=False)  # as far as relu3_1
    save_file({f"features.{k}": v for k, v in net.state_dict().items()}, tmp_path / f"{perceptual.VGG}.safetensors")
    judge = perceptual.network(perceptual.VGG, "first")
    x = surfaces()[:1]
    assert judge is not None
    maps = judge(x)
    assert [tuple(m.shape[1:]) for m in maps] == [(64, 64, 64)] * 2 + [(128, 32, 32)] * 2 + [(256, 16, 16)]
    assert torch.allclose(maps[4], net(features.imagenet_norm(x))) and maps[0].min() >= 0
    with pytest.raises(LabError, match="lacks"):  # the first ReLU of each block lies deeper than this file goes
        perceptual.network(perceptual.VGG, "blocks")


def test_the_embedded_network_judges(full: RBAE) -> None:
    if not any((folder / "embedded.safetensors").is_file() for folder in features.weights_folders()):
        pytest.skip("the embedded backbone is not there: python -m lab distill")
    method = RBAE(**TINY | {"perceptual": "embedded"}).fit(surfaces())
    assert method.notes["perceptual loss"].startswith("embedded, sha256 ") and full.notes["perceptual loss"] == "none"
    assert not any("judge" in k or "network" in k for k in method.state())
    assert method.history["phase 1 loss"][0] > full.history["phase 1 loss"][0]  # the term counts


# ---- the two phases


def test_the_encoder_sees_full_resolution_and_the_decoder_returns_to_it() -> None:
    levels = ae.Encoder(ae.widths(0.25))(torch.rand(1, 3, 64, 64))
    assert [tuple(f.shape[1:]) for f in levels] == [(8, 64, 64), (16, 32, 32), (32, 16, 16), (64, 8, 8), (64, 4, 4)]
    assert ae.widths(1) == (32, 64, 128, 256, 256) and ae.widths(2) == (64, 128, 256, 512, 512)
    rebuilt = ae.Decoder(ae.widths(0.25), skips=True)(*levels[:1:-1])
    assert rebuilt.shape == (1, 3, 64, 64) and rebuilt.min() > 0 and rebuilt.max() < 1


def test_phase_2_leaves_the_encoder_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[int, dict[str, Tensor], bool]] = []
    for phase in (1, 2):
        real = getattr(RBAE, f"loss_{phase}")

        def watched(self: RBAE, *a: Any, real: Any = real, phase: int = phase) -> Tensor:
            seen.append((phase, {k: v.clone() for k, v in self.state_dict().items()}, self.encoder.training))
            return real(self, *a)

        monkeypatch.setattr(RBAE, f"loss_{phase}", watched)
    method = RBAE(**TINY | {"epochs_2": 2}).fit(surfaces())
    ones, twos = ([state for p, state, _ in seen if p == phase] for phase in (1, 2))
    assert len(ones) == 2 and len(twos) == 4  # six images in batches of four
    assert all(training == (phase == 1) for phase, _, training in seen)
    last = method.state()
    same = {k: all(torch.equal(state[k], last[k]) for state in twos) for k in last}
    assert all(v for k, v in same.items() if k.startswith("encoder."))  # BatchNorm's statistics among them
    assert not any(v for k, v in same.items() if k.startswith(("ffm.", "fdm.", "decoder.")) and k.endswith("weight"))
    assert any(not torch.equal(ones[0][k], ones[1][k]) for k in last if k.startswith("encoder."))
    assert all(torch.equal(ones[0][k], twos[0][k]) for k in last if k.startswith(("ffm.", "fdm.")))
    assert list(method.history) == ["phase 1 loss", "phase 2 loss"] and len(method.history["phase 2 loss"]) == 2


def test_same_seed_same_bytes(full: RBAE) -> None:
    again, other = RBAE(**TINY).fit(surfaces()).state(), RBAE(**TINY).fit(surfaces(), seed=1).state()
    assert all(torch.equal(v, again[k]) for k, v in full.state().items())
    assert not torch.equal(full.state()["decoder.head.weight"], other["decoder.head.weight"])


@pytest.mark.parametrize("stop", ["phase 1 epoch 2", "phase 2 epoch 4"])
def test_a_stopped_training_goes_on_as_if_it_had_not(stop: str, tmp_path: Path) -> None:
    settings, path = TINY | {"epochs_1": 2, "epochs_2": 2, "reference": "medoid"}, tmp_path / "half.safetensors"
    through = RBAE(**settings).fit(surfaces())
    heard: list[str] = []

    def interrupt(fraction: float, message: str) -> None:
        if message.startswith(stop):
            raise Cancelled

    with pytest.raises(Cancelled):
        RBAE(**settings).fit(surfaces(), report=interrupt, resume=path)
    continued = RBAE(**settings).fit(surfaces(), report=lambda f, message: heard.append(message), resume=path)
    assert heard[0].startswith(stop) and not path.exists()  # nothing done twice
    assert all(torch.equal(v, continued.state()[k]) for k, v in through.state().items())
    assert continued.history == through.history and continued.notes == through.notes


def test_reference_is_the_first_or_the_medoid(full: RBAE) -> None:
    images = surfaces()
    assert torch.equal(full.reference, images[0][0])
    medoid = RBAE(**TINY | {"reference": "medoid"}).fit(images)
    with torch.no_grad():
        levels = medoid.encoder(images[:])[2:]
    v = torch.cat([f.mean((2, 3)) for f in levels], 1)
    number = int(torch.stack([(v - row).norm(dim=1).mean() for row in v]).argmin())
    assert torch.equal(medoid.reference, images[number][0])
    assert medoid.notes["reference"] == f"training image {number + 1}"


# ---- components and scores


def test_toggles_change_the_map(full: RBAE, tested: Tensor) -> None:
    whole = full.score(tested)
    for change in ({"rbam": False}, {"pixel_dis": False}):
        other = RBAE(**TINY | change).fit(surfaces()).score(tested).anomaly_map
        assert (other - whole.anomaly_map).abs().max() > 1e-4 * whole.anomaly_map.abs().max(), change
    literal = RBAE(**TINY | {"attn_scale": 1.0}).restore(full.state()).score(tested)
    assert not torch.allclose(literal.views["repaired features"], whole.views["repaired features"])


def test_one_network_serves_every_segmenter(full: RBAE, tested: Tensor) -> None:
    scores_of = {s: RBAE(**TINY | {"segmenter": s}).restore(full.state()).score(tested) for s in rb_ae.SEGMENTERS}
    rebuilt = scores_of["msfdm"].views["reconstruction"]
    assert all(torch.equal(scores.views["reconstruction"], rebuilt) for scores in scores_of.values())
    assert torch.equal(scores_of["msfdm"].anomaly_map, full.score(tested).anomaly_map)
    assert torch.allclose(scores_of["pixel_gap"].anomaly_map, (tested - rebuilt).abs().mean(1))
    assert torch.allclose(scores_of["ssim"].anomaly_map, 1 - ae.ssim(tested, rebuilt))
    with torch.no_grad():
        one, two = full.encoder(tested, 3), full.encoder(rebuilt, 3)
    gaps = [(a - b).square().mean(1, keepdim=True) for a, b in zip(one, two, strict=True)]
    summed = sum(F.interpolate(g, (64, 64), mode="bilinear")[:, 0] for g in gaps)
    assert torch.allclose(scores_of["msfr"].anomaly_map, summed, atol=1e-6)
    metadata = RBAE.Settings.fields()["segmenter"].metadata
    assert metadata["component"] and metadata["scoring"]


def test_image_scores_and_smoothing(full: RBAE, tested: Tensor) -> None:
    score = lambda **change: RBAE(**TINY | change).restore(full.state()).score(tested)
    pixel = full.score(tested).anomaly_map
    assert score(image_score="max").image_score.item() == pytest.approx(pixel.max().item())
    assert score(image_score="std").image_score.item() == pytest.approx(pixel.std().item())
    assert full.score(tested).image_score.item() == pytest.approx(ae.peak_of_averages(pixel, pixel.shape[-1]).item())
    assert score(sigma=2.0).anomaly_map.std() < pixel.std()


def test_views(full: RBAE, tested: Tensor) -> None:
    views = full.score(tested).views
    assert list(views) == ["reference", "reconstruction", "repaired features", *(f"anomaly map {i}" for i in (1, 2, 3))]
    shapes = {k: tuple(v.shape[1:]) for k, v in views.items()}
    assert shapes["reference"] == shapes["reconstruction"] == (3, 64, 64) and shapes["repaired features"] == (16, 16)
    assert [shapes[f"anomaly map {i}"] for i in (1, 2, 3)] == [(64, 64), (32, 32), (16, 16)]
    fused = rb_ae.fusion([views[f"anomaly map {i}"] for i in (1, 2, 3)])
    assert torch.allclose(fused, full.score(tested).anomaly_map)


def test_options_reach_the_training() -> None:
    options = {"detach_recon": True, "p_clean": 0.5, "beta_max": 0.5, "redraw_empty": False}
    method = RBAE(**TINY | options).fit(surfaces())
    assert all(torch.isfinite(v).all() for v in method.state().values())
    paper = RBAE.presets()["paper"].as_dict()
    wanted = dict(
        size=256,
        epochs_1=400,
        epochs_2=200,
        batch_size=8,
        learning_rate=1e-4,
        perceptual="vgg16.tv_in1k",
        source="folder",
    )
    assert {k: paper[k] for k in wanted} == wanted


# ---- the plain autoencoder


@pytest.mark.parametrize("loss", ["l2", "ssim"])
def test_autoencoder_learns_to_rebuild(loss: str, tested: Tensor) -> None:
    method = Autoencoder(size=64, width=0.125, loss=loss, epochs=8, learning_rate=5e-3).fit(surfaces())
    assert method.history["loss"][-1] < 0.8 * method.history["loss"][0]
    scores = method.score(tested)
    rebuilt = scores.views["reconstruction"]
    by_hand = (tested - rebuilt).square().mean(1) if loss == "l2" else 1 - ae.ssim(tested, rebuilt)
    assert torch.allclose(scores.anomaly_map, by_hand) and scores.image_score.shape == (1,)


def test_autoencoder_residual() -> None:
    # (0.5 - 0.2)^2 = 0.09 in one of three colours: 0.03
    x = torch.full((1, 3, 16, 16), 0.5)
    y = x.clone()
    y[:, 0] = 0.2
    assert residual(x, y, "l2")[0, 0, 0].item() == pytest.approx(0.03)
    assert residual(x, x, "ssim").abs().max() < 1e-5
