"""Small pictures inside the page: bounded in number and in bytes, re-encoded, checked against the manifest."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from pathlib import Path

from markupsafe import Markup

from cleaner.dataset.locations import file_size, read_bytes
from cleaner.dataset.names import image_path
from cleaner.dataset.thumbnails import Form, PictureError, Shrinker
from cleaner.errors import CleanerError

MAX_PICTURES = 640
"""More than anyone looks at in one page."""
MAX_BYTES = 11_000_000
"""Of all pictures as the page holds them: leaves room below 15 MB for the tables of 5,000 classes."""
SIDE_PX = 192
"""Sharp at twice the size at which the galleries show them on a screen of usual density."""
_FORM = Form(enough_px=SIDE_PX, most_px=SIDE_PX, quality=74)
_MAX_FILE_BYTES = 200_000_000


@dataclass(frozen=True)
class Picture:
    """A picture, or what stands in its place."""

    source: Markup | None = None
    """A data URL."""
    missing: str = ""
    """Why there is no picture."""


class Thumbnails:
    """Encodes pictures until the budget is spent; after that, or where an image is gone, there are none."""

    def __init__(self, images_root: Path, shrinker: Shrinker) -> None:
        self._root = images_root
        self._shrinker = shrinker
        self.num_shown = 0
        self.num_bytes = 0
        self.num_gone = 0
        """Images that are no longer there, or no longer what was scanned."""

    @property
    def is_spent(self) -> bool:
        """Whether no further picture fits in."""
        return self.num_shown >= MAX_PICTURES or self.num_bytes >= MAX_BYTES

    def picture(self, file_name: str, image_id: str) -> Picture:
        """The picture of one image, if `image_id` (hex SHA-256) is that of its bytes."""
        if self.is_spent:
            return Picture(missing="not shown: the page is full")
        data = self._read(file_name, image_id)
        if data is None:
            self.num_gone += 1
            return Picture(missing="image is gone")
        try:
            text = base64.b64encode(self._shrinker.shrink(data, _FORM)).decode()
        except PictureError as error:
            return Picture(missing=str(error))
        self.num_shown += 1
        self.num_bytes += len(text)
        return Picture(Markup(f"data:image/jpeg;base64,{text}"))

    def _read(self, file_name: str, image_id: str) -> bytes | None:
        try:
            path = image_path(self._root, file_name)
            if not image_id or file_size(path) > _MAX_FILE_BYTES:
                return None
            data = read_bytes(path)
        except (OSError, CleanerError):
            return None
        return data if hashlib.sha256(data).hexdigest() == image_id else None
