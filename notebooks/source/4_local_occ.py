# %% [markdown]
# # Local OCC: every place has its own normal
#
# C. Lv, Z. Zhang, F. Shen, F. Zhang. *Unsupervised Automatic Defect Inspection based on Image Matching and Local
# One-class Classification.* CVPR Workshops.
#
# **The question.** On a part, what is normal depends on the place: a dark spot is right where a hole belongs and wrong
# a finger's breadth beside it. A method that knows "which features occur" misses the wrong place. One that knows "which
# features occur *here*" needs all parts to lie alike, and on a conveyor belt they do not. Can a method have both?
#
# **The answer in three modules.** *IMM*, image matching, aligns every image with one template. A small network
# regresses the turn and the shift in one pass. *ALM*, anomaly localisation, then has a centre for every place, and a
# network that brings each place's features to its own centre. *DGM*, defect generation, draws synthetic defects. The
# network has to keep them *away* from the centre, so that it does not answer the same everywhere.

# %%
import math

import matplotlib.pyplot as plt
import numpy as np
import torch
from scipy.signal import find_peaks
from show import code, compare, compare_with_paper, distributions, pixels, row, symbols

from lab import Detector, data, metrics
from lab.data.rotated_sets import unaligned
from lab.methods.local_occ import dgm, matching, warps
from lab.methods.local_occ.local_occ import LocalOCC, half_distance, occ_loss, parallel, singular_vectors
from lab.parts import textures
from lab.parts.maps import upsample
from lab.plots import BLUE, INK, ORANGE

symbols(LocalOCC)

# %% [markdown]
# ## The idea in one figure
#
# 20 good images of a drawn circuit board, turned by up to 10 degrees and cropped at random (the paper's MAD-RTO does
# this to MVTec AD), at half their side. The first row shows a test image, the template, and the image aligned with it;
# the second row shows the anomaly map there, and the same map turned back into the image's own frame.

# %%
SETTINGS = dict(size=128, stride=4, matching_epochs=60, epochs=12)
dataset = unaligned(data.load("samples", "board"), 10)
good = [item.image() for item in dataset.train[:20]]
test = dataset.test[:6] + dataset.test[20::2]  # 6 good images, 15 with defects
masks = [item.mask() for item in test]
truth = np.stack(masks)

detector = Detector("local_occ", **SETTINGS).fit(good)
trained = detector.method
train_stack, test_stack = detector.images(good), detector.images([item.image() for item in test])
number = next(i for i, item in enumerate(test) if item.defect == "missing_part")
batch = test_stack[number]
scores = trained.score(batch)
row(
    {
        "image": pixels(batch),
        "template": pixels(scores.views["template"]),
        "aligned image": pixels(scores.views["aligned image"]),
        "true defect": masks[number],
    }
)
aligned_map = scores.views["aligned anomaly map"][0].numpy()
row({"aligned anomaly map": aligned_map, "anomaly map": scores.anomaly_map[0].numpy()}, unit="0.5 dist")

# %% [markdown]
# ## Equation by equation
#
# ### A turn and a shift
#
# $$\begin{pmatrix} \cos\theta & -\sin\theta & T_x \\ \sin\theta & \cos\theta & T_y \end{pmatrix}$$
#
# Three numbers $T = (T_x, T_y, \theta)$ make this matrix. It says for each place of the *output* where to read in the
# *input*. There is no scale and no shear. Lengths are in half sides of the image.

# %%
code(warps.matrix, warps.warp, warps.cover, warps.seen)

# %% [markdown]
# **By hand.** A row of eight pixels 0, 1, ..., 7 and $T_x = 0.5$, a quarter of the side, two pixels: each output pixel
# reads two to its right. The last two read beyond the rim: `border` repeats the last pixel, and $V$ records that the
# image does not reach there.

# %%
line = torch.arange(8.0).expand(1, 1, 8, 8)
shift = warps.matrix(torch.tensor([[0.5, 0.0, 0.0]]))
print([round(v, 3) for v in warps.warp(line, shift)[0, 0, 0].tolist()])
print("V:", warps.seen(shift, 8)[0, 0].int().tolist())

