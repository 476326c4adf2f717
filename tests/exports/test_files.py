"""The files of an export: their names, and how they are put there."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image
from torchvision.datasets import ImageFolder

from cleaner.errors import BadInputError, CleanerError, WorkspaceLockedError
from cleaner.exports.files import new_place
from tests.support.exports import files_of, make_set, write_to


@pytest.mark.parametrize("mode", ["hardlink", "symlink", "reflink", "copy"])
def test_modes_and_untouched_sources(small_export: pd.DataFrame, images_root: Path, tmp_path: Path, mode: str) -> None:
    before = {p: (p.read_bytes(), p.stat().st_mtime_ns) for p in images_root.rglob("*") if p.is_file()}
    out = tmp_path / "out"
    write_to("folder", small_export, images_root, out, mode=mode)
    path = out / "cat" / "1.jpg"
    assert path.is_symlink() == (mode == "symlink")
    assert path.samefile(images_root / "cat" / "1.jpg") == (mode in ("hardlink", "symlink"))
    assert path.read_bytes() == (images_root / "cat" / "1.jpg").read_bytes()
    assert {p: (p.read_bytes(), p.stat().st_mtime_ns) for p in images_root.rglob("*") if p.is_file()} == before
    assert len(ImageFolder(str(out))) == 5


def rewrite(path: Path) -> None:
    """Other bytes under the same size and time."""
    status, data = path.stat(), bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0x55
    path.write_bytes(data)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


@pytest.mark.parametrize(
    ("mode", "options"),
    [
        ("copy", {}),
        ("hardlink", {"verify": True}),
        ("symlink", {"verify": True}),
        ("symlink", {"verify": True, "dry_run": True}),
        ("hardlink", {"convert": True}),
    ],
)
def test_bytes_that_changed_are_not_handed_on(
    images_root: Path, tmp_path: Path, mode: str, options: dict[str, bool]
) -> None:
    manifest = make_set(images_root, [{"file_name": "owl/7.gif"}, {"file_name": "owl/8.jpg", "repeats": 2}])
    write_to("folder", manifest, images_root, tmp_path / "before", mode=mode, **options)
    rewrite(images_root / "owl/7.gif")
    with pytest.raises(BadInputError, match=r"7\.gif") as failure:
        write_to("folder", manifest, images_root, tmp_path / "out", mode=mode, **options)
    assert "cleaner scan --force" in str(failure.value) and not (tmp_path / "out").exists()


def test_a_table_reads_what_it_lists_if_asked(images_root: Path, tmp_path: Path) -> None:
    manifest = make_set(images_root, [{"file_name": "owl/7.png"}, {"file_name": "owl/8.png"}])
    write_to("csv", manifest, images_root, tmp_path / "before.csv", verify=True)
    rewrite(images_root / "owl/8.png")
    (images_root / "owl/7.png").unlink()
    write_to("csv", manifest, images_root, tmp_path / "unasked.csv")
    with pytest.raises(BadInputError, match="2 images") as failure:
        write_to("csv", manifest, images_root, tmp_path / "out.csv", verify=True)
    assert "owl/7.png" in str(failure.value) and "owl/8.png" in str(failure.value)


def test_names_that_meet_after_relabelling(images_root: Path, tmp_path: Path) -> None:
    rows: list[dict[str, object]] = [
        {"file_name": "a/1.jpg", "clean_label": "c", "repeats": 2},
        {"file_name": "b/1.jpg", "clean_label": "c"},
        {"file_name": "c/1.jpg"},
        {"file_name": "c/1~2.jpg"},
        {"file_name": "c/deep/1.jpg"},
    ]
    manifest = make_set(images_root, rows)
    one, two = tmp_path / "one", tmp_path / "two"
    write_to("folder", manifest, images_root, one, repeats="files")
    write_to("folder", manifest.iloc[::-1], images_root, two, repeats="files")
    assert files_of(one) == files_of(two) and len(files_of(one)) == 8
    assert all((one / f).samefile(two / f) for f in files_of(one) if "/" in f)
    assert (one / "c" / "1.jpg").samefile(images_root / "a" / "1.jpg")


def test_files_whose_names_hide_that_they_are_images(images_root: Path, tmp_path: Path) -> None:
    manifest = make_set(images_root, [{"file_name": "cat/1.dat"}, {"file_name": "cat/2.gif"}])
    result = write_to("folder", manifest, images_root, tmp_path / "out")
    assert [Path(p).name for p, _ in ImageFolder(str(tmp_path / "out")).samples] == ["1.dat.jpg"]
    assert any(w.startswith("1 files have a name that ImageFolder ignores") for w in result.warnings)


def test_a_class_that_image_folder_could_not_read_is_refused_or_converted(images_root: Path, tmp_path: Path) -> None:
    rows: list[dict[str, object]] = [{"file_name": "dog/1.jpg"}, {"file_name": "cat/2.gif", "repeats": 2}]
    manifest = make_set(images_root, [*rows, {"file_name": "dog/3.gif"}])
    with pytest.raises(BadInputError, match="no image of 1 classes: cat") as error:
        write_to("folder", manifest, images_root, tmp_path / "out")
    assert "--convert" in error.value.next_step and not (tmp_path / "out").exists()
    result = write_to("folder", manifest, images_root, tmp_path / "out", convert=True, repeats="files")
    assert files_of(tmp_path / "out") == [
        "cat/2.gif.png",
        "cat/2.gif~2.png",
        "classes.txt",
        "dog/1.jpg",
        "dog/3.gif.png",
        "images.csv",
    ]
    data = ImageFolder(str(tmp_path / "out"))
    assert len(data) == 4 and not result.warnings
    with Image.open(images_root / "cat/2.gif") as source:
        assert data[0][0].tobytes() == source.convert("RGB").tobytes()


def test_an_interrupted_export_leaves_nothing(
    small_export: pd.DataFrame, images_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: Path, target: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "symlink_to", full)
    with pytest.raises(CleanerError, match="No space left"):
        write_to("folder", small_export, images_root, tmp_path / "out", mode="symlink")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["images"]


@pytest.mark.skipif(not Path("/dev/shm").is_dir(), reason="needs a second file system")
def test_across_devices_hard_links_become_copies(small_export: pd.DataFrame, images_root: Path, tmp_path: Path) -> None:
    if Path("/dev/shm").stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("needs a second file system")
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        result = write_to("folder", small_export, images_root, Path(folder) / "out")
        assert result.num_copied == 5
        assert len(ImageFolder(f"{folder}/out")) == 5


def test_the_next_export_removes_what_a_killed_one_left(
    small_export: pd.DataFrame, images_root: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    if (process := os.fork()) == 0:
        with new_place(out, is_folder=True) as temporary:
            (temporary / "cat").mkdir()
            (temporary / "cat" / "half.jpg").write_bytes(b"half")
            os._exit(9)
    os.waitpid(process, 0)
    assert len(list(tmp_path.glob(".cleaner-export-*.tmp"))) == 1
    write_to("folder", small_export, images_root, out)
    assert not list(tmp_path.glob(".*")) and not (out / "cat" / "half.jpg").exists() and len(ImageFolder(str(out))) == 5


def test_two_exports_to_one_folder_do_not_meet(small_export: pd.DataFrame, images_root: Path, tmp_path: Path) -> None:
    with new_place(tmp_path / "out", is_folder=True) as temporary:
        (temporary / "mine").touch()
        with pytest.raises(WorkspaceLockedError, match="another cleaner is exporting"):
            write_to("folder", small_export, images_root, tmp_path / "out")
        write_to("folder", small_export, images_root, tmp_path / "other")
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["mine"]
