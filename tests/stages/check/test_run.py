"""`cleaner check` on newly drawn pictures, planted faults among them, against a run over sample_data."""

from __future__ import annotations

import hashlib
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from cleaner.config import RunOptions, ScanSettings
from cleaner.dataset.decisions import DecisionStore
from cleaner.dataset.workspace import Workspace
from cleaner.errors import BadInputError
from cleaner.stages.check.run import CheckResult, run_check
from tests.conftest import build_once
from tests.support.permissions import permissions_hold
from tests.support.places import SAMPLE

CLASSES = ("bird_robin", "car_van", "flower_daisy", "tree_fir", "cup_mug", "clock_wall")
PER_CLASS, NUM_WRONG, NUM_NOISE = 8, 12, 12


def draw_new(root: Path) -> None:
    """`new/` with sound images, wrong labels and noise; the file's name tells the truth."""
    sys.path.insert(0, str(SAMPLE))
    from generate import draw_picture
    from junk import JUNK

    rng = np.random.default_rng(20)
    kinds = sorted(JUNK)

    def put(label: str, name: str, image: object) -> None:
        path = root / "new" / label / f"{name}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        image.convert("RGB").save(path, quality=90)  # type: ignore[attr-defined]

    for i in range(PER_CLASS * len(CLASSES)):
        put(CLASSES[i % len(CLASSES)], f"right-{i:02d}", draw_picture(rng, CLASSES[i % len(CLASSES)], 320, 240))
    for i in range(NUM_WRONG):
        put(CLASSES[(i + 1) % len(CLASSES)], f"wrong-{i:02d}", draw_picture(rng, CLASSES[i % len(CLASSES)], 320, 240))
    for i in range(NUM_NOISE):
        put(CLASSES[i % len(CLASSES)], f"noise-{i:02d}", JUNK[kinds[i % len(kinds)]](rng, 320, 240))


@pytest.fixture(scope="session")
def new_images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_once(tmp_path_factory, "check_new", draw_new) / "new"


def check(known: Path, images: Path, **options: bool) -> CheckResult:
    return run_check(Workspace(known), images, ScanSettings(), RunOptions(workers=1), **options)


def having(result: CheckResult, problem: str) -> set[str]:
    names = result.findings.set_index("file_name")["problems"].str.split(",")
    return {Path(name).stem for name, problems in names.items() if problem in problems}


@dataclass(frozen=True)
class Folder:
    """What a folder holds, with times: equal before and after if nothing was written."""

    files: tuple[tuple[str, int, str], ...]

    @classmethod
    def of(cls, root: Path) -> Folder:
        files = sorted(p for p in root.rglob("*") if p.is_file())
        return cls(tuple((str(p), p.stat().st_mtime_ns, hashlib.sha256(p.read_bytes()).hexdigest()) for p in files))


def test_it_finds_what_is_planted_and_leaves_the_run_as_it_is(sample_run: Path, new_images: Path) -> None:
    before = Folder.of(sample_run)
    result = check(sample_run, new_images)
    assert Folder.of(sample_run) == before
    names = {p.stem for p in new_images.rglob("*.jpg")}
    assert result.num_checked == len(names) and result.num_seen == 0
    wrong, noise = having(result, "wrong_label"), having(result, "noise")
    planted_wrong, planted_noise = ({n for n in names if n.startswith(kind)} for kind in ("wrong", "noise"))
    assert len(wrong & planted_wrong) >= 0.8 * NUM_WRONG and len(noise & planted_noise) >= 0.8 * NUM_NOISE
    sound = names - planted_wrong - planted_noise
    assert len((wrong | noise) & sound) <= 0.05 * len(sound)
    found = result.findings.set_index("file_name")
    mistaken = found[found.index.str.contains("wrong-") & found["problems"].str.contains("wrong_label")]
    right = [CLASSES[(CLASSES.index(label) - 1) % len(CLASSES)] for label in mistaken["label"]]
    assert (mistaken["suggested_label"] == right).mean() >= 0.8
    # an image that is checked alone is judged as it is among others
    assert result.count_bad(("noise",)) == result.count_bad() - len(noise - wrong)


def test_the_workspace_may_be_read_only(sample_copy: Path, new_images: Path, tmp_path: Path) -> None:
    few = tmp_path / "few" / CLASSES[0]
    shutil.copytree(new_images / CLASSES[0], few)
    shutil.rmtree(sample_copy / "cache")  # and without its cache
    for path in [sample_copy, *sample_copy.rglob("*")]:
        path.chmod(0o555 if path.is_dir() else 0o444)
    try:
        with permissions_hold():
            result = check(sample_copy, few.parent)
    finally:
        for path in [sample_copy, *sample_copy.rglob("*")]:
            path.chmod(0o755 if path.is_dir() else 0o644)
    assert result.num_checked == len(list(few.iterdir())) and not result.warnings