# %% [markdown]
# ### Eq. (1): how well an image matches the template
#
# $$L_{reg} = \frac{1}{|V|} \sum_{p \in V} \overline{\big(I_M(p) - I_T(p)\big)^2}$$
#
# the mean over colours and over the pixels $V$ that the image really shows.

# %%
code(matching.registration_loss)

# %% [markdown]
# **By hand.** 2 x 2 pixels. One differs by 0.5 in all colours. One differs by 1, but $V$ excludes it:
# $0.25 / 3 = 0.0833$.

# %%
I_M, I_T = torch.zeros(1, 3, 2, 2), torch.zeros(1, 3, 2, 2)
I_M[..., 0, 0], I_M[..., 1, 1] = 0.5, 1.0
V = torch.tensor([[[True, True], [True, False]]])
print(round(float(matching.registration_loss(I_M, I_T, V)), 4))

# %% [markdown]
# **On an image.** The template is turned on purpose, by $-40$ to 40 degrees. The loss is least where nothing is turned.
# Blurred images have the wider valley, and training begins with them (`guided`).


# %%
def loss_of_turns(image, degrees, sigma=0.0):
    """Eq. (1) of an image (1, 3, S, S) against itself turned by each of `degrees`."""
    turns = torch.zeros(len(degrees), 3)
    turns[:, 2] = torch.deg2rad(degrees)
    M = warps.matrix(turns)
    image = matching.blurred(matching.shrunk(image, 64), sigma)
    moved = warps.warp(image.expand(len(degrees), -1, -1, -1), M)
    return matching.registration_loss(moved, image, warps.seen(M, 64))


degrees = torch.linspace(-40, 40, 81)
template = trained.template[None]
figure, axis = plt.subplots(figsize=(6, 2.6))
for sigma, colour in ((0.0, BLUE), (4.0, INK), (8.0, ORANGE)):
    loss = loss_of_turns(template, degrees, sigma)
    axis.plot(degrees, loss / loss.max(), color=colour, label=f"blur {sigma:g} px of 256")
axis.set_xlabel("turn, degrees")
axis.set_ylabel("L_reg, of its largest")
axis.legend()
plt.show()

# %% [markdown]
# ### Eq. (2): the warp in one pass
#
# $$T = N_R\big(N_P(I_O),\ N_P(I_T)\big)$$
#
# One feature network $N_P$ reads both images, and one regressor $N_R$ reads both results. Training minimises Eq. (1)
# itself: it needs no true warps of the images.

# %%
code(matching.Matcher.forward, LocalOCC.learn_matching)

# %% [markdown]
# **By hand.** A fresh regressor's last layer is zero: it answers the identity, $T = 0$, for any images. With a bias
# that saturates the hyperbolic tangent it answers its bounds: 0.3 half sides, and the largest turn that it may answer.

# %%
with torch.random.fork_rng():
    torch.manual_seed(0)
    fresh = matching.Matcher(64, math.radians(20)).eval()
with torch.no_grad():
    print("fresh:", fresh(torch.rand(1, 3, 64, 64), torch.rand(1, 3, 64, 64)).tolist())
    torch.nn.init.constant_(fresh.N_R[-1].bias, 50.0)
    T_x, T_y, theta = fresh(torch.rand(1, 3, 64, 64), torch.rand(1, 3, 64, 64))[0].tolist()
    print(f"saturated: {T_x:.2f}, {T_y:.2f}, {math.degrees(theta):.1f} degrees")

# %% [markdown]
# **On images.** Three test images before and after, as the difference from the template. Then a check with a known
# answer: the template is warped by known amounts, and the error of the network is measured.

# %%
with torch.no_grad():
    aligned = trained.align(test_stack[:3])[0]
for name, images in (("before", test_stack[:3]), ("after", aligned)):
    row(
        {f"{name} {i}": (p - trained.template).abs().mean(0).numpy() for i, p in enumerate(images)},
        unit="difference",
        span=(0, 0.5),
    )

