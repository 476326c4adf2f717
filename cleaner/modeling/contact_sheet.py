"""A picture of the effect of each augmentation and each recipe on some images."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image, ImageDraw

from cleaner.modeling.augment import AUGMENTATIONS, augment, mix_batch
from cleaner.modeling.networks import seeded
from cleaner.modeling.recipes import FinetuneRecipe

TILE_PX = 96
_HEAD_PX = 16


def draw_contact_sheet(images: np.ndarray, recipes: Sequence[FinetuneRecipe], seed: int) -> np.ndarray:
    """A sheet (H, W, 3) uint8 with a row for each image: the original, each augmentation alone, each recipe.

    `images` (N, TILE_PX, TILE_PX, 3) uint8; recipes that mix images mix these.
    """
    tensors = torch.from_numpy(images).permute(0, 3, 1, 2)
    columns: list[tuple[str, torch.Tensor]] = [("original", tensors)]
    for name in AUGMENTATIONS:
        columns.append((name, _augmented(tensors, ((name, 1.0),), seed)))
    for number, recipe in enumerate(recipes):
        single = _augmented(tensors, recipe.augment, seed)
        with seeded(torch.device("cpu"), seed, number):
            mixed, _ = mix_batch(single.float(), torch.eye(len(single)), mixup=recipe.mixup, cutmix=recipe.cutmix)
        columns.append((recipe.name, mixed.round().clamp(0, 255).to(torch.uint8)))
    sheet = Image.new("RGB", (len(columns) * TILE_PX, _HEAD_PX + len(images) * TILE_PX), "white")
    draw = ImageDraw.Draw(sheet)
    for x, (name, tiles) in enumerate(columns):
        draw.text((x * TILE_PX + 3, 2), name, fill="black")
        for y, tile in enumerate(tiles):
            sheet.paste(Image.fromarray(tile.permute(1, 2, 0).numpy()), (x * TILE_PX, _HEAD_PX + y * TILE_PX))
    return np.array(sheet)


def _augmented(images: torch.Tensor, steps: tuple[tuple[str, float], ...], seed: int) -> torch.Tensor:
    return torch.stack([augment(image, steps, np.random.default_rng([seed, i])) for i, image in enumerate(images)])
