"""Backbones: images -> feature pyramids. Sole owner of ImageNet's mean and deviation, and of the feature cache."""

import functools
import os
from collections.abc import Callable
from contextvars import ContextVar
from pathlib import Path
from typing import Any, Self

import safetensors.torch
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .. import file_hashes
from ..device import device
from ..errors import LabError
from ..image_stack import ImageStack, batches
from ..lru_cache import LRUCache
from ..method import BaseSettings, setting
from ..progress import Report, no_report
from . import pretrained_weights
from .embedded import Embedded

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)

BACKBONES: tuple[str, ...] = ("embedded", "resnet18.tv_in1k", "wide_resnet50_2.tv_in1k")
BACKBONES += ("hrnet_w32.ms_in1k", "vit_small_patch14_dinov2.lvd142m")


# Changes of a preset that only takes stronger features than the embedded ones. DINOv2's patches are 14 pixels wide.
STRONGER: dict[str, dict[str, Any]] = {
    "resnet18": dict(backbone="resnet18.tv_in1k"),
    "wide_resnet50_2": dict(backbone="wide_resnet50_2.tv_in1k"),
    "dinov2": dict(backbone="vit_small_patch14_dinov2.lvd142m", size=448),
}


def backbone_setting(default: str = "embedded") -> Any:
    """The setting `backbone` of every method that has one."""
    help = "network whose features are used, by full timm tag; `embedded` is this project's own"
    return setting(default, help, choices=BACKBONES)


