"""docs/export.md: what the summary prints for each kind stands there, and runs."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from cleaner.exports.kind import kind_names, load_kind
from tests.exports.test_judged import write
from tests.support.exports import make_set, write_to
from tests.support.places import REPO

PAGE = (REPO / "docs" / "export.md").read_text(encoding="utf-8")
SECTIONS = dict(re.findall(r"^## `(\S+)`\n(.*?)(?=^## )", PAGE, re.M | re.S))
FROM_LABELS = ("datalab", "pred-probs", "embeddings")


def python_of(section: str) -> str:
    found = re.search(r"```python\n(.*?)\n```", section, re.S)
    return found.group(1) if found else ""


def test_every_kind_has_a_row_and_a_section() -> None:
    assert dict(re.findall(r"^\| `(\S+)` \| (.*?) \|", PAGE, re.M)) == {n: load_kind(n).title for n in kind_names()}
    assert sorted(SECTIONS) == sorted(kind_names())


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf_home"))
    return tmp_path


def written(kind: str, place: Path, run: Path) -> str:
    """Export to `clean`, or a file of that name; returns the lines that are printed."""
    out = Path(f"clean{(*load_kind(kind).suffixes, '')[0]}")
    if kind in FROM_LABELS:
        return write(run, kind, out).use
    rows: list[dict[str, object]] = [{"file_name": f"cat/{i}.png", "repeats": 1 + i % 2} for i in range(3)]
    manifest = make_set(place / "images", [*rows, {"file_name": "dog/1.png"}])
    return write_to(kind, manifest, place / "images", out).use.replace(f"{place}/images/", "/data/photos/")


@pytest.mark.parametrize("kind", kind_names())
def test_the_lines_of_the_page_are_those_printed_and_run(kind: str, place: Path, small_run: Path) -> None:
    use = written(kind, place, small_run)
    assert use == python_of(SECTIONS[kind])
    if kind in ("fiftyone", "label-studio"):
        return
    found: dict[str, Any] = {}
    exec(use, found)
    match kind:
        case "folder" | "hf":
            assert len(found["data"]) == 4 and found["sampler"].num_samples == 5
        case "wds":
            pairs = [(image.size, number) for image, number, _ in found["data"]]
            assert sorted(pairs) == [((8, 8), 0)] * 3 + [((8, 8), 1)] and len(found["timm_data"]) == 4
        case "csv" | "jsonl" | "parquet":
            assert isinstance(found["table"], pd.DataFrame) and found["paths"].iloc[0] == "/data/photos/cat/0.png"
        case "weights":
            assert found["sampler"].num_samples == 5
        case "keep-list" | "drop-list":
            assert len(found["names"]) == (4 if kind == "keep-list" else 0)
        case "datalab":
            assert len(found["lab"].get_issues()) > 50
        case "pred-probs":
            assert found["pred_probs"].shape == (len(found["table"]), len(found["classes"]))
        case "embeddings":
            assert np.isfinite(found["embeddings"]).all()
    if kind == "folder":
        assert len(found["timm_data"]) == 4
