"""Fixtures of tests/exports."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from tests.support.exports import gone, make_set


@pytest.fixture
def images_root(tmp_path: Path) -> Path:
    return tmp_path / "images"


@pytest.fixture
def small_export(images_root: Path) -> pd.DataFrame:
    return make_set(
        images_root,
        [
            {"file_name": "cat/1.jpg"},
            {"file_name": "cat/2.png", "clean_label": "dog"},
            {"file_name": "cat/map.png", **gone("noise", "noise_image")},
            {"file_name": "dog/1.jpg", "repeats": 3},
            {"file_name": "dog/2.png"},
            {"file_name": "Éclair, ü/1.jpg"},
        ],
    )
