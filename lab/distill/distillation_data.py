"""The images that the embedded backbone is distilled from: natural crops, drawn surfaces, and both with a small defect.

They vary widely: colour and grey, high and low contrast, textures, objects, uneven light, blur and noise.
"""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import scipy.fft
import torch
import torch.nn.functional as F
from PIL import Image, ImageDraw
from torch import Tensor

from .. import image_files
from ..errors import LabError
from ..parts.features import MEAN, STD

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".webp")


class DistillationData:
    """An endless, seeded source of batches of drawn images and, if named, a folder's. LabError where it has none."""

    def __init__(self, images: str | Path | None, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.photos: list[np.ndarray] = []
        if images is not None:
            files = sorted(p for p in Path(images).rglob("*") if p.suffix.lower() in SUFFIXES)
            if not files:
                raise LabError(f"{images} holds no images ({', '.join(SUFFIXES)}): name another folder")
            self.photos = [image_files.read(p) for p in files]

    def __len__(self) -> int:
        return len(self.photos)

    def chance(self, p: float) -> bool:
        return bool(self.rng.random() < p)

    def colour(self) -> np.ndarray:
        """float32 (3,) in [0, 1]: half of the time nearly grey."""
        c = self.rng.random(3)
        c = c if self.chance(0.5) else np.clip(c[:1] + 0.05 * self.rng.standard_normal(3), 0, 1)
        return c.astype(np.float32)

    def crop(self, side: int) -> np.ndarray:
        """A natural crop, rotated and scaled: float32 (side, side, 3) in [0, 1]."""
        image = self.photos[self.rng.integers(len(self.photos))]
        shortest = min(image.shape[:2])
        window = int(min(shortest, side * np.exp(self.rng.uniform(np.log(0.4), np.log(2.2)))))
        top, left = (self.rng.integers(n - window + 1) for n in image.shape[:2])
        cut = Image.fromarray(image[top : top + window, left : left + window])
        crop = np.asarray(cut.resize((side, side), Image.Resampling.BILINEAR))
        crop = np.rot90(crop, int(self.rng.integers(4)))
        return np.asarray((crop[:, ::-1] if self.chance(0.5) else crop).astype(np.float32) / 255)

    def noise(self, side: int, channels: int) -> np.ndarray:
        """Noise of a random power-law spectrum, sometimes stretched: (side, side, channels), deviation 1."""
        slope, stretch = self.rng.uniform(0.3, 2.2), 2.0 ** self.rng.uniform(-3, 3) if self.chance(0.3) else 1.0
        f = np.hypot(np.fft.fftfreq(side)[:, None] * stretch, np.fft.rfftfreq(side)).astype(np.float32)
        white = self.rng.standard_normal((channels, side, side), dtype=np.float32)
        total = scipy.fft.irfft2(scipy.fft.rfft2(white) * np.maximum(f, 1 / side) ** -slope, s=(side, side))
        total -= total.mean()
        return np.asarray((total / (total.std() + 1e-6)).transpose(1, 2, 0))

    def texture(self, side: int) -> np.ndarray:
        """A procedural texture: noise, grating, checker, gradient, grain, dots, strokes or chips; (side, side, 3)."""
        a, b = self.colour(), self.colour()
        y, x = np.mgrid[0:side, 0:side].astype(np.float32)
        angle, period = self.rng.uniform(0, np.pi), np.exp(self.rng.uniform(np.log(4), np.log(60)))
        u, v = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
        texture = self.rng.integers(10)
        if texture >= 8:
            return self.chips(side)
        if texture == 0:
            return np.clip(0.5 + self.noise(side, 3) * self.rng.uniform(0.05, 0.3), 0, 1)
        if texture in (1, 2):
            t = 0.5 + self.noise(side, 1) * self.rng.uniform(0.03, 0.3)
        elif texture == 3:
            phase = self.rng.uniform(0, 1.5) * self.noise(side, 1)[..., 0]
            t = 0.5 + 0.5 * np.sin(2 * np.pi * u / period + phase)[..., None]
        elif texture == 4:
            t = ((np.floor(u / period) + np.floor(v / period * self.rng.choice([0, 1, 1]))) % 2)[..., None]
        elif texture == 5:
            t = ((u - u.min()) / (np.ptp(u) + 1))[..., None] + self.noise(side, 1) * self.rng.uniform(0, 0.05)
        elif texture == 6:
            t = union(self.shape(side, 0.03, 0.15) for _ in range(self.rng.integers(5, 40)))[..., None]
        else:
            t = union(self.stroke(side, self.rng.uniform(1, 6)) for _ in range(self.rng.integers(3, 15)))[..., None]
        if self.chance(0.4):
            t = t + self.rng.uniform(0.02, 0.15) * self.noise(side, 1)
        return np.asarray(np.clip(a + (b - a) * t, 0, 1), np.float32)

    def chips(self, side: int) -> np.ndarray:
        """Stone, granules, fragments: many small polygons of a few colours on a grainy ground; (side, side, 3)."""
        palette = np.stack([self.colour() for _ in range(self.rng.integers(2, 6))])
        contrast = self.rng.uniform(0.15, 1)
        palette = palette[0] + contrast * (palette - palette[0])
        size = 2 * side * np.exp(self.rng.uniform(np.log(0.008), np.log(0.06)))
        count = int(min(500, self.rng.uniform(0.1, 0.8) * (2 * side / size) ** 2 / 2))
        image = Image.new("RGB", (2 * side, 2 * side), tuple((255 * palette[0]).astype(int).tolist()))
        brush = ImageDraw.Draw(image)
        for _ in range(count):
            angles = np.sort(self.rng.uniform(0, 2 * np.pi, self.rng.integers(5, 9)))
            radii = size * self.rng.uniform(0.4, 1) * self.rng.uniform(0.7, 1, len(angles))
            cx, cy = self.rng.uniform(0, 2 * side, 2)
            tone = palette[self.rng.integers(len(palette))] + 0.04 * self.rng.standard_normal()
            corners = np.stack([cx + radii * np.cos(angles), cy + radii * np.sin(angles)], 1)
            brush.polygon(corners.ravel().tolist(), fill=tuple((255 * np.clip(tone, 0, 1)).astype(int).tolist()))
        grain = self.rng.uniform(0, 0.08) * self.noise(side, 1)
        return np.clip(halve(image) + grain, 0, 1).astype(np.float32)

    def surface(self, side: int) -> np.ndarray:
        """A natural crop or a texture, (side, side, 3)."""
        return self.crop(side) if self.photos and self.chance(0.7) else self.texture(side)

    def image(self, side: int) -> np.ndarray:
        """A surface; one in four times a scene of objects of one surface on another."""
        base = self.surface(side)
        for _ in range(self.rng.integers(1, 5) if self.chance(0.25) else 0):
            m = self.shape(side, 0.1, 0.5)[..., None]
            top = self.surface(side) if self.chance(0.5) else self.colour()
            base = base * (1 - m) + top * m
        return base

    def shape(self, side: int, low: float, high: float) -> np.ndarray:
        """An ellipse, box or polygon of radius low..high sides, antialiased: (side, side) in [0, 1]."""
        n = int(self.rng.integers(3, 9))
        r = side * 2 * self.rng.uniform(low, high)
        cx, cy = self.rng.uniform(0, 2 * side, 2)
        stretch, turn = self.rng.uniform(0.3, 1), self.rng.uniform(0, 2 * np.pi)
        smooth = self.chance(0.5)
        angles = np.linspace(0, 2 * np.pi, 40 if smooth else n, endpoint=False)
        radii = np.full(len(angles), r) if smooth else r * self.rng.uniform(0.5, 1, len(angles))
        px, py = radii * np.cos(angles), radii * stretch * np.sin(angles)
        px, py = cx + px * np.cos(turn) - py * np.sin(turn), cy + px * np.sin(turn) + py * np.cos(turn)
        image = Image.new("L", (2 * side, 2 * side))
        ImageDraw.Draw(image).polygon(np.stack([px, py], 1).ravel().tolist(), fill=255)
        return halve(image)

    def stroke(self, side: int, width: float, length: float = 1.0) -> np.ndarray:
        """A wandering line, `width` half pixels wide: (side, side) in [0, 1]."""
        steps = int(self.rng.integers(3, 4 + max(1, int(24 * length))))
        bend = self.rng.choice([0.05, 0.3, 0.8])
        turn = self.rng.uniform(0, 2 * np.pi) + np.cumsum(self.rng.normal(0, bend, steps))
        walk = np.cumsum(np.stack([np.cos(turn), np.sin(turn)], 1) * side / 16, 0)
        walk = walk + self.rng.uniform(0.2, 1.8, 2) * side
        image = Image.new("L", (2 * side, 2 * side))
        ImageDraw.Draw(image).line(walk.ravel().tolist(), fill=255, width=max(1, round(width)), joint="curve")
        return halve(image)

    def defect(self, image: np.ndarray) -> np.ndarray:
        """The image (H, W, 3) with a crack, scratch, spot, stain, patch, blurred or noisy place."""
        side = len(image)
        shape = self.rng.integers(6)
        if shape <= 1:
            m = self.stroke(side, self.rng.uniform(1, 5))
        elif shape == 2:
            m = union(self.stroke(side, 1.5, 0.3) for _ in range(self.rng.integers(1, 4)))
        elif shape <= 4:
            m = self.shape(side, 0.015, 0.12)
        else:
            n = self.noise(side, 1)[..., 0]
            m = self.shape(side, 0.1, 0.25) * (n > n.mean())
        m = m[..., None]
        change = self.rng.integers(8)
        if change <= 4:
            strength = np.exp(self.rng.uniform(np.log(0.02), np.log(0.6))) * self.rng.choice([-1, -1, 1])
            other = image + strength * (np.ones(3) if self.chance(0.5) else self.rng.uniform(-1, 1, 3))
        elif change == 5:
            other = np.roll(image, self.rng.integers(side // 8, side, 2).tolist(), (0, 1))
        elif change == 6:
            other = self.surface(side)
        else:
            other = image + self.rng.uniform(0.03, 0.3) * self.noise(side, 1)
        return np.asarray(np.clip(image * (1 - m) + other * m, 0, 1), np.float32)

    def relight(self, p: np.ndarray) -> np.ndarray:
        """The image under another camera and lamp: grey, contrast, gamma, colour, uneven light, blur."""
        side = len(p)
        grey = self.chance(0.4)
        p = np.repeat(p.mean(2, keepdims=True), 3, 2) if grey else p * self.rng.uniform(0.8, 1.2, 3).astype(np.float32)
        if self.chance(0.6):
            contrast = float(np.exp(self.rng.uniform(np.log(0.12), np.log(1.5))))
            p = (p - p.mean()) * contrast + float(np.clip(p.mean() + self.rng.normal(0, 0.15), 0.1, 0.9))
        if self.chance(0.4):
            grid = torch.from_numpy(self.rng.standard_normal((1, 1, 3, 3), dtype=np.float32))
            field = F.interpolate(grid, size=(side, side), mode="bicubic")
            p = p * np.exp(float(self.rng.uniform(0.05, 0.4)) * field[0, 0, :, :, None].numpy())
        p = np.clip(p, 0, 1)
        if self.chance(0.3):
            p = p ** np.exp(self.rng.normal(0, 0.4))
        if self.chance(0.15):
            small = int(side * self.rng.uniform(0.25, 0.8))
            image = Image.fromarray((p * 255).astype(np.uint8)).resize((small, small), Image.Resampling.BOX)
            p = np.asarray(image.resize((side, side), Image.Resampling.BICUBIC), np.float32) / 255
        return p.astype(np.float32)

    def grain(self, side: int) -> np.ndarray:
        """A sensor's noise, half of the time none: (side, side, 1)."""
        strength = float(self.rng.choice([0, 0, 0.01, 0.03]))
        return strength * self.rng.standard_normal((side, side, 1), dtype=np.float32)

    def batch(self, count: int, side: int, pairs: int) -> Tensor:
        """ImageNet-normalised images, float32 (count, 3, side, side); the last `pairs` are the first with a defect."""
        normal = [self.relight(self.image(side)) for _ in range(count - pairs)]
        grain = [self.grain(side) for _ in normal]  # a pair has the same light and grain: only the defect differs
        noisy = zip(normal + [self.defect(p) for p in normal[:pairs]], grain + grain[:pairs], strict=True)
        stack = np.stack([np.clip(p + g, 0, 1) for p, g in noisy])
        stack = (stack.astype(np.float32) - np.asarray(MEAN, np.float32)) / np.asarray(STD, np.float32)
        return torch.from_numpy(stack).permute(0, 3, 1, 2).contiguous(memory_format=torch.channels_last)


def halve(image: Image.Image) -> np.ndarray:
    """An image of twice the side -> float32 in [0, 1] at half of it, so that edges are antialiased."""
    size = (image.width // 2, image.height // 2)
    return np.asarray(image.resize(size, Image.Resampling.BOX), np.float32) / 255


def union(masks: Iterable[np.ndarray]) -> np.ndarray:
    """The sum of masks in [0, 1], at most 1."""
    total: np.ndarray = sum(masks, np.zeros((), np.float32))
    return total.clip(0, 1)
