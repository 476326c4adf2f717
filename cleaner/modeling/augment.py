"""Augmentations of recipe.md section 4, one small function each: an image and a random generator in, an image out.

An image is a tensor (3, H, W) uint8, RGB. Every draw comes from the generator passed in, so that threads can augment
in parallel and a resumed training sees the same pixels as an uninterrupted one.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence

import numpy as np
import torch
from PIL import Image
from torchvision.transforms.v2 import CutMix, MixUp
from torchvision.transforms.v2 import functional as F

QUALITY_SIDES = (150 / 380, 190 / 380)
"""Random quality shrinks to 150-190 of 380 px (recipe.md); here in proportion to the image."""
_JPEG_QUALITY = (30, 80)
_CROP_AREA = (0.5, 1.0)
_CROP_ASPECT = (3 / 4, 4 / 3)
_PASTE_SIDE = (0.5, 0.95)
_ERASED_AREA = (0.02, 0.25)
_JITTER = 0.4
_HUE = 0.05
_GRIDS = (2, 3)


def crop(image: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    """A random part of 50-100 % of the area and an aspect of 3:4 to 4:3, resized to the image's size."""
    height, width = image.shape[-2:]
    top, left, h, w = _draw_rectangle(height, width, _CROP_AREA, rng)
    return _resized(image[:, top : top + h, left : left + w], height, width)


def mirror(image: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    """Flipped left to right."""
    return image.flip(2)


def rot90(image: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    """Turned by 0, 90, 180 or 270 degrees; the image is square."""
    return torch.rot90(image, int(rng.integers(4)), (1, 2))


def jitter(image: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    """Brightness, contrast and saturation times 0.6-1.4 each, and the hue shifted by up to 18 degrees."""
    brightness, contrast, saturation = rng.uniform(1 - _JITTER, 1 + _JITTER, 3).tolist()
    image = F.adjust_contrast(F.adjust_brightness(image, brightness), contrast)
    image = F.adjust_hue(F.adjust_saturation(image, saturation), float(rng.uniform(-_HUE, _HUE)))
    return image


def quality(image: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    """Worse quality: shrunk in proportion to 150-190 of 380 px and resized back, a lossy JPEG, or both."""
    kind = int(rng.integers(3))
    if kind != 0:
        height, width = image.shape[-2:]
        share = rng.uniform(*QUALITY_SIDES)
        small = _resized(image, max(2, round(height * share)), max(2, round(width * share)))
        image = _resized(small, height, width)
    if kind != 1:
        image = _as_jpeg(image, int(rng.integers(*_JPEG_QUALITY)))
    return image


def paste(image: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    """The image at 50-95 % of its side, somewhere on a canvas of its mean colour."""
    height, width = image.shape[-2:]
    share = rng.uniform(*_PASTE_SIDE)
    h, w = max(2, round(height * share)), max(2, round(width * share))
    top, left = int(rng.integers(height - h + 1)), int(rng.integers(width - w + 1))
    canvas = _mean_colour(image).expand_as(image).clone()
    canvas[:, top : top + h, left : left + w] = _resized(image, h, w)
    return canvas


def grid_shuffle(image: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    """The tiles of a 2 x 2 or 3 x 3 grid in random order; pixels beyond the last whole tile stay."""
    num = int(rng.choice(_GRIDS))
    h, w = image.shape[-2] // num, image.shape[-1] // num
    if not h or not w:
        return image
    order = rng.permutation(num * num)
    out = image.clone()
    for to, source in enumerate(order.tolist()):
        (y, x), (v, u) = divmod(to, num), divmod(source, num)
        out[:, y * h : (y + 1) * h, x * w : (x + 1) * w] = image[:, v * h : (v + 1) * h, u * w : (u + 1) * w]
    return out


def erase(image: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    """A random rectangle of 2-25 % of the area becomes noise (Zhong et al. 2020)."""
    height, width = image.shape[-2:]
    top, left, h, w = _draw_rectangle(height, width, _ERASED_AREA, rng)
    out = image.clone()
    out[:, top : top + h, left : left + w] = torch.from_numpy(rng.integers(0, 256, (3, h, w), dtype=np.uint8))
    return out


_ALL = (crop, mirror, rot90, jitter, quality, paste, grid_shuffle, erase)
AUGMENTATIONS: dict[str, Callable[[torch.Tensor, np.random.Generator], torch.Tensor]] = {f.__name__: f for f in _ALL}
"""Every augmentation of single images by the name that recipes use."""


def augment(image: torch.Tensor, steps: Sequence[tuple[str, float]], rng: np.random.Generator) -> torch.Tensor:
    """`image` (3, H, W) uint8 after each of `steps` (name, probability) in order; its size stays."""
    for name, probability in steps:
        if rng.random() < probability:
            image = AUGMENTATIONS[name](image, rng)
    return image


def mix_batch(
    images: torch.Tensor, targets: torch.Tensor, *, mixup: float, cutmix: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """A batch mixed by MixUp or CutMix with these Beta parameters; 0: not used; with both, one of them at random.

    `images` (B, 3, H, W) float, `targets` (B, K) float with any row sums. Draws from torch's global generator, as
    torchvision's transforms do: the caller seeds it.
    """
    kinds: list[MixUp | CutMix] = []
    num = len(images)
    # labels 0 .. B-1 of B classes: the result is the matrix that mixes the rows, whatever the targets are
    if mixup > 0:
        kinds.append(MixUp(alpha=mixup, num_classes=num))
    if cutmix > 0:
        kinds.append(CutMix(alpha=cutmix, num_classes=num))
    if not kinds or num < 2:
        return images, targets
    kind = kinds[int(torch.randint(len(kinds), ()))]
    mixed, shares = kind(images, torch.arange(num))
    return mixed, shares.to(targets) @ targets


def _draw_rectangle(
    height: int, width: int, area_range: tuple[float, float], rng: np.random.Generator
) -> tuple[int, int, int, int]:
    """Top, left, height and width of a random rectangle whose area is a share of the image's within `area_range`."""
    area = rng.uniform(*area_range) * height * width
    aspect = np.exp(rng.uniform(*np.log(_CROP_ASPECT)))
    h = min(height, max(1, round((area / aspect) ** 0.5)))
    w = min(width, max(1, round((area * aspect) ** 0.5)))
    return int(rng.integers(height - h + 1)), int(rng.integers(width - w + 1)), h, w


# with Pillow, because torchvision's encoder is deprecated (0.29)
def _as_jpeg(image: torch.Tensor, percent: int) -> torch.Tensor:
    buffer = io.BytesIO()
    Image.fromarray(image.permute(1, 2, 0).numpy()).save(buffer, "JPEG", quality=percent)
    with Image.open(buffer) as lossy:
        return torch.from_numpy(np.array(lossy)).permute(2, 0, 1)


def _resized(image: torch.Tensor, height: int, width: int) -> torch.Tensor:
    resized: torch.Tensor = F.resize(image, [height, width], antialias=True)
    return resized


def _mean_colour(image: torch.Tensor) -> torch.Tensor:
    return image.float().mean((1, 2), keepdim=True).round().to(torch.uint8)
