"""Names in an exported image folder: safe on every file system, free, and such that the label can be told again."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable
from pathlib import PurePosixPath

from cleaner.dataset.files import why_passed_over
from cleaner.dataset.names import is_printable, to_file_name

_MAX_NAME_BYTES = 255  # the limit of every common file system
_MAX_SUFFIX_BYTES = 20
# torchvision.datasets.folder.IMG_EXTENSIONS; ImageFolder ignores files with any other
_READ_BY_IMAGE_FOLDER = {".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp"}
_EXTENSION_OF = {"JPEG": ".jpg", "PNG": ".png", "BMP": ".bmp", "TIFF": ".tif", "WEBP": ".webp"}
_OTHER_EXTENSIONS = {"GIF": ".gif", "AVIF": ".avif", "HEIF": ".heic", "JXL": ".jxl"}


class FreeNames:
    """Hands out file names that are free in their folder, even on file systems that ignore case, and not too long."""

    def __init__(self) -> None:
        self._taken: dict[PurePosixPath, set[str]] = {}
        self._next: dict[tuple[PurePosixPath, str], int] = {}

    def take(self, folder: PurePosixPath, name: str) -> PurePosixPath:
        """`folder/name`, or `folder/stem~2.ext`, `~3` … where that is taken; the end of a long stem is cut off."""
        taken = self._taken.setdefault(folder, set())
        stem, suffix = PurePosixPath(name).stem, PurePosixPath(name).suffix
        if len(suffix.encode()) > _MAX_SUFFIX_BYTES:
            stem, suffix = name, ""
        number, free = self._next.get((folder, name), 2), _fitted(stem, suffix)
        while free.casefold() in taken:
            free, number = _fitted(stem, f"~{number}{suffix}"), number + 1
        self._next[(folder, name)] = number
        taken.add(free.casefold())
        return folder / free


def is_read_by_image_folder(name: PurePosixPath) -> bool:
    """Whether ImageFolder takes a file of this name for an image."""
    return name.suffix.lower() in _READ_BY_IMAGE_FOLDER


def name_with_extension(name: PurePosixPath, image_format: str) -> str:
    """The last part of `name`, with the extension of its format if ImageFolder would ignore it otherwise."""
    return name.name if is_read_by_image_folder(name) else name.name + _EXTENSION_OF.get(image_format, "")


def extension_of(image_format: str) -> str:
    """The usual extension of a format, such as `.jpg`; '' for one that scan does not read."""
    return (_EXTENSION_OF | _OTHER_EXTENSIONS).get(image_format, "")


def folder_names(labels: Iterable[str], reserved: Collection[str] = ()) -> dict[str, str]:
    """A folder for each label: the label itself where that is a name which every reader takes for a class.

    Otherwise what stands in the way is percent-encoded (`a/b` becomes `a%2Fb`, as `urllib.parse.unquote` reads it), and
    what is longer than 255 bytes is cut and ends in `~` and digits of its SHA-256. No two labels share a folder, and
    none has a name that is `reserved`.
    """
    wanted = sorted(set(labels))
    found = {label: label for label in wanted if label not in reserved and _is_plain(label)}
    for label in wanted:
        if label not in found:
            name, taken = _encoded(label, reserved), {*found.values(), *reserved}
            while name in taken or len(name.encode()) > _MAX_NAME_BYTES:
                name = _fitted(name, f"~{hashlib.sha256(f'{name} {label}'.encode()).hexdigest()[:8]}")
            found[label] = name
    return found


def _is_plain(label: str) -> bool:
    """Whether a label can be a folder in which every reader finds the same label; timm cuts blanks off its ends."""
    fits = bool(label) and label == label.strip() and "/" not in label and len(label.encode()) <= _MAX_NAME_BYTES
    return fits and is_printable(label) and to_file_name(label) == label and not why_passed_over(label)


def _encoded(label: str, reserved: Collection[str]) -> str:
    inner = slice(len(label) - len(label.lstrip()), len(label.rstrip()))
    odd = [c in "/%\\" or not is_printable(c) or not inner.start <= i < inner.stop for i, c in enumerate(label)]
    name = "".join(_percent(c) if is_odd else c for c, is_odd in zip(label, odd, strict=True))
    if not name or name in reserved or why_passed_over(name):
        name = (_percent(name[0]) + name[1:]) if name else "%"
    return name


def _percent(char: str) -> str:
    return "".join(f"%{byte:02X}" for byte in char.encode())


def _fitted(stem: str, suffix: str) -> str:
    """`stem` and `suffix`, of the stem so much as makes 255 bytes together."""
    room = _MAX_NAME_BYTES - len(suffix.encode())
    return stem.encode()[:room].decode("utf-8", "ignore") + suffix