class Tokens(nn.Module):
    """A vision transformer as a pyramid: level l, (B, C, H / 2^(l+1), W / 2^(l+1)), has the tokens of block 3 l of 12.

    All blocks see the same grid, one token a patch (14 pixels for DINOv2), resized bilinearly to the level's size. The
    image is first resized to whole patches: with padding or cropping, tokens would shift against the image.
    """

    prefix = "network.model."  # of the names of its tensors, before those of timm's file

    def __init__(self, tag: str, levels: tuple[int, ...]):
        import timm

        super().__init__()
        self.levels = levels
        options: dict[str, Any] = dict(pretrained=False, features_only=True, dynamic_img_size=True)
        self.network = timm.create_model(tag, out_indices=[3 * level - 1 for level in levels], **options)
        self.feature_info: Any = self.network.feature_info

    def forward(self, images: Tensor) -> list[Tensor]:
        patch, sides = self.feature_info.reduction()[0], images.shape[-2:]
        whole = [max(1, round(side / patch)) * patch for side in sides]
        tokens = self.network(F.interpolate(images, whole, mode="bilinear"))
        sizes = ([-(-side // 2 ** (level + 1)) for side in sides] for level in self.levels)
        return [F.interpolate(grid, size, mode="bilinear") for grid, size in zip(tokens, sizes, strict=True)]


def weights_folders() -> list[Path]:
    """The folders of this project's own weights: the checkout's `weights/`, then the installed package's."""
    package = Path(__file__).parents[1]
    return [package.parent / "weights", package / "weights"]


def imagenet_norm(images: Tensor) -> Tensor:
    """(B, 3, H, W) in [0, 1] -> zero mean, unit deviation over ImageNet."""
    mean, std = (torch.tensor(v, device=images.device).view(3, 1, 1) for v in (MEAN, STD))
    return (images - mean) / std


def architecture(tag: str, levels: tuple[int, ...] = (1, 2, 3)) -> nn.Module:
    """The network of that tag at a random start, BatchNorm live: normalised images -> a map of stride 2^(l+1) each."""
    if tag == "embedded":
        return with_batchnorm(Embedded())
    if tag.startswith("vit_"):
        return Tokens(tag, levels)
    import timm  # seconds to import, and not needed for the embedded network

    # HRNet's own branches, not the widened ones of its classifier (CDO's "first three hierarchies")
    extra: dict[str, Any] = {"feature_location": ""} if tag.startswith("hrnet") else {}
    return timm.create_model(tag, pretrained=False, features_only=True, out_indices=levels, **extra)


def with_batchnorm(network: nn.Module) -> nn.Module:
    """Puts live BatchNorm, folded in the stored file, behind every convolution but the heads that give the features."""
    for path, conv in list(network.named_modules()):
        if isinstance(conv, nn.Conv2d) and not path.startswith("heads"):
            parent, _, leaf = path.rpartition(".")
            conv.bias = None
            setattr(network.get_submodule(parent), leaf, nn.Sequential(conv, nn.BatchNorm2d(conv.out_channels)))
    return network


class Backbone(nn.Module):
    """A frozen pretrained network: images (B, 3, H, W) in [0, 1] -> a map (B, channels[l], H/s_l, W/s_l) per level."""

    def __init__(self, tag: str, levels: tuple[int, ...] = (1, 2, 3)):
        super().__init__()
        path = find_weights(tag)
        file_hashes.check(path)
        self.tag, self.levels, self.sha256 = tag, levels, file_hashes.file_sha256(path)
        if tag == "embedded":
            self.network: nn.Module = Embedded()
            self.channels = tuple(Embedded.channels[level - 1] for level in levels)
        else:
            self.network = architecture(tag, levels)
            self.channels = tuple(self.network.feature_info.channels())  # type: ignore[operator, union-attr]
        load_weights(self.network, tag, path)
        self.requires_grad_(False).eval()

    def train(self, mode: bool = True) -> Self:
        """Stays in eval mode: an expert whose BatchNorm follows the batch silently destroys the target."""
        return super().train(False)

    def forward(self, images: Tensor) -> list[Tensor]:
        out = self.network(imagenet_norm(images))
        return [out[level - 1] for level in self.levels] if self.tag == "embedded" else out


def load_weights(network: nn.Module, tag: str, path: Path, assign: bool = False) -> None:
    """Copies (on device `meta`: assigns) a safetensors file's tensors to a network. Raises LabError where one lacks."""
    prefix = getattr(network, "prefix", "")
    stored = {prefix + name: tensor for name, tensor in safetensors.torch.load_file(path).items()}
    names = network.state_dict().keys()
    if missing := [name for name in names if name not in stored and not name.endswith("num_batches_tracked")]:
        raise LabError(f"{path} lacks {len(missing)} tensors of {tag} (first: {missing[0]}); replace the file")
    network.load_state_dict({name: stored[name] for name in names if name in stored}, strict=False, assign=assign)


@functools.lru_cache(maxsize=4)
def _backbone(tag: str, levels: tuple[int, ...], path: Path, changed: int) -> Backbone:
    with torch.random.fork_rng():  # building draws random weights; a fit must not depend on who loaded first
        return Backbone(tag, levels).to(device())


def backbone(tag: str, levels: tuple[int, ...] = (1, 2, 3)) -> Backbone:
    """The frozen backbone of that tag, loaded once per process. Raises LabError where its weights are not found."""
    path = find_weights(tag)
    return _backbone(tag, levels, path, path.stat().st_mtime_ns)


def search_folders() -> list[Path]:
    """The folders searched for `<tag>.safetensors`, in that order."""
    custom = os.environ.get("LAB_WEIGHTS")
    return [*weights_folders(), *([Path(custom)] if custom else []), pretrained_weights.download_folder()]


def local_weights(tag: str) -> Path | None:
    """The safetensors file of a tag where it needs no download: in `search_folders` or the Hub's cache; else None."""
    files = (folder / pretrained_weights.file_name(tag) for folder in search_folders())
    file = next((path for path in files if path.is_file()), None)
    return file or (None if tag == "embedded" else pretrained_weights.cached(tag))


def find_weights(tag: str) -> Path:
    """The safetensors file of a tag: the local one, else the Hub's, never another network's. Raises LabError."""
    if path := local_weights(tag):
        return path
    tried = ", ".join(map(str, search_folders()))
    if tag == "embedded":
        raise LabError(f"the embedded backbone is missing (looked in {tried}); make it with: python -m lab distill")
    try:
        return pretrained_weights.fetch(tag)
    except LabError as error:
        places = f"looked in {tried} for {tag}.safetensors, then on the Hub ({error})"
        todo = "put the file into a folder and set LAB_WEIGHTS to it, or choose `embedded`"
        raise LabError(f"backbone {tag} is not at hand: {places}; {todo}") from None


def backbone_weights(settings: BaseSettings) -> dict[str, str]:
    """Tag and hash of the pretrained weights that the settings name; empty when they name none."""
    tag = next((value for k in ("backbone", "perceptual") if (value := getattr(settings, k, "none")) != "none"), None)
    return {"tag": tag, "sha256": file_hashes.file_sha256(find_weights(tag))} if tag else {}


OWNER: ContextVar[str] = ContextVar("owner", default="")
"""Whose images the thread works on, "" for public sets: their cached features are dropped with the owner's images."""


class FeatureCache(LRUCache[tuple[Any, ...], list[Tensor]]):
    """Features by (owner, SHA-256 of the weights, levels, device, digest of the image), at most `limit` bytes."""

    def __init__(self, limit: int):
        super().__init__(limit, lambda pyramid: sum(level.nbytes for level in pyramid))

    def drop(self, owner: str) -> None:
        """Forgets the features of this owner's images."""
        self.pop_where(lambda key: key[0] == owner)


CACHE = FeatureCache(limit=int(os.environ.get("LAB_CACHE_MB", "768")) * 2**20)


@torch.no_grad()
def pyramids(network: Backbone, images: ImageStack, index: Tensor) -> list[Tensor]:
    """Features of images[index], (B, C_l, h_l, w_l) a level, through the cache; one at a time: bits ignore batches."""
    pyramid_of_each = []
    for i in index.tolist():
        key = (OWNER.get(), network.sha256, network.levels, device().type, images.digest(i))
        pyramid_of_each.append(CACHE.get(key) or CACHE.put(key, network(images[i])))
    return [torch.cat(level) for level in zip(*pyramid_of_each, strict=True)]


def fuse(features: list[Tensor], pool: bool = True) -> Tensor:
    """Pyramid -> (B, sum C_l, h, w) at the first level's resolution; `pool`: levels averaged over 3x3 first."""
    first, *coarser = [F.avg_pool2d(f, 3, 1, 1) for f in features] if pool else features
    return torch.cat([first] + [F.interpolate(f, first.shape[-2:], mode="bilinear") for f in coarser], 1)


Patcher = Callable[[ImageStack, Tensor], Tensor]
"""patcher(images, index (B,)) -> patches (B h w, C)."""


@torch.no_grad()
def rows_at(places: Tensor, images: ImageStack, patcher: Patcher, report: Report = no_report) -> Tensor:
    """The patches (m, C) at `places` (m,), ascending numbers over all patches of the images."""
    n, chosen = len(images), torch.empty(0)
    for index in batches(n, 8):
        patches, done = patcher(images, index), int(index[-1]) + 1
        start = int(index[0]) * len(patches) // len(index)
        low, high = torch.searchsorted(places, torch.tensor([start, start + len(patches)])).tolist()
        if not len(chosen):  # allocated once and whole: pieces kept between temporary ones would scatter memory
            chosen = patches.new_empty(len(places), patches.shape[1])
        chosen[low:high] = patches[places[low:high] - start]
        report(done / n, f"features of {done} of {n} images")
    return chosen


def rows_of(features: Tensor) -> Tensor:
    """(B, C, h, w) -> (B h w, C): one row a patch, image by image, line by line."""
    return features.permute(0, 2, 3, 1).flatten(0, 2)
