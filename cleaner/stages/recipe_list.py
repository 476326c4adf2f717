"""What `cleaner recipes` lists, and the contact sheet that shows what the recipes do to images."""

from __future__ import annotations

import dataclasses
import io
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from cleaner.dataset.images import decode_rgb
from cleaner.dataset.lineage import open_parent
from cleaner.dataset.store import write_atomic
from cleaner.dataset.workspace import Workspace
from cleaner.engine.local import count_workers
from cleaner.errors import BadInputError
from cleaner.modeling.contact_sheet import TILE_PX, draw_contact_sheet
from cleaner.modeling.decoding import Cost, any_remote, blank, open_decoder
from cleaner.modeling.recipes import FINETUNE_RECIPES, PROBE_RECIPES
from cleaner.random_streams import Stream, open_stream
from cleaner.stages.inputs import image_paths, scan_limits


def list_recipes() -> dict[str, list[dict[str, Any]]]:
    """Every recipe's settings by learner: those of the probe, and those of fine-tuning, in the rounds' order."""
    return {
        "probe": [dataclasses.asdict(recipe) for recipe in PROBE_RECIPES],
        "finetune": [dataclasses.asdict(recipe) for recipe in FINETUNE_RECIPES],
    }


def write_contact_sheet(workspace: Workspace, out: Path, num_images: int, seed: int) -> int:
    """Write a PNG with `num_images` kept images of the last stage, as each recipe shows them; returns how many it has.

    Raises StaleStageError where no stage has run, BadInputError where no image is kept.
    """
    manifest = workspace.manifest(columns=["file_name", "image_id", "keep"])
    parent = open_parent(workspace, "train")
    kept = manifest[manifest["keep"]]
    if kept.empty:
        raise BadInputError("no image is kept: there is nothing to show", next_step="see drop_reason in the manifest")
    rng = open_stream(seed, Stream.CONTACT_SHEET)
    rows = kept.iloc[np.sort(rng.choice(len(kept), min(len(kept), num_images), replace=False))]
    ids, paths = image_paths(parent.images_root, rows)
    cost = Cost(count_workers(0), scan_limits(workspace).file_timeout_s)
    with open_decoder(decode_rgb, TILE_PX, cost, remote=any_remote(paths)) as decoder:
        waiting = [decoder.submit(image, lambda pixels: pixels) for image in zip(ids, paths, strict=True)]
        images = [pixels if (pixels := one.result()) is not None else blank(TILE_PX) for one in waiting]
    buffer = io.BytesIO()
    Image.fromarray(draw_contact_sheet(np.stack(images), FINETUNE_RECIPES, seed)).save(buffer, "PNG")
    write_atomic(out, buffer.getvalue())
    return len(images)
