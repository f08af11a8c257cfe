# %% [markdown]
# # RB-AE: repaired by a reference
#
# W. Luo, H. Yao, W. Yu, X. Wang. *Reference-Based Autoencoder for Surface Defect Detection.* Manuscript.
#
# **The question.** An autoencoder that has seen normal texture only should rebuild a defect as normal texture; the
# difference would be the defect. Two things prevent this. A good decoder rebuilds the defect *too*, and a poor one
# blurs the normal texture, so that the difference is everywhere. And the plain difference of pixels is a poor judge of
# either.
#
# **The answer in three parts.** The encoder learns on synthetic defects to *see* them (pixel-wise discrepancy). Between
# encoder and decoder, pieces of one normal *reference* image repair the features (RBAM), so that the decoder has
# nothing from which to rebuild a defect. And the final judgement is *learned*: small networks compare what the encoder
# sees in the image with what it sees in the reconstruction (MSFDM).
#
# It is a method for **textures**: pieces of the reference fit anywhere because a texture is the same everywhere.

# %%
import copy
import math

import matplotlib.pyplot as plt
import numpy as np
import torch
from show import code, compare, compare_with_paper, coverage, distributions, pixels, raw_maps, row, symbols, table

from lab import Detector, calibration, data, metrics, plots
from lab.bench import ablation
from lab.methods.rb_ae import RBAE, perceptual, rb_ae, rbam, synthetic_defects
from lab.parts import autoencoding as ae
from lab.parts import textures
from lab.parts.maps import upsample
from lab.plots import BLUE, ORANGE

symbols(RBAE)

# %% [markdown]
# ## The idea in one figure
#
# 16 good images of drawn terrazzo, at a quarter of their side, a quarter of the width, and a tenth of the paper's 600
# epochs. The first row shows a synthetic defect on a good image, the second a real one that the network never saw: of
# all defective test images the one with the highest score. Each row has the image, its reconstruction, the plain
# difference of the two, and the learned map.

# %%
SETTINGS = dict(size=64, epochs_1=15, epochs_2=45)
dataset = data.load("samples", "terrazzo")
good = [item.image() for item in dataset.train[:16]]
test = dataset.test[:6] + dataset.test[20::3]  # 6 good images, 10 with defects
images, masks = [item.image() for item in test], [item.mask() for item in test]
truth = np.stack(masks)

detector = Detector("rb_ae", **SETTINGS).fit(good)
trained = detector.method
test_stack = detector.images(images)

draw, texture_source = textures.source("procedural")
I_o = detector.images(good)[:]
I_ad, M = synthetic_defects.defective(I_o, torch.Generator().manual_seed(4), draw)
image_scores = trained.score(test_stack[:]).image_score
number = max((i for i, item in enumerate(test) if item.bad), key=lambda i: float(image_scores[i]))
batch = test_stack[number]
scores = trained.score(batch)
for title, image in (("a synthetic defect", I_ad[1:2]), (f"a real one: {test[number].defect}", batch)):
    result = trained.score(image)
    I_rec, AM = result.views["reconstruction"], result.anomaly_map[0].numpy()
    gap = (image - I_rec).abs().mean(1)[0].numpy()
    columns = {title: pixels(image), "reconstruction": pixels(I_rec), "difference": gap, "AM": AM}
    row(columns, unit="0 to 1", span=(0, 0.7))

# %% [markdown]
# ## Equation by equation
#
# ### Eq. (1): synthetic defects
#
# $$I_{ad} = I_o \odot (1 - M) + I_n \odot M$$
#
# $M$ is Perlin noise above a threshold, which gives blobs and streaks of all sizes; $I_n$ is a foreign texture.

# %%
code(synthetic_defects.composite, synthetic_defects.mask)

# %% [markdown]
# **By hand.** An image of 0.2, a texture of 0.8, two pixels, the first in the mask: 0.8 and 0.2.

# %%
plain, texture, where = torch.full((3, 1, 2), 0.2), torch.full((3, 1, 2), 0.8), torch.tensor([[[True, False]]])
print([round(v, 2) for v in synthetic_defects.composite(plain, texture, where)[0, 0].tolist()])

# %% [markdown]
# **On images.** Four draws on good images. The network never meets a real defect in training: these have to stand for
# all of them.

