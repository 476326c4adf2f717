"""Files, their labels and their facts as columns."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save

from cleaner.dataset.fact_table import FIELDS, FactTable
from cleaner.dataset.files import list_files
from cleaner.dataset.found_files import FoundFile, FoundFiles
from cleaner.dataset.images import ImageFacts
from cleaner.dataset.kept_looks import FILE, KeptLooks
from cleaner.dataset.near_features import HASH_BYTES, KEYPOINT, MAX_KEYPOINTS, NUM_HASHES
from cleaner.dataset.scratch import scratch_array
from cleaner.dataset.store import digest_of, digest_of_list
from cleaner.dataset.words import Words
from cleaner.errors import CleanerError
from cleaner.stages.scan_copies import number_pictures

FILES = [
    FoundFile("a/1.jpg", "/root/a/1.jpg", 10, 5),
    FoundFile("a/2.jpg", "/root/a/2.jpg", 0, 0, "missing"),
    FoundFile("a/\\xff.jpg", "/root/a/\udcff.jpg", 12, 7),
    FoundFile("b", "/root/b", 0, 0, "unreadable", is_folder=True),
    FoundFile("ü/日.jpg", "/root/ü/日.jpg", 1 << 40, 9),
]


def test_files_come_back_as_they_were_added() -> None:
    files = FoundFiles("/root", FILES)
    assert list(files) == FILES and [files[row] for row in range(len(files))] == FILES
    assert files[-1] == FILES[-1] and list(files[1:3]) == FILES[1:3]
    with pytest.raises(IndexError):
        files[len(FILES)]
    assert list(files.names()) == files.name_array().to_pylist() == [file.name for file in FILES]
    assert files.faulty == {1: FILES[1], 3: FILES[3]}
    assert files.sound.tolist() == [True, False, True, False, True] and files.sizes.sum() == (1 << 40) + 22
    assert list(files.take([4, 2, 3])) == [FILES[4], FILES[2], FILES[3]]
    assert files.digest() == digest_of([[f.name, f.size, f.mtime_ns] for f in FILES])
    assert list(files.rows_of(["", "a/1.jpg", "a/2", "b", "ü/日.jpg", "ü/日.jpg2"])) == [None, 0, None, 3, 4, None]
    assert files.is_ordered() and not files.take([1, 0]).is_ordered() and not files.take([1, 1]).is_ordered()


@pytest.mark.parametrize("num", [0, 1, 10_000, 10_001, 25_000])
def test_the_digest_of_a_long_list_is_that_of_the_list(num: int) -> None:
    items = [[f"é{i}\udcff", i] for i in range(num)]
    assert digest_of_list(iter(items)) == digest_of(items)


def test_files_are_listed_in_the_order_of_their_names(tmp_path: Path) -> None:
    """A slash comes after some characters and before others."""
    for name in (
        "a/z.jpg",
        "a b/1.jpg",
        "a.jpg",
        "a!/2.jpg",
        "a/b/3.jpg",
        "a/b.jpg",
        "a0.jpg",
        "b\\x41/4.jpg",
        "ä/5.jpg",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "a-link").symlink_to("b\\x41")
    names = [file.name for file in list_files(tmp_path, False)]
    assert names == sorted(names) and len(names) == 9


def test_words_are_the_texts() -> None:
    texts = ["owl", "", "fox", "owl", "owl"]
    words = Words(texts)
    assert list(words) == texts and words[2] == "fox" and words[1:3] == ["", "fox"] and len(words) == 5
    assert "fox" in words and "cat" not in words and words.as_objects().tolist() == texts
    assert words.counts() == {"": 1, "fox": 1, "owl": 3}
    assert words.counts(np.array([False, True, False, True, False])) == {"": 1, "owl": 1}
    assert list(words.take(np.array([4, 2]))) == ["owl", "fox"]
    assert list(words.translated({"owl": "bird", "fox": "bird"})) == ["bird", "", "bird", "bird", "bird"]
    blank = Words.blank(3)
    blank.put(np.array([2, 0]), ["x", "y"])
    blank.append("x")
    assert list(blank) == ["y", "", "x", "x"]
    blank.put(np.arange(4), ["z"] * 4)
    assert "x" not in blank and blank.counts() == {"z": 4}


def facts_of(row: int) -> ImageFacts:
    if row % 3 == 2:
        return ImageFacts(image_id=digest_of(row), file_bytes=row, format="PNG", fault="truncated")
    points = np.zeros(row % (MAX_KEYPOINTS + 1), dtype=KEYPOINT)
    points["code"] = row
    return ImageFacts(
        image_id=digest_of(row),
        file_bytes=1 << 33,
        format="JPEG",
        mode="RGB",
        width=3,
        height=70_000,
        notes="odd" if row % 2 else "",
        pixel_id=digest_of(row // 2),
        near_hash=bytes([row % 256]) * (NUM_HASHES * HASH_BYTES),
        keypoints=points.tobytes(),
        num_colors=4096,
        pixel_std=0.25,
        sharpness=1.5,
        flat_share=0.5,
        brightness_low=0.125,
        brightness_high=1.0,
        information=7.75,
    )


def fill(table: FactTable, rows: list[int]) -> None:
    facts = [facts_of(row) for row in rows]
    table.put(
        np.array(rows),
        {name: [getattr(one, name) for one in facts] for name in FIELDS},
        np.array([list(one.near_hash or bytes(NUM_HASHES * HASH_BYTES)) for one in facts], dtype=np.uint8),
        [np.frombuffer(one.keypoints, dtype=KEYPOINT) for one in facts],
    )


@pytest.mark.parametrize("on_disk", [False, True])
def test_facts_come_back_as_they_were_put_in(tmp_path: Path, on_disk: bool) -> None:
    table = FactTable(70, tmp_path / "cache" if on_disk else None)
    assert repr(table[5]) == repr(ImageFacts())  # NaN equals nothing
    fill(table, list(range(69, 30, -1)))
    fill(table, list(range(31)))
    assert list(map(repr, table)) == [repr(facts_of(row)) for row in range(70)]
    assert repr(table[68:]) == repr([facts_of(68), facts_of(69)])
    assert table.is_sound.tolist() == [not facts_of(row).fault for row in range(70)]
    table.put_fault(3, "missing", 77)
    assert (table[3].fault, table[3].file_bytes) == ("missing", 77)
    assert not on_disk or list((tmp_path / "cache").iterdir()) == [], "the files have no names"


@pytest.mark.parametrize("image_id", ["0" * 63, "x" * 64])
def test_digests_that_no_scan_finds_are_refused(image_id: str) -> None:
    values = {name: [getattr(ImageFacts(), name)] for name in FIELDS} | {"image_id": [image_id]}
    with pytest.raises(ValueError):
        FactTable(1).put(
            np.array([0]), values, np.zeros((1, NUM_HASHES * HASH_BYTES), np.uint8), [np.empty(0, KEYPOINT)]
        )


def test_looks_are_written_as_the_library_writes_them(tmp_path: Path) -> None:
    table = FactTable(70, tmp_path / "cache")
    fill(table, list(range(70)))
    (tmp_path / "scan").mkdir()
    table.looks.write(tmp_path / "scan")
    whole = {
        "hashes": table.looks.hashes.reshape(-1),
        "num_keypoints": table.looks.counts.astype(np.int64),
        "keypoints": np.frombuffer(b"".join(one.keypoints for one in table), np.uint8),
    }
    assert (tmp_path / "scan" / FILE).read_bytes() == save(whole)
    kept = KeptLooks.read(tmp_path / "scan")
    assert kept is not None
    rows = np.array([40, 0, 7, 8, 40])
    for looks in (kept, table.looks):
        taken = looks.take(rows, None).followed_by(looks.take(rows[:2], tmp_path))
        for place, row in enumerate([*rows.tolist(), *rows[:2].tolist()]):
            assert taken.keypoints(place).tobytes() == facts_of(row).keypoints
            assert (taken.hashes[place] == looks.hashes[row]).all()
        assert len(taken.points) == taken.counts.sum()


def test_a_file_takes_few_bytes(tmp_path: Path) -> None:
    """Ten million files are to fit 4 GB, with what the manifest takes beside them."""
    num = 20_000
    tracemalloc.start()
    try:
        files = FoundFiles("/root", (FoundFile(f"c/{i:08d}.jpg", f"/root/c/{i:08d}.jpg", i, i) for i in range(num)))
        table, labels = FactTable(num, tmp_path), Words(file.name[:1] for file in files)
        held = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert len(files) == len(table) == len(labels) == num and held < 230 * num


def test_an_array_without_room_is_refused_before_it_is_written(tmp_path: Path) -> None:
    with pytest.raises(CleanerError, match=str(tmp_path)):
        scratch_array(tmp_path, np.uint8, (1 << 60,))


def test_pictures_are_numbered_by_first_appearance() -> None:
    rng = np.random.default_rng(0)
    ids = rng.integers(0, 256, (40, 32), dtype=np.uint8)
    ids[1] = ids[0]
    ids[1, 31] ^= 1  # differs in the last byte alone
    ids[7] = 0
    rows = np.concatenate([np.arange(40), rng.integers(0, 40, 200)])
    numbers: dict[bytes, int] = {}
    expected = [numbers.setdefault(ids[row].tobytes(), len(numbers)) if row != 7 else -1 for row in rows]
    assert number_pictures(ids[rows]).tolist() == expected
    assert number_pictures(np.zeros((3, 32), np.uint8)).tolist() == [-1, -1, -1]
    assert number_pictures(np.zeros((0, 32), np.uint8)).tolist() == []
