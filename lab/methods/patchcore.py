"""PatchCore (Roth et al., CVPR 2022): a coreset of normal patch features; a patch is as anomalous as it is far from it.

symbol  name                                                        shape
P       patch features of normal images                             (N h w, C)
M       memory bank, a greedy k-centre coreset of P                 (m, C)
m*      bank row nearest to the image's worst patch m_test*         (C,)
s*      distance of m_test* to m*                                   ()
N_b     the b bank rows nearest to m*                               (b, C)
r(m)    mean distance of a bank row to the nearest rows of K images (m,)

Fails: a normal part in the wrong place, as the bank forgets where a patch was; memory and search grow with the bank

Differs: `turns`, off in all presets, adds turned copies of the normal images | a part may lie in any pose
Differs: `spread`, off in all presets, divides the distance to a bank row by r(m) and scores an image by the mean of
its map's highest 0.3 % | of few images, patches of a rare kind lie far from all others though they are normal; local
density in scores of nearest neighbours: K. Wilkinghoff et al. Local Density-Based Anomaly Score Normalization for
Domain Generalization. 2025

Differs: `live` keeps at most 4,000 patches chosen from 20,000 random candidates | a page must answer in seconds
Differs: the coreset is chosen in 64 random dimensions (live), 128 (paper) | the paper names no width for its projection
Differs: levels are concatenated, not average-pooled to 1,024 channels | the pooling is in its code, not in the paper
"""

import dataclasses

import torch
from torch import Tensor

from ..equations import equation
from ..errors import LabError
from ..image_stack import ImageStack
from ..method import BaseSettings, Method, Scores, setting
from ..parts import features, maps, memory_bank, turns
from ..progress import Report, part_of

LEAST_SPREAD = 0.5  # of the usual spread: in an even background, noise would be infinitely far


@equation("patchcore", 7, formula="s = (1 - exp|m_test - m*| / sum_{m in N_b(m*)} exp|m_test - m|) s*, for one image")
def reweighted(s_star: Tensor, m_star: Tensor, m_test: Tensor, neighbours: Tensor) -> Tensor:
    """The score () of one image, below s* () where the bank is sparse around m* (C,) too; neighbours (b, C) has m*."""
    distances = torch.linalg.vector_norm(neighbours - m_test, dim=1)
    nearest = torch.linalg.vector_norm(m_star - m_test)
    return (1 - torch.exp(nearest - torch.logsumexp(distances, 0))) * s_star