# %%
row({f"{float(m.float().mean()):.1%} defective": pixels(p[None]) for p, m in zip(I_ad[:4], M, strict=False)})
print("textures:", texture_source)

# %% [markdown]
# ### Eq. (2): the encoder is to see defects
#
# $$L_{\text{pixel-dis}} = \frac{1}{5} \sum_{l=1}^{5} \overline{\big(N(R_l) - M_l\big)^2}, \qquad
# R_l = \frac{1}{C_l} \sum_c \big(\Phi_l(I_o) - \Phi_l(I_{ad})\big)^2$$
#
# The residual $R_l$ compares the encoder's features of the normal image with those of its defective twin. It is to look
# like the mask, at each of the five layers. $N$ scales it to 0..1 by its own range.

# %%
code(rb_ae.pixel_discrepancy)

# %% [markdown]
# **By hand.** One layer of 2 x 2, one channel, differences $(0, 1, 2, 1)$: $R = (0, 1, 4, 1)$,
# $N(R) = (0, 1/4, 1, 1/4)$. A mask of 4 x 4 that covers the lower left quarter and half of the lower right is
# $M_l = (0, 0, 1, 1/2)$. Squares $(0, 1/16, 0, 1/16)$, mean $1/32$.

# %%
normal, defective = torch.zeros(1, 1, 2, 2), torch.tensor([0.0, 1.0, 2.0, 1.0]).view(1, 1, 2, 2)
mask = torch.zeros(1, 4, 4, dtype=torch.bool)
mask[0, 2:, :3] = True
print(float(rb_ae.pixel_discrepancy([normal], [defective], mask)))

# %% [markdown]
# **On an image.** The same training, once without this loss: $N(R_l)$ of a synthetic defect for both encoders, layers
# 1, 3 and 4, and the loss of all 16 images, layer by layer.

# %%
without = Detector("rb_ae", **SETTINGS | {"pixel_dis": False}).fit(good)
rows = []
for name, encoder in (("without it", without.method.encoder), ("with it", trained.encoder)):
    with torch.no_grad():
        normal, defective = encoder(I_o), encoder(I_ad)
    R = {f"N(R_{i + 1})": (normal[i][1] - defective[i][1]).square().mean(0) for i in (0, 2, 3)}
    row({name: pixels(I_ad[1:2]), "M": M[1].numpy()} | {k: (r / r.max()).numpy() for k, r in R.items()})
    losses = [rb_ae.pixel_discrepancy([a], [b], M) for a, b in zip(normal, defective, strict=True)]
    losses.append(rb_ae.pixel_discrepancy(normal, defective, M))
    rows.append([name, *(f"{float(loss):.3f}" for loss in losses)])
table(["encoder trained", *(f"layer {i}" for i in range(1, 6)), "L_pixel_dis"], rows)

# %% [markdown]
# ### Eq. (3): similarity of patches
#
# $$S_{ij} = \frac{\langle f_d^i, f_{ref}^j \rangle}{\|f_d^i\|\, \|f_{ref}^j\|}$$
#
# for the K x K patches $f_d^i$ of the image's features and $f_{ref}^j$ of the reference's.

# %%
code(rbam.patches, rbam.similarity)

# %% [markdown]
# **By hand.** $(3, 4)$ and $(4, 3)$: $(12 + 12) / 25 = 0.96$; with its opposite $-1$.

# %%
f_d, f_ref = torch.tensor([[[3.0, 4.0]]]), torch.tensor([[4.0, 3.0], [-3.0, -4.0]])
print([round(v, 4) for v in rbam.similarity(f_d, f_ref).flatten().tolist()])

# %% [markdown]
# **On an image.** To which places of the reference is one patch of the image similar? The first row takes the patch
# with most of the defect (outlined), the second a patch as far from it as possible; layer 3 of the encoder, K = 2.

# %%
with torch.no_grad():
    F_d = trained.encoder(batch)[2:]
