"""Thumbnails, and decoders that die of making them."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from cleaner.dataset.thumbnails import Form, PictureError, Shrinker
from cleaner.report.thumbnails import Thumbnails as ReportThumbnails
from cleaner.review.thumbnails import Thumbnails as ReviewThumbnails
from cleaner.worker_pool import _Worker
from tests.support import fragile
from tests.support.pictures import MAX, encoded, picture, write

FORM = Form(enough_px=64, most_px=128, quality=80)


@pytest.fixture
def shrinker() -> Iterator[Shrinker]:
    shrinker = Shrinker(1, max_pixels=MAX, file_timeout_s=0.3)
    yield shrinker
    shrinker.close()


@pytest.fixture
def fragile_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_Worker, "call", _Worker.call)  # to be put back
    fragile.spoil_workers()


def test_a_thumbnail_has_pixels_alone_and_its_size(shrinker: Shrinker) -> None:
    exif = Image.Exif()
    exif[0x010E] = "secret"
    data = encoded(picture(800, 200), "JPEG", exif=exif, comment=b"secret")
    found = shrinker.shrink(data, FORM)
    assert b"secret" in data and b"secret" not in found
    image = Image.open(io.BytesIO(found))
    assert image.format == "JPEG" and 64 <= image.width <= 128 and image.width == 4 * image.height


@pytest.mark.parametrize(
    ("data", "why"), [(b"no image", "not an image"), (encoded(picture(), "PNG")[:400], "cannot be decoded")]
)
def test_what_cannot_be_shown_says_why(shrinker: Shrinker, data: bytes, why: str) -> None:
    with pytest.raises(PictureError, match=why):
        shrinker.shrink(data, FORM)
    with pytest.raises(PictureError, match="too large to decode"):
        Shrinker(1, max_pixels=10, file_timeout_s=1).shrink(encoded(picture(), "PNG"), FORM)


@pytest.mark.usefixtures("fragile_workers")
def test_a_decoder_that_dies_costs_its_picture_alone(shrinker: Shrinker) -> None:
    for size, why in ((fragile.CRASHING, "crashes"), (fragile.HANGING, "takes too long")):
        with pytest.raises(PictureError, match=why):
            shrinker.shrink(encoded(picture(*size), "PNG"), FORM)
        assert shrinker.shrink(encoded(picture(), "PNG"), FORM)


@pytest.mark.usefixtures("fragile_workers")
def test_report_and_review_say_so_and_review_does_not_ask_again(tmp_path: Path, shrinker: Shrinker) -> None:
    data = encoded(picture(*fragile.CRASHING), "PNG")
    path, image_id = write(tmp_path / "a" / "x.png", data), hashlib.sha256(data).hexdigest()
    thumbnails = ReportThumbnails(tmp_path, shrinker)
    assert thumbnails.picture("a/x.png", image_id).missing == "its decoder crashes" and thumbnails.num_gone == 0
    review = ReviewThumbnails(tmp_path / "cache", MAX, 0.3)
    for _ in range(2):
        with pytest.raises(PictureError, match="crashes"):
            review.get(image_id, "thumb", path)
        path.unlink(missing_ok=True)  # else the second answer would be that the file is gone