class PatchCore(Method):
    title = "PatchCore"
    paper = "K. Roth et al. Towards Total Recall in Industrial Anomaly Detection. CVPR 2022"
    family = "representation"
    leaves_out_by_number = True

    @dataclasses.dataclass(frozen=True, kw_only=True)
    class Settings(BaseSettings):
        turns_by_poses = True

        backbone: str = features.backbone_setting()
        crop: int = setting(0, "side of the centre crop, pixels; 0 keeps the whole image", low=0, high=1024)
        ratio: float = setting(0.2, "share of the candidates that stays in the bank", low=0.001, high=1.0)
        candidates: int = setting(20_000, "patches the coreset is chosen from; 0: all", low=0, high=10**8)
        projection: int = setting(64, "dimensions in which the coreset is chosen", low=8, high=1024)
        turns: int = setting(1, turns.HELP, low=1, high=turns.MOST)
        neighbours: int = setting(9, "bank rows that reweight the image's score, b", low=1, high=50, eq="7")
        spread: int = setting(
            0,
            "other images to whose nearest patches a bank row's distances are relative, K; 0: to none",
            low=0,
            high=50,
            scoring=True,
            later=True,
        )

    settings: Settings
    bank: Tensor
    owner: Tensor
    place: Tensor
    apart: Tensor
    spread_units: Tensor
    changes = {"paper": dict(backbone="wide_resnet50_2.tv_in1k", crop=224, ratio=0.1, candidates=0, projection=128)}
    changes |= features.STRONGER
    worth_trying = (dict(size=384, spread=3), dict(spread=3), dict(tiles=1, spread=3), {})

    def build(self) -> None:
        self.backbone = features.backbone(self.settings.backbone, (2, 3))
        self.register_buffer("bank", torch.empty(0))  # (m, C)
        self.register_buffer("owner", torch.empty(0, dtype=torch.int32))  # (m,) the image a row came from
        self.register_buffer("place", torch.empty(0, dtype=torch.int32))  # (m,) and its patch in all turns of it
        # of `spread`, measured on the bank: distances of its rows to n images, and r(m); in no file
        self.register_buffer("apart", torch.empty(0), persistent=False)  # (m, n)
        self.register_buffer("spread_units", torch.empty(0), persistent=False)  # (m,)

    def learned_shapes(self) -> dict[str, tuple[int | str, ...]]:
        return {"bank": ("m", sum(self.backbone.channels)), "owner": ("m",), "place": ("m",)}

    def check_learned(self) -> None:
        if int(self.owner.amin()) < 0 or not 0 <= int(self.place.amin()) <= int(self.place.amax()) < 2**24:
            raise LabError("PatchCore's bank names images or patches that cannot be")
        self.measure_spread()

    def learn(self, images: ImageStack, generator: torch.Generator, report: Report) -> None:
        s = self.settings
        crops = images.cropped(s.crop)
        grid = features.pyramids(self.backbone, crops, torch.tensor([0]))[0][0, 0]
        crops = turns.in_poses(crops, s.turns)
        shown = turns.shown_patches(grid.shape, s.turns)
        places = shown.repeat(len(images)).nonzero()[:, 0]  # of all patches, those that show the image itself
        order = torch.randperm(len(places), generator=generator)
        candidates = places[order[: s.candidates or None].sort().values]
        rows = lambda images, index: features.rows_of(features.fuse(features.pyramids(self.backbone, images, index)))
        P = features.rows_at(candidates, crops, rows, part_of(report, 0, 0.4))
        thin = memory_bank.random_projection(P, s.projection, generator)
        count = max(1, round(s.ratio * len(candidates)))
        chosen = memory_bank.k_center(thin, count, generator, part_of(report, 0.4, 1))
        self.bank, candidates = P[chosen], candidates[chosen].to(P.device)
        self.owner = images.owners.to(P.device)[candidates // len(shown)].int()
        self.place = (candidates % len(shown)).int()
        self.measure_spread()

    @torch.no_grad()
    def score(self, images: Tensor, ignored: Tensor | None = None) -> Scores:
        return self._score(self.backbone(maps.centre_crop(images, self.settings.crop)), images.shape[-1], ignored)

    @torch.no_grad()
    def score_left_out(self, images: Tensor, index: Tensor, ignored: Tensor | None = None) -> Scores:
        crops = ImageStack(maps.centre_crop(images, self.settings.crop))
        pyramid = features.pyramids(self.backbone, crops, torch.arange(len(crops)))
        return self._score(pyramid, images.shape[-1], ignored, index)

    def _score(self, pyramid: list[Tensor], size: int, ignored: Tensor | None, index: Tensor | None = None) -> Scores:
        fused = features.fuse(pyramid)
        shape, rows = (len(fused), *fused.shape[-2:]), features.rows_of(fused)
        rows_of_each = rows.view(len(fused), -1, rows.shape[1])
        left_out = [None] * len(fused) if index is None else index.tolist()
        if self.settings.spread:
            of_each = zip(rows_of_each, left_out, strict=True)
            distances = torch.cat([memory_bank.nearest_in_units(x, self.bank, self.units(i)) for x, i in of_each])
        else:
            own = None if index is None else index.to(rows.device).repeat_interleave(shape[1] * shape[2])
            owners = None if own is None else (own, self.owner)
            distances = memory_bank.nearest(rows, self.bank, owners=owners)
        distances, side = distances.view(shape), self.settings.crop or size
        smooth = maps.smooth(maps.upsample(distances, side), maps.sigma_for(side))
        scores = Scores.of(smooth, size, ignored, pool=self.pool)
        if self.settings.spread:
            return scores
        if ignored is not None:
            cells = maps.judged_cells(maps.centre_crop(~ignored, side), shape[1:])
            distances = maps.fill_unjudged(distances, cells)
        banks = (self.bank if i is None else self.bank[self.owner != i] for i in left_out)
        images = zip(rows_of_each, distances.flatten(1), banks, strict=True)
        return scores._replace(image_score=torch.stack([self._image_score(*image) for image in images]))

    @torch.no_grad()
    def measure_spread(self) -> None:
        """Measures r(m) anew, of the bank as it is."""
        if self.settings.spread:
            apart = memory_bank.nearest_of_each(self.bank, self.bank, self.owner)
            self.apart = apart.scatter(1, self.owner.long()[:, None], torch.inf)
            self.spread_units = self._units(self.apart)

    def units(self, left_out: int | None = None) -> Tensor:
        """r(m), (m,): the mean distance of each bank row to the nearest rows of the K images that are nearest, but for
        those of its own image and of an image left out, whose rows are infinitely far."""
        if left_out is None:
            return self.spread_units
        apart = self.apart.clone()
        apart[:, left_out : left_out + 1] = torch.inf  # an image of which no row was chosen has no column
        return self._units(apart).masked_fill(self.owner == left_out, torch.inf)

    def _units(self, apart: Tensor) -> Tensor:
        nearest = apart.topk(min(self.settings.spread, apart.shape[1]), largest=False).values
        known = nearest.isfinite()
        means = torch.where(known, nearest, 0).sum(1) / known.sum(1).clamp_min(1)
        known_means = means[known[:, 0]]
        usual = known_means.median() if len(known_means) else means.new_ones(())
        return torch.where(known[:, 0], means, usual).clamp_min(LEAST_SPREAD * usual).clamp_min(1e-6)

    def pool(self, anomaly_map: Tensor) -> Tensor:
        return maps.mean_of_highest(anomaly_map) if self.settings.spread else maps.maximum(anomaly_map)

    def whole_score(self, anomaly_map: Tensor, of_tiles: Tensor) -> Tensor:
        return of_tiles.amax(0, keepdim=True)

    def _image_score(self, rows: Tensor, distances: Tensor, bank: Tensor) -> Tensor:
        if self.settings.neighbours == 1:
            return distances.amax()
        worst = distances.argmax()[None]  # (1,), as every index here: one without a dimension cannot be exported
        m_test = rows[worst]
        m_star = bank[memory_bank.nearest_index(m_test, bank)[0]]
        around = bank[memory_bank.nearest_index(m_star, bank, self.settings.neighbours)[0]]
        return reweighted(distances[worst][0], m_star[0], m_test[0], around)
