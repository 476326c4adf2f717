"""The list of files below a root."""

from __future__ import annotations

import os
import socket
from collections import Counter
from pathlib import Path

import pytest

from cleaner.dataset.files import find_file, list_files
from cleaner.dataset.names import image_path
from tests.support.pictures import write


def faults(root: Path, follow: bool = False) -> dict[str, str]:
    return {f.name: f.fault for f in list_files(root, follow)}


def test_hidden_files_are_aside_and_names_are_sorted(tmp_path: Path) -> None:
    for name in ("b/2.jpg", "a/1.jpg", ".git/x", "a/.hidden", "a/Thumbs.db", "z.txt", "a/sub/3.jpg"):
        write(tmp_path / name, b"x")
    found = list_files(tmp_path, False)
    assert [f.name for f in found] == ["a/1.jpg", "a/sub/3.jpg", "b/2.jpg", "z.txt"]
    assert all(f.size == 1 and f.mtime_ns > 0 and f.fault == "" for f in found)


def test_links(tmp_path: Path) -> None:
    root, outside = tmp_path / "root", tmp_path / "outside"
    write(root / "a/1.jpg", b"x")
    write(root / ".store/kept/9.jpg", b"x")
    write(outside / "2.jpg", b"x")
    (root / "a/inside.jpg").symlink_to("1.jpg")
    (root / "a/out.jpg").symlink_to(outside / "2.jpg")
    (root / "a/gone.jpg").symlink_to("nowhere.jpg")
    (root / "a/loop.jpg").symlink_to("loop.jpg")
    (root / "a/up").symlink_to("..")
    (root / "a/self").symlink_to(".")
    (root / "0").symlink_to("a")
    (root / "b").symlink_to(outside)
    (root / "c").symlink_to(".store/kept")
    expected = {
        "a/1.jpg": "",
        "a/inside.jpg": "",
        "a/out.jpg": "outside_root",
        "a/gone.jpg": "missing",
        "a/loop.jpg": "unreadable",
        "b": "outside_root",
        "c/9.jpg": "",
    }
    assert faults(root) == expected
    followed = expected | {"a/out.jpg": "", "b/2.jpg": ""}
    del followed["b"]
    (outside / "back").symlink_to(root)
    assert faults(root, follow=True) == followed


def test_folders_that_link_to_one_another_end(tmp_path: Path) -> None:
    for name in "abcdef":
        write(tmp_path / name / "1.jpg", b"x")
        for other in "abcdef":
            (tmp_path / name / f"to_{other}").symlink_to(f"../{other}")
    assert list(faults(tmp_path)) == [f"{name}/1.jpg" for name in "abcdef"]


def test_pipes_sockets_and_closed_folders_are_unreadable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "a/1.jpg", b"x")
    write(tmp_path / "closed/1.jpg", b"x")
    os.mkfifo(tmp_path / "a/pipe")
    monkeypatch.chdir(tmp_path / "a")  # a socket's path may have some 100 characters
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("socket")
        true_scandir = os.scandir

        def scandir(path: str) -> object:
            if str(path).endswith("closed"):
                raise PermissionError(13, "Permission denied")
            return true_scandir(path)

        monkeypatch.setattr(os, "scandir", scandir)
        found = faults(tmp_path)
    assert found == {"a/1.jpg": "", "a/pipe": "unreadable", "a/socket": "unreadable", "closed": "unreadable"}


def test_every_name_has_a_row_of_its_own_and_leads_back_to_its_file(tmp_path: Path) -> None:
    names = [
        b"a\x01.jpg",
        b"a\\x01.jpg",
        b"\xff\xfe.jpg",
        "ü日本.jpg".encode(),
        b"line\nbreak.jpg",
        b"\xe2\x80\xa8.jpg",
        b"dir\xe9/a\\b.jpg",
    ]
    for name in names:
        path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/c/" + name))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name)
    found = list_files(tmp_path, False)
    assert {f.name: f.fault for f in found} == {
        r"c/\u2028.jpg": "bad_name",
        r"c/\xff\xfe.jpg": "",
        r"c/a\\x01.jpg": "",
        r"c/a\x01.jpg": "bad_name",
        r"c/dir\xe9/a\b.jpg": "",
        r"c/line\x0abreak.jpg": "bad_name",
        "c/ü日本.jpg": "",
    }
    for file in found:
        path = image_path(tmp_path, file.name)
        assert path.read_bytes() == os.fsencode(path.relative_to(tmp_path / "c"))
        assert find_file(tmp_path, file.name, False).size == file.size


def test_folders_of_file_systems_and_programs_are_passed_over_and_counted(tmp_path: Path) -> None:
    for name in (
        "owl/1.jpg",
        "owl/@Recycle/1.jpg",
        "owl/#snapshot/hourly/2.jpg",
        ".Trash-1000/files/3.jpg",
        "System Volume Information/x",
        "tools/env/pyvenv.cfg",
        "tools/env/lib/logo.png",
        "tools/plain/2.jpg",
        "owl/lost+found",
    ):
        write(tmp_path / name, b"x")
    passed_over: Counter[str] = Counter()
    found = list_files(tmp_path, False, passed_over)
    assert [f.name for f in found] == ["owl/1.jpg", "owl/lost+found", "tools/plain/2.jpg"]
    assert passed_over == {
        "@Recycle": 1,
        "#snapshot": 1,
        "System Volume Information": 1,
        "hidden folders": 1,
        "virtual environments": 1,
    }
    assert [f.name for f in list_files(tmp_path / "tools/env", False)] == ["lib/logo.png", "pyvenv.cfg"]


def test_find_file(tmp_path: Path) -> None:
    root = tmp_path / "root"
    write(root / ".hidden/1.jpg", b"x")
    write(tmp_path / "2.jpg", b"x")
    (root / "out.jpg").symlink_to(tmp_path / "2.jpg")
    assert find_file(root, ".hidden/1.jpg", False).fault == ""
    assert find_file(root, "out.jpg", False).fault == "outside_root"
    assert find_file(root, "out.jpg", True).fault == ""
    assert find_file(root, "no.jpg", False).fault == "missing"
    assert find_file(root, ".hidden", False).fault == "unreadable"