limits = torch.tensor([0.06, 0.06, math.radians(10)])
known = warps.matrix((torch.rand(40, 3, generator=torch.Generator().manual_seed(9)) * 2 - 1) * limits)
left = warps.compose(known, trained.align(warps.warp(template.expand(40, -1, -1, -1), known))[1])
for name, matrices in (("known warps, median", known), ("left after matching", left)):
    shift, turn = 128 * matrices[:, :, 2].norm(dim=1).median(), warps.angle(matrices).abs().rad2deg().median()
    print(f"{name}: {shift:.1f} pixels of 256, {turn:.1f} degrees")

# %% [markdown]
# ### The centres $F_C$
#
# Features of three levels of a frozen network are put side by side, reduced to $d$ numbers by the leading singular
# vectors $W$, and averaged over the *aligned* good images, place by place. `center = "vector"` averages over places as
# well.

# %%
code(singular_vectors, LocalOCC.find_centres)

# %% [markdown]
# **By hand.** Centres $(1, 0)$, $(0, 1)$, $(2, 0)$ at three places: the cosines of the pairs are 0, 1, 0, their mean is
# $1/3$. Near 1, one constant answer would do everywhere, and the method warns.

# %%
code(parallel)
print(round(parallel(torch.tensor([[1.0, 0.0, 2.0], [0.0, 1.0, 0.0]]).view(2, 1, 3)), 4))

# %% [markdown]
# **On images.** How similar all centres are to that of one place. The map separates parts, board and ground, although
# it never learned these names.

