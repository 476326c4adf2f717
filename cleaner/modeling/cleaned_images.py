"""The images of a cleaned set as a dataset of torch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from PIL import Image
from torch.utils.data import Dataset

from cleaner.dataset.images import decode_upright, read_image
from cleaner.dataset.names import image_path


class CleanedImages(Dataset[tuple[Any, int]]):
    """Pairs of an image and the number of its class; classes are numbered in their sorted order.

    An image is a PIL image in RGB, upright, transparency on white, or what `transform` makes of it. It is read where
    it lies, out of shards and tables too. Raises BadInputError, which names the file, for one that is missing or not
    as it was scanned.
    """

    def __init__(
        self,
        images_root: Path,
        file_names: Sequence[str],
        image_ids: Sequence[str],
        labels: Sequence[str],
        classes: Sequence[str],
        transform: Callable[[Image.Image], Any] | None = None,
    ) -> None:
        self.classes = list(classes)
        self.class_to_idx = {label: number for number, label in enumerate(self.classes)}
        self.file_names = list(file_names)
        """Of each item, as in the manifest."""
        self.targets = [self.class_to_idx[label] for label in labels]
        """The class number of each item."""
        self.transform = transform
        self._images_root, self._image_ids = images_root, list(image_ids)

    def __len__(self) -> int:
        return len(self.targets)

    def __getitem__(self, index: int) -> tuple[Any, int]:
        path = image_path(self._images_root, self.file_names[index])
        image = Image.fromarray(decode_upright(read_image(path, self._image_ids[index]), path, 0))
        return image if self.transform is None else self.transform(image), self.targets[index]
