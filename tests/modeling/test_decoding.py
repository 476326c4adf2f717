"""Decoders that die cost their own picture alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cleaner.config import EmbeddingSettings
from cleaner.dataset.store import sha256_file
from cleaner.modeling import embeddings, pixels
from cleaner.modeling.backbones import load_backbone
from cleaner.progress import Silent
from tests.support import fragile
from tests.support.scanned import picture, save

SIDE = 32


class Warned(Silent):
    def __init__(self) -> None:
        self.warnings: list[str] = []

    def warn(self, message: str) -> None:
        self.warnings.append(message)


@pytest.fixture
def images(tmp_path: Path) -> tuple[list[str], list[Path]]:
    """Five pictures, of which the second crashes the fragile decoder and the fourth hangs it."""
    sizes = [(96, 72), fragile.CRASHING, (64, 80), fragile.HANGING, (50, 50)]
    paths = [save(tmp_path / f"{number}.png", picture(number, *size)) for number, size in enumerate(sizes)]
    return [sha256_file(path) for path in paths], paths


def test_an_embedding_goes_on_past_a_decoder_that_crashes_or_hangs(
    images: tuple[list[str], list[Path]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = load_backbone(EmbeddingSettings(backbone="embedded-small", image_size=SIDE, views=1), "cpu")

    def embed(cache: str, progress: Any, timeout_s: float = 5) -> np.ndarray:
        options = {"workers": 2, "progress": progress, "file_timeout_s": timeout_s}
        return embeddings.compute_embeddings(*images, network, tmp_path / cache, **options).plain

    whole = embed("whole", Silent())
    with monkeypatch.context() as patch:
        patch.setattr(embeddings, "decode_upright", fragile.decode_upright)
        for _ in range(2):  # what is missing is named again, and not stored
            told = Warned()
            found = embed("fragile", told, 0.2)
            (warning,) = told.warnings
            assert "1.png" in warning and "3.png" in warning and "--drop" in warning and "2.png" not in warning
            assert np.array_equal(found[[0, 2, 4]], whole[[0, 2, 4]])
            assert np.array_equal(found[1], found[3]) and not np.array_equal(found[1], whole[1])
    told = Warned()
    assert np.array_equal(embed("fragile", told), whole) and not told.warnings


def test_pixels_for_training_go_on_likewise(
    images: tuple[list[str], list[Path]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pixels, "decode_rgb", fragile.decode_rgb)
    told, rows = Warned(), np.arange(5)
    options = {"workers": 1, "progress": told, "file_timeout_s": 0.2}
    found = pixels.load_pixels(*images, SIDE, tmp_path / "fragile", **options).take(rows)
    assert len(told.warnings) == 1 and "1.png" in told.warnings[0] and "0.2 s" in told.warnings[0]
    monkeypatch.undo()
    whole = pixels.load_pixels(*images, SIDE, tmp_path / "whole", workers=1, progress=told).take(rows)
    assert np.array_equal(found[[0, 2, 4]], whole[[0, 2, 4]]) and (found[[1, 3]] == 255).all()
