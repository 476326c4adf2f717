"""Near duplicates, leaks and what scan drops of copies, on real files."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cleaner.dataset.store import ArrayStore
from cleaner.stages import near_copies
from cleaner.stages.near_copies import LOOK_VERSION
from tests.support import fragile
from tests.support.alike import cut, jpeg, photo, product
from tests.support.scanned import Recorder, save, scan

T = Image.Transpose


@pytest.fixture
def work(tmp_path: Path) -> Path:
    return tmp_path / "work"


def plant(root: Path, num: int = 4) -> Path:
    for i in range(num):
        save(root / f"{'ab'[i % 2]}/{i:02d}.png", photo(i))
    return root


def test_each_kind_of_copy_is_found_and_named(tmp_path: Path, work: Path) -> None:
    root = plant(tmp_path / "images", 6)
    save(root / "a/small.jpg", photo(0).resize((130, 98)), quality=60)
    save(root / "b/mirror.jpg", photo(1).transpose(T.FLIP_LEFT_RIGHT), quality=80)
    save(root / "a/turned.jpg", photo(2).transpose(T.ROTATE_270), quality=80)
    save(root / "b/part.jpg", cut(photo(3), 0.14, 0.02, 0.08, 0.15), quality=80)
    save(root / "b/wide.png", photo(40))
    save(root / "c/aa_part.png", cut(photo(41), 0.1, 0.1, 0.1, 0.1))
    save(root / "c/wider.png", photo(41))
    save(root / "c/flipped.png", photo(4).transpose(T.TRANSPOSE))
    shutil.copy(root / "c/flipped.png", root / "c/flipped_again.png")
    rows, result = scan(root, work)
    relations = rows["duplicate_relation"][rows["duplicate_group"] >= 0].to_dict()
    assert relations == {
        "a/00.png": "first",
        "a/small.jpg": "same_view",
        "b/01.png": "first",
        "b/mirror.jpg": "mirrored",
        "a/02.png": "first",
        "a/turned.jpg": "turned",
        "b/03.png": "first",
        "b/part.jpg": "part",
        "a/04.png": "first",
        "c/flipped.png": "mirrored",
        "c/flipped_again.png": "mirrored",
        "c/aa_part.png": "first",
        "c/wider.png": "wider",
    }
    assert result.record.counts["near_groups"] == 6
    assert set(rows["duplicate_relation"][rows["duplicate_group"] < 0]) == {""}
    kinds = rows["duplicate_kind"].to_dict()
    assert kinds["c/flipped.png"] == "exact" and kinds["a/04.png"] == "near"


def test_different_things_in_one_layout_stay_apart(tmp_path: Path, work: Path) -> None:
    root = tmp_path / "images"
    colours = [(180, 40, 40), (40, 120, 60), (50, 60, 190), (200, 150, 30), (60, 60, 60), (120, 40, 140)]
    for i, colour in enumerate(colours):
        save(root / f"{'ab'[i % 2]}/{i}.jpg", product(colour), quality=92)
    save(root / "a/copy.jpg", product(colours[2]).resize((150, 150)), quality=85)
    rows, _ = scan(root, work)
    assert sorted(rows.index[rows["duplicate_group"] >= 0]) == ["a/2.jpg", "a/copy.jpg"]


def test_the_copy_is_found_among_many_of_one_layout(tmp_path: Path, work: Path) -> None:
    root = tmp_path / "images"
    colours = np.random.default_rng(0).integers(0, 230, (24, 3))
    for i, colour in enumerate(colours.tolist()):
        save(root / f"a/{i:02d}.png", product(tuple(colour)))
    for i in (3, 11, 20):
        save(root / f"b/{i:02d}.jpg", product(tuple(colours[i].tolist())).transpose(T.FLIP_LEFT_RIGHT), quality=75)
    rows, _ = scan(root, work)
    groups = rows[rows["duplicate_group"] >= 0].groupby("duplicate_group").groups.values()
    assert [list(names) for names in groups] == [
        ["a/03.png", "b/03.jpg"],
        ["a/11.png", "b/11.jpg"],
        ["a/20.png", "b/20.jpg"],
    ]


def test_drop_near_keeps_the_best_of_each_group(tmp_path: Path, work: Path) -> None:
    root = plant(tmp_path / "images")
    save(root / "a/00_large.png", photo(0).resize((300, 225)))
    save(root / "a/00_small.png", photo(0).resize((150, 112)))
    save(root / "b/01_faint.jpg", photo(1), quality=50)
    save(root / "a/other_label.jpg", photo(3), quality=70)
    kept, _ = scan(root, work)
    assert kept["keep"].all()
    rows, result = scan(root, work, drop=("near",))
    dropped = rows[~rows["keep"]]
    assert sorted(dropped.index) == ["a/00.png", "a/00_small.png", "b/01_faint.jpg"]
    assert set(dropped["drop_reason"]) == {"near_duplicate"} and set(dropped["drop_stage"]) == {"scan"}
    assert result.record.counts["dropped"] == {"near_duplicate": 3}


def test_leaks_are_named_and_dropped_on_request(tmp_path: Path, work: Path) -> None:
    root = tmp_path / "images"
    for i in range(4):
        save(root / f"train/x/{i}.png", photo(i))
    for i in range(3):
        save(root / f"test/x/{i}.png", photo(20 + i))
    save(root / "test/x/exact.png", photo(0))
    save(root / "test/x/turned.png", photo(1).transpose(T.ROTATE_90))
    save(root / "test/x/0_again.jpg", photo(20), quality=60)
    recorder = Recorder()
    rows, result = scan(root, work, progress=recorder)
    assert rows["keep"].all()
    counts = result.record.counts
    assert counts["split_leaks"] == {"test and train": 2} and counts["copies_within"] == {"test": 1}
    (warning,) = (w for w in recorder.warnings if "shared by splits" in w)
    assert "train/x/0.png = test/x/exact.png" in warning and "train/x/1.png = test/x/turned.png" in warning
    assert "--drop leaks" in warning and warning in result.warnings
    rows, result = scan(root, work, drop=("leaks",))
    assert rows.index[~rows["keep"]].tolist() == ["train/x/0.png", "train/x/1.png"]
    assert set(rows["drop_reason"][~rows["keep"]]) == {"split_leak"}
    assert result.record.counts["split_leaks"] == {}
    assert not any("shared by splits" in w for w in result.warnings)


def num_looks(work: Path) -> int:
    store = ArrayStore(work / "cache" / "near" / f"v{LOOK_VERSION}")
    return sum(len(arrays["keys"]) for key in store.stored_keys() if (arrays := store.get(key)) is not None)


def test_pairs_are_looked_at_once(tmp_path: Path, work: Path) -> None:
    root = plant(tmp_path / "images")
    save(root / "a/small.jpg", photo(0).resize((130, 98)), quality=60)
    first, _ = scan(root, work)
    num = num_looks(work)
    assert num >= 1
    save(root / "b/more.jpg", photo(1).resize((140, 105)), quality=60)
    again, _ = scan(root, work)
    assert num_looks(work) == num + 1
    assert again.loc["a/small.jpg", "duplicate_group"] == first.loc["a/small.jpg", "duplicate_group"] >= 0
    scan(root, work, near_radius=0, force=True)
    assert num_looks(work) == num + 1


@pytest.mark.parametrize("size", [fragile.CRASHING, fragile.HANGING])
def test_pictures_whose_second_look_ends_its_worker_are_no_copies(
    tmp_path: Path, work: Path, size: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    root, odd = tmp_path / "images", photo(3).resize(size)
    save(root / "a/0.png", photo(0))
    save(root / "a/1.jpg", photo(0), quality=70)
    save(root / "b/2.png", odd)
    save(root / "b/3.jpg", odd, quality=80)
    with monkeypatch.context() as patch:
        patch.setattr(near_copies, "look_at_batch", fragile.look_at_batch)
        rows, _ = scan(root, work, file_timeout=4)  # loading what compares takes a second of it
    assert rows["duplicate_group"].tolist() == [0, 0, -1, -1] and rows["readable"].all()
    rows, _ = scan(root, tmp_path / "sound")
    assert rows["duplicate_group"].tolist() == [0, 0, 1, 1]


def test_a_crowd_is_compared_in_part_and_said_so(tmp_path: Path, work: Path) -> None:
    root = tmp_path / "images"
    for i in range(16):
        save(root / f"a/{i:02d}.jpg", jpeg(photo(7), 40 + 3 * i), quality=90)
    recorder = Recorder()
    rows, _ = scan(root, work, progress=recorder)
    assert (rows["duplicate_group"] == 0).all()
    assert any("look like more than 8 earlier ones" in w for w in recorder.warnings)


def test_workers_that_look_load_little() -> None:
    heavy = "('pandas', 'pyarrow', 'scipy', 'torch')"
    program = f"import sys, cleaner.stages.near_looks; print(*[name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], check=True, stdout=subprocess.PIPE, text=True)
    assert done.stdout.split() == []
