"""Files are read where their bytes are, and only regular ones: anything else may never end."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cleaner.dataset.images import inspect_image, load_rgb
from cleaner.dataset.locations import read_bytes
from cleaner.dataset.store import sha256_file
from cleaner.dataset.thumbnails import PictureError
from cleaner.errors import BadInputError
from cleaner.report.thumbnails import Thumbnails as ReportThumbnails
from cleaner.review.thumbnails import Thumbnails
from tests.support.pictures import MAX, NO_PICTURES, encoded, picture
from tests.support.waiting import within_patience


def bind_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(os.path.relpath(path))  # the name of a socket is short


NOT_REGULAR: dict[str, Callable[[Path], Any]] = {
    "pipe": os.mkfifo,
    "socket": bind_socket,
    "device": lambda path: path.symlink_to("/dev/zero"),
    "folder": os.mkdir,
    "link to a pipe": lambda path: (os.mkfifo(path.with_suffix(".fifo")), path.symlink_to(path.with_suffix(".fifo"))),
}


@pytest.fixture(params=NOT_REGULAR)
def place(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    NOT_REGULAR[request.param](tmp_path / "a.png")
    return tmp_path / "a.png"


def test_what_is_no_regular_file_is_an_error_at_once(place: Path) -> None:
    with within_patience():
        for read in (read_bytes, sha256_file):
            with pytest.raises(OSError):
                read(place)
        assert inspect_image(place, MAX).fault == "unreadable"
        with pytest.raises(BadInputError, match=r"a\.png") as caught:
            load_rgb(place, 32, image_id="0" * 64)
        assert "cleaner scan" in caught.value.next_step
        with pytest.raises(PictureError):
            Thumbnails(place.parent / "thumbnails", MAX, 30).get("0" * 64, "thumb", place)
        assert not ReportThumbnails(place.parent, NO_PICTURES).picture("a.png", "0" * 64).source


def test_a_regular_file_and_a_link_to_one_are_read(tmp_path: Path) -> None:
    data = encoded(picture(), "PNG")
    (tmp_path / "a.png").write_bytes(data)
    (tmp_path / "b.png").symlink_to("a.png")
    assert read_bytes(tmp_path / "a.png") == read_bytes(str(tmp_path / "b.png")) == data
