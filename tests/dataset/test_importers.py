"""Seeds that people bring."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from cleaner.dataset.importers import read_seeds, seeds_digest
from cleaner.errors import BadInputError
from tests.support.seeds import content_id, manifest, write


def test_a_table_of_seeds(tmp_path: Path) -> None:
    path = write(
        tmp_path / "s.csv", "file_name,is_noise\ncat/1.jpg,True\n./dog/2.png,0\ndog/3.gif,no\ncat/1_copy.jpg,yes\n"
    )
    seeds = read_seeds(path, manifest())
    assert dict(zip(seeds["image_id"], seeds["is_noise"], strict=True)) == {
        content_id(b"one"): True,
        content_id(b"two"): False,
        content_id(b"three"): False,
    }
    assert set(seeds["file_name"]) == {"cat/1.jpg", "dog/2.png", "dog/3.gif"}
    assert list(seeds["image_id"]) == sorted(seeds["image_id"])
    assert set(seeds["path"]) == {""}


def test_parquet_with_real_booleans(tmp_path: Path) -> None:
    path = tmp_path / "seeds.parquet"
    pd.DataFrame({"file_name": ["cat/1.jpg", "dog/2.png"], "is_noise": [True, False]}).to_parquet(path)
    assert read_seeds(path, manifest())["is_noise"].sum() == 1


def test_row_order_does_not_matter(tmp_path: Path) -> None:
    one = write(tmp_path / "one.csv", "file_name,is_noise\ncat/1.jpg,1\ndog/2.png,0\n")
    two = write(tmp_path / "two.tsv", "file_name\tis_noise\ndog/2.png\tfalse\ncat/1_copy.jpg\ttrue\n")
    first, second = read_seeds(one, manifest()), read_seeds(two, manifest())
    pd.testing.assert_frame_equal(first, second)
    assert seeds_digest(first) == seeds_digest(second.iloc[::-1])


def test_a_folder_of_seeds_is_matched_by_content(tmp_path: Path) -> None:
    for name, data in {"noise/map.png": b"map", "noise/deep/x.jpg": b"two", "normal/cat.jpg": b"one"}.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(data)
    (tmp_path / "noise" / ".DS_Store").write_bytes(b"hidden")
    seeds = read_seeds(tmp_path, manifest()).set_index("image_id")
    assert len(seeds) == 3
    assert seeds.loc[content_id(b"one"), ["file_name", "path", "is_noise"]].tolist() == ["cat/1.jpg", "", False]
    assert seeds.loc[content_id(b"two"), ["file_name", "path", "is_noise"]].tolist() == ["dog/2.png", "", True]
    outside = seeds.loc[content_id(b"map")]
    assert (outside["file_name"], outside["path"]) == ("", str(tmp_path / "noise" / "map.png"))


@pytest.mark.parametrize(
    ("text", "needle"),
    [
        (
            "file_name,is_noise\ncat/1.jpg,1\nx.jpg,0\ny.jpg,0\n",
            r"2 unknown file names[\s\S]*'x.jpg' \(row 3\), 'y.jpg' \(row 4\)",
        ),
        ("file_name,is_noise\ncat/1.jpg,1\ndog/2.png,perhaps\n", r"'perhaps' \(row 3\)"),
        ("file_name,is_noise\ncat/1.jpg,1\ndog/2.png,\n", r"'' \(row 3\)"),
        (
            "file_name,is_noise\ncat/1.jpg,1\ncat/1_copy.jpg,0\ndog/2.png,0\n",
            r"both as noise and as normal[\s\S]*row 3",
        ),
        ("file_name,is_noise\ncat/1.jpg,1\n", "no seed that is normal"),
        ("file_name,is_noise\ncat/1.jpg,0\n", "no seed that is noise"),
        ("file_name,is_noise\ncat/1.jpg,0\nbad.jpg,1\n", r"not readable images[\s\S]*row 3"),
        ("file_name,noise\ncat/1.jpg,0\n", "is_noise is missing"),
        ("file_name,is_noise\ncat/1.jpg,0,more\n", "row 2"),
        ('file_name,is_noise\n"cat/1.jpg,0\n', "not valid CSV"),
    ],
)
def test_what_is_wrong_with_a_table_is_named(tmp_path: Path, text: str, needle: str) -> None:
    with pytest.raises(BadInputError, match=needle) as caught:
        read_seeds(write(tmp_path / "s.csv", text), manifest())
    assert "s.csv" in str(caught.value)


def test_what_is_wrong_with_a_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "noise").mkdir()
    with pytest.raises(BadInputError, match="no folder normal/"):
        read_seeds(tmp_path, manifest())
    (tmp_path / "normal").mkdir()
    (tmp_path / "noise" / "a.png").write_bytes(b"map")
    with pytest.raises(BadInputError, match="no seed that is normal"):
        read_seeds(tmp_path, manifest())
    (tmp_path / "normal" / "b.png").write_bytes(b"map")
    with pytest.raises(BadInputError, match="both"):
        read_seeds(tmp_path, manifest())