# %%
units = torch.nn.functional.normalize(trained.F_C, dim=0)  # (d, h, w)
grid = trained.grid
places = {"the middle": (grid // 2, grid // 2), "upper left": (grid // 8, grid // 8)}
alike = {f"cosine to {n}": torch.einsum("d,dhw->hw", units[:, i, j], units).numpy() for n, (i, j) in places.items()}
row({"template": pixels(template)} | alike, unit="cosine")
print(f"mean cosine between two places: {parallel(trained.F_C):.3f}")

# %% [markdown]
# ### DGM: synthetic defects
#
# With a probability of 3/4, an image gets one to three small regions of random shape, darkened, lightened or replaced.

# %%
code(dgm.changed, dgm.defects, dgm.to_grid)

# %% [markdown]
# **By hand.** A defect of 4 x 3 pixels in the corner of 8 x 8 covers $12/16$ of one of four cells: more than half, so
# the cell is marked. A single pixel covers only $1/16$, but a defect must not vanish: its cell is marked all the same.

# %%
region = torch.zeros(8, 8, dtype=torch.bool)
region[:4, :3] = True
dot = torch.zeros(8, 8, dtype=torch.bool)
dot[6, 1] = True
print(dgm.to_grid(region, 2).int().tolist(), dgm.to_grid(dot, 2).int().tolist())

# %% [markdown]
# **On images.** Synthetic defects on four aligned images, and $M_s$ of the first.

# %%
with torch.no_grad():
    aligned = trained.align(train_stack[:4])[0]
draw, texture_source = textures.source("procedural")
synthetic, M_s = dgm.defects(aligned, draw, torch.Generator().manual_seed(5), grid=grid, p=1.0)
row({f"synthetic {i}": pixels(p[None]) for i, p in enumerate(synthetic)} | {"M_s of 0": M_s[0].numpy()})
print("replaced regions show", texture_source)

# %% [markdown]
# ### Eq. (3), (4), (5): to the centre, and away from it
#
# $$d(p) = \tfrac12\big(1 - \cos(N_M(F_{mixed})_p,\ F_C(p))\big), \qquad
# L = \overline{(1 - M_s)\, d + M_s \max(0,\ \delta - d)}$$
#
# The loss draws normal places to their centres. It pushes synthetic defects off until they are $\delta = 0.1$ away, and
# then leaves them alone. Without a synthetic defect this is Eq. (3), the mean of $d$.

# %%
code(half_distance, occ_loss, LocalOCC.distances)

# %% [markdown]
# **By hand.** $(3, 4)$ against $(1, 0)$: cosine 0.6, $d = 0.2$. Two normal places with 0.2 and 0.4, two defects with
# 0.04 and 0.5: $(0.2 + 0.4 + 0.06 + 0) / 4 = 0.165$; all four as normal: $1.14 / 4 = 0.285$.

# %%
a, b = torch.tensor([3.0, 4.0]).view(1, 2, 1, 1), torch.tensor([1.0, 0.0]).view(1, 2, 1, 1)
d, two_synthetic = torch.tensor([[[0.2, 0.4], [0.04, 0.5]]]), torch.tensor([[[False, False], [True, True]]])
print("d =", round(float(half_distance(a, b)), 4))
print("Eq. (5):", round(float(occ_loss(d, two_synthetic, 0.1)), 4))
print("Eq. (3):", round(float(occ_loss(d, torch.zeros_like(two_synthetic), 0.1)), 4))

# %% [markdown]
# **On an image.** $d$ of the synthetic defects above.

# %%
with torch.no_grad():
    d = trained.distances(synthetic)
row({"synthetic 0": pixels(synthetic[:1]), "M_s": M_s[0].numpy(), "d": d[0].numpy()}, unit="0.5 dist")
print(
    f"normal places {float(d[~M_s].mean()):.3f}, synthetic defects {float(d[M_s].mean()):.3f}; "
    f"L = {float(occ_loss(d, M_s, 0.1)):.4f}"
)

# %% [markdown]
# ### The score
#
# $d$ at the image's size, smoothed, zero where $V$ is false, and turned back into the frame of the original image.

# %%
code(LocalOCC.score, warps.unwarp)

# %% [markdown]
# ## Taken apart
#
# The matching is trained once. Every variant that has a matching shares it, so that the variants differ in nothing
# else.


# %%
class SharedMatching(LocalOCC):
    """Local OCC with the matching of the detector above."""

    def learn_matching(self, images, generator, report):
        self.matcher.load_state_dict(trained.matcher.state_dict())


variants = LocalOCC.ablations(detector.settings)
variants["imm off, dgm off"] = detector.settings.replace(imm=False, dgm=False)
maps = {}
for name, settings in variants.items():
    variant = SharedMatching(**settings.as_dict()).fit(train_stack)
    maps[name] = upsample(variant.score(test_stack[:]).anomaly_map, truth.shape[1:]).numpy()

names = list(maps)
span = (0.0, float(np.quantile(maps["full"][truth], 0.99)))
for part in (names[:3], names[3:]):
    distributions({name: (maps[name][~truth], maps[name][truth]) for name in part}, unit="0.5 dist", span=span)

# %%
figures = {name: metrics.pixel_report(masks, m) for name, m in maps.items()}
compare(figures, ("pixel_auroc", "pixel_ap", "margin", "overlap"), head="changed")

# %% [markdown]
# One seed, 20 drawn images, a fraction of the paper's epochs: it shows how to look, not what is true. In the paper
# IMM and a centre for every place matter, augmentation hardly does, and DGM matters most. The last column says what
# held on real sets, three seeds each ([lab/bench/README.md](../lab/bench/README.md)):

# %%
compare_with_paper("local_occ")

# %% [markdown]
# ## Where it fails

# %%
print(LocalOCC.fails())

# %% [markdown]
# **A symmetric object.** Eq. (1) can only find a turn that changes the image. The figure shows the loss of an image
# against itself, turned all the way round. The board has one valley that is far deeper than the rest. The toothed
# washer has one for every tooth: the right one is hardly deeper than its neighbours, and a matching that starts in the
# wrong valley stays there.

# %%
degrees = torch.linspace(-175, 175, 701)
figure, axes = plt.subplots(1, 2, figsize=(10, 2.6), sharey=True)
for axis, category in zip(axes, ("board", "washer"), strict=True):
    image = detector.images([item.image() for item in data.load("samples", category).train[:6]])[0]
    loss = loss_of_turns(image, degrees, sigma=2.0)
    loss = loss / loss.max()
    valleys = find_peaks(-loss.numpy(), prominence=0.05)[0]
    axis.plot(degrees, loss, color=BLUE)
    axis.plot(degrees[valleys], loss[valleys], "o", color=ORANGE, markersize=4)
    depths = [f"{depth:.0%}" for depth in sorted(loss[valleys].tolist())]
    axis.set_title(f"{category}: {len(valleys)} valleys, the deepest at {' and '.join(depths[:2])}")
    axis.set_xlabel("turn, degrees")
axes[0].set_ylabel("L_reg, of its largest")
plt.show()

# %% [markdown]
# **The method does not judge what the template does not show.** An image that is shifted against the template loses a
# strip: no place of the template covers it, so the anomaly map has the image's least value there, whatever the strip
# shows. How much that is here:

# %%
with torch.no_grad():
    back = warps.inverse(trained.align(test_stack[:])[1])
judged = warps.seen(back, test_stack[0].shape[-1])
whole = torch.nn.functional.interpolate(judged[:, None].float(), truth.shape[1:])[:, 0].numpy() > 0
row({f"judged of {i}": pixels(test_stack[i] * (0.2 + 0.8 * judged[i])) for i in range(4)})
print(f"not judged: {1 - whole.mean():.1%} of all pixels, {1 - whole[truth].mean():.1%} of the defective ones")

# %% [markdown]
# ## Exercises
#
# ### Exercise 1
#
# $T = (0.5, 0.25, 90°)$ warps the template into an image. Where does the output place $(1, 0)$ read? Write down the
# inverse matrix by hand and check that `warps.compose` of both is the identity.

# %%
# your turn

# %% tags=["solution"]
# (1, 0) turned by 90 degrees is (0, 1), plus the shift: (0.5, 1.25), outside the image. The inverse turns back,
# [[0, 1], [-1, 0]], and its shift is minus the shift turned back: (-0.25, 0.5).
m = warps.matrix(torch.tensor([[0.5, 0.25, math.pi / 2]]))
assert torch.allclose(m[0] @ torch.tensor([1.0, 0.0, 1.0]), torch.tensor([0.5, 1.25]), atol=1e-6)
assert torch.allclose(warps.inverse(m)[0], torch.tensor([[0.0, 1.0, -0.25], [-1.0, 0.0, 0.5]]), atol=1e-6)
assert torch.allclose(warps.compose(m, warps.inverse(m)), torch.eye(2, 3)[None], atol=1e-6)

# %% [markdown]
# ### Exercise 2
#
# At which cosine between $N_M$'s answer and the centre does Eq. (5) stop pushing a synthetic defect, for
# $\delta = 0.1$? At which angle is that? Show with `backward()` that the gradient is zero beyond.

# %%
# your turn

# %% tags=["solution"]
# d = (1 - cos) / 2 = 0.1 at cos = 0.8, an angle of 36.9 degrees: a synthetic defect need not go far.
assert abs(math.degrees(math.acos(1 - 2 * 0.1)) - 36.87) < 0.01
d = torch.tensor([[[0.09, 0.11]]], requires_grad=True)
occ_loss(d, torch.ones(1, 1, 2, dtype=torch.bool), 0.1).backward()
assert torch.allclose(d.grad, torch.tensor([[[-0.5, 0.0]]]))

# %% [markdown]
# ### Exercise 3
#
# In training, the matching meets known turns of up to three quarters of its range. Measure, as above, what is left of
# known turns of 5, 10, 20 and 40 degrees without a shift. Where does it break down, and why there?

# %%
# your turn

# %% tags=["solution"]
# theta = turn tanh(o) reaches 20 degrees here, twice the set's 10: beyond, no answer of the network can be right.
remaining = {}
for degree in (5, 10, 20, 40):
    known = warps.matrix(torch.tensor([[0.0, 0.0, math.radians(degree)]]))
    left = warps.compose(known, trained.align(warps.warp(template, known))[1])
    remaining[degree] = float(warps.angle(left).abs().rad2deg())
    print(f"turned by {degree} degrees: {remaining[degree]:.1f} left")
assert remaining[5] < remaining[40] and remaining[40] >= 40 - math.degrees(trained.turn) - 0.1