F_ref = trained.reference_features()
S = rbam.similarity(rbam.patches(F_d[0], 2), rbam.patches(F_ref[0], 2)[0])[0]
cells = math.isqrt(len(S))
spot = int(coverage(truth, cells)[number].argmax())
other = cells * ((spot // cells + cells // 2) % cells) + (spot % cells + cells // 2) % cells
for name, i in (("defective patch", spot), ("normal patch", other)):
    cell = np.zeros((cells, cells), bool)
    cell.flat[i] = True
    outlined = plots.outline(pixels(batch), cell.repeat(64 // cells, 0).repeat(64 // cells, 1))
    row(
        {
            name: outlined,
            "reference": pixels(scores.views["reference"]),
            f"similarity, largest {float(S[i].max()):.2f}": S[i].view(cells, cells).numpy(),
        },
        unit="cosine",
        span=(float(S.min()), 1),
    )

# %% [markdown]
# ### Eq. (4): attention
#
# $$a_{ij} = \frac{\exp(t\, S_{ij})}{\sum_j \exp(t\, S_{ij})}$$
#
# The paper prints it with $t = 1$. A cosine lies in $[-1, 1]$, so the largest weight is then at most $e^2$ times the
# smallest: over hundreds of patches that is nearly a plain mean. Here $t = 10$; "Where it fails" shows what $t$ does.

# %%
code(rbam.attention)

# %% [markdown]
# **By hand.** Two patches, similarity 1 and 0.9: the first gets $1 / (1 + e^{-0.1 t})$, which is
# $1 / (1 + e^{-1}) = 0.731$ for $t = 10$ and $0.525$ for $t = 1$.

# %%
for t in (1, 10, 50):
    print(f"t = {t}: {[round(v, 3) for v in rbam.attention(torch.tensor([1.0, 0.9]), t).tolist()]}")

# %% [markdown]
# ### Eq. (5): the repair (RBFRM)
#
# $$\tilde f_d^i = \sum_j a_{ij}\, f_{ref}^j$$
#
# A mixture of the reference's patches replaces every patch. Only the choice of the mixture comes from the image.

# %%
code(rbam.repaired)

# %% [markdown]
# **By hand.** K = 1, two channels. The feature $(1, 0)$ against $(2, 0)$ and $(0, 4)$ has similarity 1 and 0. With
# $t = \ln 3$ the weights are 3 : 1, so it becomes $0.75\,(2, 0) + 0.25\,(0, 4) = (1.5, 1)$.

# %%
f_d = torch.tensor([1.0, 0.0]).view(1, 2, 1, 1)
f_ref = torch.tensor([[2.0, 0.0], [0.0, 4.0]]).view(1, 2, 1, 2)  # two pixels, (2, 0) and (0, 4)
print([round(v, 3) for v in rbam.repaired(f_d, f_ref, 1, math.log(3)).flatten().tolist()])

# %% [markdown]
# **On an image.** How much the repair changes the features, layers 3 to 5, K = 2. The change is large where nothing in
# the reference is like the patch.

# %%
changed = {}
for layer, (a, b) in enumerate(zip(F_d, F_ref, strict=True), 3):
    repaired = rbam.repaired(a, b, 2, 10.0)
    changed[f"layer {layer}"] = ((repaired - a).square().sum(1) / a.square().sum(1).mean())[0].numpy()
row({"image": pixels(batch), "true defect": masks[number]} | changed, unit="of the mean square")

# %% [markdown]
# ### Eq. (6), (7), (8): fusion (FFM)
#
# $$U = F_d + F_{rep2} + F_{rep4}, \qquad a_i = \frac{\exp A_i}{\sum_j \exp A_j}, \qquad
# F_{out} = \sum_i a_i \odot F_i$$
#
# $F_{rep2}$ and $F_{rep4}$ are the features repaired with K = 2 and 4. From $U$, convolutions make three maps:
# $A_d, A_{rep2}, A_{rep4}$. Their softmax chooses, at every channel and place, between the features as they are and
# the two repaired forms. (The paper prints $F_o$ on the left of Eq. (8), a misprint.)

# %%
code(rbam.FFM.forward, rbam.fused, RBAE.repair)

# %% [markdown]
# **By hand.** Values 8, 4, 16 with $A = \ln 1, \ln 2, \ln 5$: weights 1/8, 2/8, 5/8, so $1 + 1 + 10 = 12$.

# %%
values, A = torch.tensor([8.0, 4.0, 16.0]).view(1, 3, 1, 1, 1), torch.tensor([1.0, 2.0, 5.0]).log().view(1, 3, 1, 1, 1)
print(round(float(rbam.fused(values, A)), 4))

# %% [markdown]
# **On an image.** The shares of the unrepaired feature and of the two repaired ones, layer 3, mean over channels.

# %%
with torch.no_grad():
    reps = [rbam.repaired(F_d[0], F_ref[0], K, 10.0) for K in (2, 4)]
    ffm = trained.ffm[0]
    shares = torch.softmax(ffm.expand(ffm.squeeze(F_d[0] + reps[0] + reps[1])).unflatten(1, (3, -1)), 1).mean(2)[0]
share_maps = {f"share of {n}": s.numpy() for n, s in zip(("F_d", "F_rep2", "F_rep4"), shares, strict=True)}
row({"image": pixels(batch)} | share_maps, span=(0, 1))

# %% [markdown]
# ### Eq. (9): the repaired features are to be the normal image's
#
# $$L_{\text{fea-rep}} = \frac{1}{3} \sum_{l=3}^{5} \overline{\big(F_{out}^l - F_o^l\big)^2}$$

# %%
code(rb_ae.feature_repair)

# %% [markdown]
# **By hand.** Three layers that are off by 1, 2 and $-2$ everywhere: $(1 + 4 + 4) / 3 = 3$.

# %%
zeros = [torch.zeros(1, 2, 2, 2)] * 3
print(float(rb_ae.feature_repair([torch.full((1, 2, 2, 2), v) for v in (1.0, 2.0, -2.0)], zeros)))

# %% [markdown]
# **On images.** The 16 synthetic defects, before the repair and after it.

# %%
with torch.no_grad():
    F_o, F_ad = trained.encoder(I_o)[2:], trained.encoder(I_ad)[2:]
    F_out = trained.repair(F_ad)
    print(
        f"as the encoder sees them {float(rb_ae.feature_repair(F_ad, F_o)):.4f}, "
        f"repaired {float(rb_ae.feature_repair(F_out, F_o)):.4f}"
    )

# %% [markdown]
# ### Eq. (10): the segmentation loss
#
# $$L_{seg} = \frac{1}{3} \sum_{i=1}^{3} \overline{-(1 - p_i)^2 \log p_i}$$
#
# $p$ is the predicted probability of the pixel's true class. This is the focal loss: the factor $(1 - p)^2$ takes
# weight from the easy pixels, which are nearly all.

# %%
code(rb_ae.segmentation)

# %% [markdown]
# **By hand.** The network calls both pixels "defect" with probability 0.8; only one is. $-(0.2)^2 \ln 0.8 = 0.0089$ and
# $-(0.8)^2 \ln 0.2 = 1.0300$, mean $0.5195$.

# %%
logits = torch.tensor([0.0, math.log(4)]).view(1, 2, 1, 1).expand(1, 2, 1, 2)
print(round(float(rb_ae.segmentation([logits], torch.tensor([[[True, False]]]))), 4))

# %% [markdown]
# ### Eq. (11): three maps in one
#
# $$AM = 0.2\, AM_1 + 0.2\, \mathrm{up}(AM_2) + 0.6\, \mathrm{up}(AM_3)$$

# %%
code(rb_ae.fusion, RBAE.reconstruct)

# %% [markdown]
# **By hand.** Constant maps 1, 0.5 and 0.25: $0.2 + 0.1 + 0.15 = 0.45$.

# %%
three = [torch.full((1, 8, 8), 1.0), torch.full((1, 4, 4), 0.5), torch.full((1, 2, 2), 0.25)]
print(round(float(rb_ae.fusion(three).mean()), 4))

# %% [markdown]
# **On an image.**

# %%
maps = {f"AM_{i}": scores.views[f"anomaly map {i}"][0].numpy() for i in (1, 2, 3)}
row({"image": pixels(batch)} | maps | {"AM": scores.anomaly_map[0].numpy()}, span=(0, 1))

# %% [markdown]
# ### Eq. (12) to (17): what is trained when
#
# $$L_{rec} = \overline{(I_o - I_{rec})^2}, \qquad L_{per} = \frac{1}{L} \sum_l \overline{|D_l(I_o) - D_l(I_{rec})|}$$
#
# with the layers $D_l$ of a frozen network (VGG-16 in the paper, the embedded backbone here). Phase 1 trains encoder
# and decoder, $100\, L_{rec} + L_{per} + L_{\text{pixel-dis}}$. Phase 2 freezes the encoder and trains RBAM, decoder
# and MSFDM with $100\, L_{rec} + L_{per} + L_{\text{fea-rep}} + L_{seg}$.

# %%
code(perceptual.distance, rb_ae.phase_1, rb_ae.phase_2, RBAE.loss_1, RBAE.loss_2)

# %% [markdown]
# **By hand.** Losses 1, 2, 3 give $100 + 2 + 3 = 105$; 1, 2, 3, 4 give 109. Two layers whose mean absolute differences
# are 1 and 0.5: $L_{per} = 0.75$.

# %%
numbers = [torch.tensor(float(v)) for v in (1, 2, 3, 4)]
original = [torch.zeros(1, 1, 2, 2), torch.zeros(1, 2, 1, 1)]
rebuilt = [torch.ones(1, 1, 2, 2), torch.tensor([1.0, 0.0]).view(1, 2, 1, 1)]
print(float(rb_ae.phase_1(*numbers[:3])), float(rb_ae.phase_2(*numbers)), float(perceptual.distance(original, rebuilt)))

# %%
figure, axis = plt.subplots(figsize=(7, 2.4))
first = len(trained.history["phase 1 loss"])
axis.semilogy(range(1, first + 1), trained.history["phase 1 loss"], color=BLUE, label="phase 1")
axis.semilogy(
    range(first + 1, first + 1 + len(trained.history["phase 2 loss"])),
    trained.history["phase 2 loss"],
    color=ORANGE,
    label="phase 2",
)
axis.set_xlabel("epoch")
axis.set_ylabel("loss")
axis.legend()
plt.show()

# %% [markdown]
# ## Taken apart
#
# Four segmenters on **one** trained network: the learned MSFDM; the gap of pixels $|I - I_{rec}|$; MSFR, the plain
# residual of the encoder's features; and $1 - \mathrm{SSIM}$. Then the trainings without RBAM and without
# $L_{\text{pixel-dis}}$. The segmenters have different units. So each map is drawn in robust deviations of its own
# normal pixels, which changes neither margin nor overlap.

# %%
code(RBAE.score, ae.ssim)

# %%
maps, scaled = {}, {}
for name, settings in ablation.plan("rb_ae", detector.settings).items():
    if name.startswith("segmenter"):
        variant = detector.with_scoring(good, segmenter=settings.segmenter)
    elif name == "rbam off":
        variant = Detector("rb_ae", **settings.as_dict()).fit(good)
    else:
        variant = without if name == "pixel_dis off" else detector
    maps[name] = m = raw_maps(variant, images)
    scale = calibration.robust_scale(m[~truth])
    scaled[name] = [scale.normalize(m[side]) for side in (~truth, truth)]

for names in (["full", "rbam off", "pixel_dis off"], [name for name in scaled if name.startswith("segmenter")]):
    distributions({name: scaled[name] for name in names}, unit="robust σ", span=(-4, 16))

# %%
figures = {name: metrics.pixel_report(masks, m) for name, m in maps.items()}
compare(figures)

# %% [markdown]
# One seed, 16 drawn images at 64 pixels, a tenth of the epochs: it shows how to look, not what is true. The paper's
# Table V (MVTec AD wood) has the full method ahead of every row. Measured on real images, three seeds
# ([lab/bench/README.md](../lab/bench/README.md)):

# %%
compare_with_paper("rb_ae")

# %% [markdown]
# ## Where it fails

# %%
print(RBAE.fails())

# %% [markdown]
# **The attention's temperature.** Here the repair is applied to pixels instead of features, so that an eye can judge
# it. The test image is rebuilt from 4 x 4 pieces of the reference; their mean colour is subtracted first, so that
# cosines distinguish patches. With $t = 1$, as Eq. (4) is printed, every patch becomes the mean of the reference:
# normal texture is lost as well.

# %%
reference = scores.views["reference"]
centre = reference.mean((2, 3), keepdim=True)
rebuilt, rows = {}, []
S = rbam.similarity(rbam.patches(batch - centre, 4), rbam.patches(reference - centre, 4)[0])
for t in (1.0, 10.0, 50.0):
    rebuilt[f"t = {t:g}"] = pixels((rbam.repaired(batch - centre, reference - centre, 4, t) + centre).clamp(0, 1))
    a = rbam.attention(S, t)
    largest, sharing = float(a.amax(-1).mean()), float((1 / a.square().sum(-1)).mean())
    rows.append([f"{t:g}", f"{largest:.4f}", f"{1 / a.shape[-1]:.4f}", f"{sharing:.1f} of {a.shape[-1]}"])
row({"image": pixels(batch), "reference": pixels(reference)} | rebuilt)
table(["t", "largest weight, mean", "weight if all were equal", "patches that share the weight"], rows)

# %% [markdown]
# **The reference in another light.** The same detector, the same test images; only the reference is darker. The table
# shows what that does to normal pixels and to the margin. The harm need not grow with the darkness:

# %%
rows = []
for light in (1.0, 0.8, 0.6, 0.4):
    dimmed = copy.deepcopy(trained)
    dimmed.reference, dimmed.F_ref = trained.reference * light, []
    m = upsample(dimmed.score(test_stack[:]).anomaly_map, truth.shape[1:]).numpy()
    high, margin = np.quantile(m[~truth], 0.99), metrics.margin(m[~truth], m[truth])
    rows.append([f"{light:.0%}", f"{high:.3f}", f"{margin:.2f}"])
table(["light of the reference", "99 % of normal pixels are below", "margin"], rows)

# %% [markdown]
# ## Exercises
#
# ### Exercise 1
#
# A patch has one twin in the reference, with similarity 1; the $N - 1$ other patches have similarity 0. At which $t$
# does the twin get half of the attention? Work it out for $N = 256$ and check with `rbam.attention`.

# %%
# your turn

# %% tags=["solution"]
# e^t / (e^t + N - 1) = 1/2 where e^t = N - 1: t = ln 255 = 5.54. With t = 1 the twin gets e / (e + 255), one per cent.
S = torch.zeros(256)
S[0] = 1
assert abs(float(rbam.attention(S, math.log(255))[0]) - 0.5) < 1e-5
assert abs(float(rbam.attention(S, 1.0)[0]) - math.e / (math.e + 255)) < 1e-6

# %% [markdown]
# ### Exercise 2
#
# How much less does a pixel with $p = 0.9$ weigh in Eq. (10) than one with $p = 0.1$, and how much less would it with
# the plain cross-entropy $-\log p$?

# %%
# your turn


# %% tags=["solution"]
# Focal: 0.01 * 0.10536 against 0.81 * 2.30259, 1770 times less. Cross-entropy: 0.10536 against 2.30259, 22 times.
def loss(p):
    """Eq. (10) of one defective pixel whose class gets probability p."""
    logits = torch.tensor([0.0, math.log(p / (1 - p))]).view(1, 2, 1, 1)
    return float(rb_ae.segmentation([logits], torch.ones(1, 1, 1, dtype=torch.bool)))


focal, plain = loss(0.1) / loss(0.9), math.log(0.1) / math.log(0.9)
print(f"focal {focal:.0f}, cross-entropy {plain:.0f}")
assert abs(focal / (81 * plain) - 1) < 0.01

# %% [markdown]
# ### Exercise 3
#
# If image and reference are the same, a sharp attention returns the features as they are. Check it with `rbam.repaired`
# for $t = 50$ on layer 3 of the reference. Then take $t = 1$: what comes out, and how far is it from the mean patch?

# %%
# your turn

# %% tags=["solution"]
# Each patch is most like itself. At t = 1 nearly the mean patch comes out, everywhere the same.
F = torch.randn(1, 16, 8, 8, generator=torch.Generator().manual_seed(0))
sharp, soft = (rbam.repaired(F, F, 2, t) for t in (50.0, 1.0))
assert torch.allclose(sharp, F, atol=1e-3)
mean = rbam.patches(F, 2).mean(1, keepdim=True)
far = (rbam.patches(soft, 2) - mean).square().mean() / (rbam.patches(F, 2) - mean).square().mean()
print(f"at t = 1 {float(far):.1%} of the patches' variance is left")
assert far < 0.05
F_3 = F_ref[0]
for t in (50.0, 1.0):
    change = (rbam.repaired(F_3, F_3, 2, t) - F_3).square().mean() / F_3.square().mean()
    print(f"layer 3 of the reference by itself, t = {t:g}: changed by {float(change):.1%}")
