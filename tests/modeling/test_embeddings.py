"""Embeddings: what their cache tells apart, and what is computed anew."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from cleaner.dataset.images import load_rgb
from cleaner.dataset.store import sha256_file
from cleaner.errors import BadInputError
from cleaner.modeling.backbones import Backbone
from cleaner.modeling.embeddings import compute_embeddings, join_embeddings, load_square
from cleaner.progress import Silent
from tests.support.backbones import load
from tests.support.networks import TINY


@pytest.mark.parametrize("size", [(700, 500), (90, 40), (64, 64)])
def test_the_quick_resize_is_pillows(tmp_path: Path, size: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    coarse = Image.fromarray(rng.integers(0, 256, (9, 12, 3), dtype=np.uint8))
    coarse.resize(size, Image.Resampling.BICUBIC).save(tmp_path / "x.jpg", quality=90)
    ours, theirs = load_square(tmp_path / "x.jpg", 64), load_rgb(tmp_path / "x.jpg", 64)
    assert ours.shape == (64, 64, 3) and ours.dtype == np.uint8 and ours.flags.c_contiguous
    difference = np.abs(ours.astype(int) - theirs)
    assert difference.max() <= 2 and difference.mean() < 0.1


def test_the_cache_tells_networks_weights_sizes_and_precisions_apart(weights: Path) -> None:
    tiny = {"backbone": TINY, "weights": str(weights / "tiny.safetensors")}
    variants = [
        {},
        {"precision": "bf16"},
        {"image_size": 96},
        tiny,
        tiny | {"weights": str(weights / "other.safetensors")},
        tiny | {"precision": "bf16"},
        {"views": 1},
    ]
    keys = [load(**variant).key for variant in variants]
    assert len(set(keys)) == len(keys)
    assert load(**tiny).key == keys[3]


def test_each_network_gets_its_own_embeddings_and_only_new_images_are_computed(weights: Path, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    paths, ids = [], []
    for number in range(4):
        paths.append(tmp_path / f"{number}.png")
        Image.fromarray(rng.integers(0, 256, (70, 60, 3), dtype=np.uint8)).save(paths[-1])
        ids.append(sha256_file(paths[-1]))
    seen: list[int] = []

    class Counting(Silent):
        def task(self, name: str, total: int) -> Any:
            seen.append(total)
            return super().task(name, total)

    def embed(network: Backbone, rows: slice) -> np.ndarray:
        done = compute_embeddings(ids[rows], paths[rows], network, tmp_path / "c", workers=1, progress=Counting())
        return done.plain

    one = load(backbone=TINY, weights=str(weights / "tiny.safetensors"))
    two = load(backbone=TINY, weights=str(weights / "other.safetensors"))
    first = embed(one, slice(0, 3))
    assert not np.array_equal(first, embed(two, slice(0, 3)))
    assert np.array_equal(embed(one, slice(0, 4))[:3], first)
    assert np.array_equal(embed(one, slice(0, 4))[:3], first)
    assert seen == [3, 3, 1]


def test_one_view_is_the_plain_one_and_takes_half_the_room(weights: Path, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    paths = [tmp_path / f"{number}.png" for number in range(3)]
    for path in paths:
        Image.fromarray(rng.integers(0, 256, (70, 60, 3), dtype=np.uint8)).save(path)
    ids = [sha256_file(path) for path in paths]
    tiny = {"backbone": TINY, "weights": str(weights / "tiny.safetensors")}
    found, room = [], []
    for views in (2, 1, 1):  # the last from the cache
        cache = tmp_path / f"cache{views}"
        network = load(**tiny, views=views)
        found.append(compute_embeddings(ids, paths, network, cache, workers=1, progress=Silent()))
        room.append(sum(f.stat().st_size for f in cache.rglob("*") if f.is_file()))
    assert [len(f.views) for f in found] == [2, 1, 1]
    assert all(np.array_equal(f.plain, found[0].plain) for f in found)
    assert room[1] == room[2] < 0.7 * room[0]
    assert len(found[1].take(np.array([2, 0])).views) == 1
    both = (found[0].plain.astype(np.float32) + found[0].mirrored) / 2
    assert np.array_equal(found[0].mean(slice(None)), both)
    assert np.array_equal(found[1].mean(np.array([2, 0])), found[0].plain[[2, 0]].astype(np.float32))
    nothing = compute_embeddings([], [], load(**tiny, views=1), tmp_path, workers=1, progress=Silent())
    assert len(nothing.views) == 1 and len(nothing.plain) == 0


def test_an_image_that_cannot_be_decoded_any_more_is_named(weights: Path, tmp_path: Path) -> None:
    (tmp_path / "gone.jpg").write_bytes(b"\xff\xd8\xff")
    network = load(backbone=TINY, weights=str(weights / "tiny.safetensors"))
    with pytest.raises(BadInputError, match=r"gone\.jpg"):
        compute_embeddings(["0" * 64], [tmp_path / "gone.jpg"], network, tmp_path, workers=1, progress=Silent())


def test_what_several_networks_saw_of_an_image_stands_in_one_row(weights: Path, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    paths = [tmp_path / f"{number}.png" for number in range(3)]
    for path in paths:
        Image.fromarray(rng.integers(0, 256, (70, 60, 3), dtype=np.uint8)).save(path)
    ids = [sha256_file(path) for path in paths]
    networks = [load(views=views, backbone="embedded-small", image_size=size) for views, size in ((1, 64), (1, 96))]
    each = [
        compute_embeddings(ids, paths, network, tmp_path / "c", workers=1, progress=Silent(), with_style=True)
        for network in networks
    ]
    joined = join_embeddings(each)
    assert np.array_equal(joined.plain, np.concatenate([e.plain for e in each], axis=1)) and len(joined.views) == 1
    assert joined.style is not None and each[0].style is not None
    assert joined.style.shape[1] == 2 * each[0].style.shape[1]
    assert [b["image_size"] for b in joined.origin.backbones] == [64, 96]
    assert joined.origin.key not in {e.origin.key for e in each} and join_embeddings(each[:1]) is each[0]
    assert join_embeddings(each[::-1]).origin.key != joined.origin.key