def test_copies_are_told_from_known_ones(sample_run: Path, new_images: Path, tmp_path: Path) -> None:
    from PIL import Image

    scan = pd.read_parquet(sample_run / "scan" / "manifest.parquet")
    kept = scan[scan["keep"] & (scan["format"] == "JPEG") & (scan["duplicate_group"] < 0)]
    exact, near, other = kept["file_name"].iloc[[0, 40, 80]]
    root = tmp_path / "in"
    for name, target in ((exact, "exact"), (other, "conflict")):
        label = name.split("/")[0] if target == "exact" else CLASSES[0]
        (root / label).mkdir(parents=True, exist_ok=True)
        shutil.copy(SAMPLE / "images" / name, root / label / f"{target}.jpg")
    label = near.split("/")[0]
    (root / label).mkdir(parents=True, exist_ok=True)
    with Image.open(SAMPLE / "images" / near) as image:
        image.convert("RGB").resize((image.width * 3 // 4, image.height * 3 // 4)).save(root / label / "near.jpg")
    fresh = next(iter((new_images / CLASSES[0]).iterdir()))
    for name in ("a-fresh", "b-again"):
        shutil.copy(fresh, root / CLASSES[0] / f"{name}.jpg")
    found = check(sample_run, root)
    rows = found.findings.set_index(found.findings["file_name"].map(lambda name: Path(name).stem))
    assert rows.loc["exact", "copy"] == "exact" and rows.loc["exact", "copy_of"] == exact
    assert rows.loc["near", "copy"] == "near" and rows.loc["near", "copy_of"] == near
    assert "label_conflict" in rows.loc["conflict", "problems"] and rows.loc["conflict", "copy_of"] == other
    assert rows.loc["b-again", "copy_of"].endswith("a-fresh.jpg") and not rows.loc["b-again", "copy_is_known"]
    assert rows.loc["a-fresh", "copy"] == ""


def test_the_known_set_with_more_in_it(sample_run: Path, new_images: Path, tmp_path: Path) -> None:
    grown = tmp_path / "images"
    known = [p for p in sorted((SAMPLE / "images" / CLASSES[0]).iterdir()) if p.is_file() and not p.is_symlink()][:10]
    (grown / CLASSES[0]).mkdir(parents=True)
    for path in known:
        shutil.copy(path, grown / CLASSES[0])
    fresh = next(iter(sorted((new_images / CLASSES[0]).glob("right-*"))))
    shutil.copy(fresh, grown / CLASSES[0])
    result = check(sample_run, grown, adds_to_known=True)
    assert result.num_checked == 1 and result.num_seen == len(known)
    assert result.findings["file_name"].tolist() == [f"{CLASSES[0]}/{fresh.name}"]
    (grown / CLASSES[0] / fresh.name).unlink()
    nothing = check(sample_run, grown, adds_to_known=True)
    assert nothing.num_checked == 0 and nothing.counts == {} and nothing.count_bad() == 0
    assert check(sample_run, grown).num_seen == 0  # elsewhere, and not said to be the same set


def test_what_people_said_beats_the_models(sample_copy: Path, new_images: Path, tmp_path: Path) -> None:
    root = tmp_path / "in"
    for kind in ("right-00", "right-06", "noise-00"):
        source = next(new_images.rglob(f"{kind}.jpg"))
        (root / source.parent.name).mkdir(parents=True, exist_ok=True)
        shutil.copy(source, root / source.parent.name)
    before = check(sample_copy, root)
    ids = dict(zip(before.findings["file_name"].map(lambda n: Path(n).stem), before.findings["image_id"], strict=True))
    assert having(before, "noise") == {"noise-00"}
    store = DecisionStore(sample_copy / "decisions.sqlite")
    store.add("image", ids["right-00"], "noise")
    store.add("image", ids["right-06"], "label", label=CLASSES[1])
    store.add("image", ids["noise-00"], "normal")
    after = check(sample_copy, root)
    assert having(after, "noise") == {"right-00"} and "right-06" in having(after, "wrong_label")


def test_classes_and_files_that_cannot_join(sample_run: Path, new_images: Path, tmp_path: Path) -> None:
    source = next(iter(sorted(new_images.rglob("right-*.jpg"))))
    for label in ("zebra", "misc"):
        (tmp_path / "in" / label).mkdir(parents=True)
        shutil.copy(source, tmp_path / "in" / label / f"{label}.jpg")
    (tmp_path / "in" / "misc" / "cut.jpg").write_bytes(source.read_bytes()[:2000])
    result = check(sample_run, tmp_path / "in")
    assert having(result, "unknown_class") == {"zebra"} and having(result, "unreadable") == {"cut"}
    assert {"misc"} <= having(result, "dropped_class")


def test_an_empty_folder_is_refused(sample_run: Path, tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match="holds no files"):
        check(sample_run, tmp_path)
