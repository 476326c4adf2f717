"""Formats that are read where a decoder is installed."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import features

from cleaner.dataset import pixels
from cleaner.dataset.images import inspect_image, load_rgb
from tests.support.pictures import MAX, encoded, picture, write

HEADERS = {
    "HEIF": b"\0\0\0\x18ftypmif1\0\0\0\0heic" + bytes(50),
    "AVIF": b"\0\0\0\x1cftypmif1\0\0\0\0miafavif" + bytes(50),
    "JXL": b"\0\0\0\x0cJXL \r\n\x87\n" + bytes(50),
}
PLUGINS = {"HEIF": "pillow_heif", "JXL": "pillow_jxl"}


@pytest.fixture
def no_plugins(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    def refuse(name: str) -> None:
        raise ImportError(name)

    with monkeypatch.context() as patch:
        patch.setattr(importlib, "import_module", refuse)
        patch.setattr(features, "check", lambda name: False)
        pixels.can_decode.cache_clear()
        yield
    pixels.can_decode.cache_clear()


def made(kind: str) -> bytes:
    """A file of the format, or the test is skipped where none can be made."""
    if kind == "AVIF":
        if not features.check("avif"):
            pytest.skip("this Pillow reads no AVIF")
    else:
        plugin = pytest.importorskip(PLUGINS[kind])
        assert plugin and pixels.can_decode(kind)
    return encoded(picture(), kind, quality=95)


@pytest.mark.parametrize("kind", HEADERS)
def test_without_a_decoder_a_format_is_named_with_what_reads_it(tmp_path: Path, kind: str, no_plugins: None) -> None:
    facts = inspect_image(write(tmp_path / "x.jpg", HEADERS[kind]), MAX)
    assert (facts.fault, facts.format) == ("unsupported_format", kind)
    assert "cleaner-images[formats]" in facts.notes


@pytest.mark.parametrize("kind", HEADERS)
def test_with_a_decoder_it_is_read(tmp_path: Path, kind: str) -> None:
    data = made(kind)
    path = write(tmp_path / "x.jpg", data)
    facts = inspect_image(path, MAX)
    assert (facts.fault, facts.format, facts.width, facts.height) == ("", kind, 96, 64)
    plain = write(tmp_path / "x.png", encoded(picture(), "PNG"))
    seen, expected = (load_rgb(p, 32, image_id=inspect_image(p, MAX).image_id).astype(int) for p in (path, plain))
    assert np.abs(seen - expected).mean() < 6
    assert inspect_image(path, 96 * 64 - 1).fault == "too_large"
    assert inspect_image(write(path, data[: len(data) * 2 // 3]), MAX).fault in ("truncated", "decode_error")
    assert inspect_image(write(path, HEADERS[kind]), MAX).fault in ("truncated", "decode_error")


def test_a_picture_of_ten_bits_is_told_by_its_bytes(tmp_path: Path) -> None:
    heif = pytest.importorskip("pillow_heif")
    values = np.asarray(picture()).astype(np.uint16) * 257
    found = []
    for delta in (0, 65):
        image = heif.from_bytes("RGB;16", (96, 64), np.minimum(values + delta, 65535).astype("<u2").tobytes())
        image.save(tmp_path / "x.heic", quality=-1)
        found.append(inspect_image(tmp_path / "x.heic", MAX))
    assert found[0].fault == "" and found[0].pixel_id != found[1].pixel_id and "8 bits" in found[0].notes
