"""sample_data and the generator that draws it."""

from __future__ import annotations

import csv
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from tests.support.places import SAMPLE


def test_sample_data_is_small() -> None:
    assert sum(p.lstat().st_size for p in SAMPLE.rglob("*") if not p.is_dir()) <= 8 * 2**20


def test_the_generator_draws_the_same_bytes_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A part of the drawing, twice: every 15th picture and the faulty files; the whole takes half a minute."""
    monkeypatch.setattr(sys, "path", [str(SAMPLE), *sys.path])
    import generate
    import plan

    trees = []
    for name in ("one", "two"):
        items = [item for item in plan.make_plan(0) if not item.original]
        part = items[::15]
        generate.write_pictures(0, part, tmp_path / name / "images")
        rows = [generate.picture_row(item) for item in part] + generate.fault_rows(0, tmp_path / name)
        files = [p for p in sorted((tmp_path / name).rglob("*")) if p.is_file() and not p.is_symlink()]
        trees.append({p.relative_to(tmp_path / name).as_posix(): p.read_bytes() for p in files})
    assert trees[0] == trees[1] and len(trees[0]) > 100
    with (SAMPLE / "truth.csv").open(newline="", encoding="utf-8") as file:
        truth = {row["file_name"]: row for row in csv.DictReader(file)}
    # an original's quality of being in conflict is planned with its copy, so whole rows agree
    assert [truth[row["file_name"]] for row in rows] == rows
    if version("pillow").startswith("13.0") and version("numpy").startswith("2.4"):
        assert all((SAMPLE / name).read_bytes() == data for name, data in trees[0].items())
