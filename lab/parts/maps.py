"""Anomaly maps: upsampled, smoothed, reduced to a score; what of them is judged; centre crops and their way back."""

import torch
import torch.nn.functional as F
from torch import Tensor


def upsample(maps: Tensor, size: int | tuple[int, int]) -> Tensor:
    """(B, h, w) -> (B, H, W), bilinear, pixel areas aligned (align_corners=False)."""
    shape = (size, size) if isinstance(size, int) else size
    return F.interpolate(maps[:, None], shape, mode="bilinear", align_corners=False)[:, 0]


def regrid(features: Tensor, shape: tuple[int, int], mode: str = "bilinear") -> Tensor:
    """(B, C, h, w) -> (B, C, *shape): finer features averaged over areas, coarser ones upsampled by `mode`."""
    if features.shape[-1] > shape[1]:
        return F.adaptive_avg_pool2d(features, shape)
    return F.interpolate(features, shape, mode=mode) if features.shape[-1] < shape[1] else features


def smooth(maps: Tensor, sigma: float) -> Tensor:
    """Gaussian filter of (B, H, W), sigma in pixels, cut at 4 sigma, borders reflected (as scipy's gaussian_filter)."""
    if sigma <= 0:
        return maps
    radius = min(int(4 * sigma + 0.5), min(maps.shape[-2:]) - 1)
    x = torch.arange(-radius, radius + 1, dtype=maps.dtype, device=maps.device)
    kernel = torch.exp(-0.5 * (x / sigma) ** 2)
    kernel = kernel / kernel.sum()
    # scipy's "reflect" repeats the edge pixel; torch's does not, hence the flips
    padded = torch.cat([maps[..., :radius].flip(-1), maps, maps[..., -radius:].flip(-1)], -1)
    padded = torch.cat([padded[..., :radius, :].flip(-2), padded, padded[..., -radius:, :].flip(-2)], -2)
    rows = F.conv2d(padded[:, None], kernel.view(1, 1, -1, 1))
    return F.conv2d(rows, kernel.view(1, 1, 1, -1))[:, 0]


def sigma_for(size: int) -> float:
    """The field's Gaussian of 4 pixels is meant for maps of about 256; it scales with the map."""
    return 4 * size / 256


def maximum(maps: Tensor) -> Tensor:
    """(B, H, W) -> (B,): the image's score is its worst pixel."""
    return maps.amax((-2, -1))


def mean_of_highest(maps: Tensor) -> Tensor:
    """(B, H, W) -> (B,): the mean of the highest 0.3 % of pixels, a spot 14 pixels wide on a map of 256 x 256: one
    odd pixel counts for less than a defect."""
    count = max(1, round(0.003 * maps[0].numel()))
    return maps.flatten(1).topk(count, 1).values.mean(1)


def centre_crop(images: Tensor, side: int) -> Tensor:
    """(B, C, S, S) -> (B, C, side, side), a view; the whole images where side is 0."""
    side = side or images.shape[-1]
    low = (images.shape[-1] - side) // 2
    return images[..., low : low + side, low : low + side]


def judged_pixels(side: int, size: int, ignored: Tensor | None) -> Tensor | None:
    """bool (1 or B, size, size): pixels in the centre crop of that side and not in `ignored`; None where all are."""
    if side == size:
        return None if ignored is None else ~ignored
    inside = paste(torch.ones(1, side, side, device=None if ignored is None else ignored.device), size) > 0
    return inside if ignored is None else inside & ~ignored


def judged_cells(judged: Tensor | None, shape: tuple[int, int]) -> Tensor | None:
    """The cells of a coarser grid that are judged in a half of their pixels or more; None from None."""
    return None if judged is None else F.adaptive_avg_pool2d(judged.float(), shape) >= 0.5


def fill_unjudged(maps: Tensor, judged: Tensor | None) -> Tensor:
    """(B, H, W) with the least judged value of each image where it is not judged: no score then depends on it.
    Infinite where nothing of an image is judged."""
    if judged is None:
        return maps
    judged = judged.to(maps.device)
    least = torch.where(judged, maps, torch.inf).amin((-2, -1), keepdim=True)
    return torch.where(judged, maps, least)


def paste(maps: Tensor, size: int) -> Tensor:
    """Puts a centre-cropped map (B, h, h) back into (B, size, size), zero around it."""
    low = (size - maps.shape[-1]) // 2
    high = size - maps.shape[-1] - low
    return F.pad(maps, (low, high, low, high)) if low or high else maps
