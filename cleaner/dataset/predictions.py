"""Predictions that people bring along: out-of-fold class probabilities of any model, or of several."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from cleaner.dataset.names import matching_names
from cleaner.errors import BadInputError
from cleaner.reading import reading

_CHUNK = 4096
_SUM_TOLERANCE = 0.01


@dataclass(frozen=True)
class BroughtPredictions:
    """Probabilities of the images of n rows, read from the files by chunk; the mean of those of several models."""

    probs: tuple[np.ndarray, ...]
    """(N, K) of each model, memory-mapped."""
    line_of_row: tuple[np.ndarray, ...]
    """(n,) int64 for each model: which line of its `probs` is a row's."""
    column_of_class: np.ndarray
    """(C,) int64: which column is a class's; -1: none, its probability is 0."""

    def predict(self, rows: np.ndarray) -> Iterator[tuple[slice, np.ndarray]]:
        """See Predicts.predict."""
        for start in range(0, len(rows), _CHUNK):
            part = slice(start, min(start + _CHUNK, len(rows)))
            pairs = zip(self.probs, self.line_of_row, strict=True)
            found = sum(np.asarray(probs[lines[rows[part]]], np.float32) for probs, lines in pairs)
            mean = np.asarray(found, np.float32) / np.float32(len(self.probs))
            chunk = mean[:, np.maximum(self.column_of_class, 0)]
            chunk[:, self.column_of_class < 0] = 0
            yield part, chunk


@dataclass(frozen=True, kw_only=True)
class JudgedImages:
    """What predictions that people bring must be for."""

    file_names: Sequence[str]
    """(n,): the rows that need predictions."""
    known_names: Sequence[str]
    """Every file of the manifest."""
    classes: Sequence[str]
    """(C,): the class numbers' names."""
    learned: Sequence[str]
    """(K,): the classes of the images that are judged. Their names, sorted, are the columns."""


def read_predictions(
    probs_files: Sequence[Path], ids_files: Sequence[Path], images: JudgedImages
) -> BroughtPredictions:
    """Check and open what people brought.

    `probs_files`: M .npy files (N, K) of probabilities; `ids_files`: M texts with one file_name a line, N of them, or
    one for all.

    Raises BadInputError, naming file and line, for another shape, probabilities that are no such, unknown, doubled or
    missing names, and where two models predict other images.
    """
    given = [pd.Series(_read_ids(ids_file), dtype=object) for ids_file in ids_files]
    names = [pd.Index(matching_names(ids, images.known_names), dtype=object) for ids in given]
    lines = [_find_lines(ids, ids_file, images) for ids, ids_file in zip(names, ids_files, strict=True)]
    for ids, ids_file in zip(names[1:], ids_files[1:], strict=True):
        _require_same_images(ids, ids_file, names[0], ids_files[0])
    opened = [_open(probs_file) for probs_file in probs_files]
    its_ids = [number if len(ids_files) > 1 else 0 for number in range(len(opened))]
    for probs, probs_file, number in zip(opened, probs_files, its_ids, strict=True):
        _require_shape(probs, probs_file, len(names[number]), ids_files[number], len(images.learned))
        for start in range(0, len(probs), _CHUNK):
            chunk = np.asarray(probs[start : start + _CHUNK], np.float64)
            _require_probabilities(chunk, start, probs_file, names[number])
    columns = pd.Index(sorted(images.learned)).get_indexer(pd.Index(images.classes))
    return BroughtPredictions(tuple(opened), tuple(lines[i] for i in its_ids), columns.astype(np.int64))


def _find_lines(ids: pd.Index[str], ids_file: Path, images: JudgedImages) -> np.ndarray:
    """(n,) int64: the line of each image that is judged. Raises BadInputError if names are unknown or missing."""
    if ids.has_duplicates:
        line = int(np.flatnonzero(ids.duplicated())[0])
        raise _bad_line(ids_file, line, "this name stands there twice", ids[line])
    unknown = np.flatnonzero(~ids.isin(pd.Index(images.known_names)))
    if len(unknown):
        raise _bad_line(ids_file, int(unknown[0]), f"{len(unknown)} names are not in the manifest", ids[unknown[0]])
    lines = ids.get_indexer(pd.Index(images.file_names))
    missing = np.flatnonzero(lines < 0)
    if len(missing):
        raise BadInputError(
            f"{ids_file}: {len(missing)} images that are to be judged have no prediction",
            found=f"nothing for {images.file_names[int(missing[0])]}",
            next_step="predict them too, or leave --pred-probs out",
        )
    return lines.astype(np.int64)


def _require_same_images(ids: pd.Index[str], ids_file: Path, first: pd.Index[str], first_file: Path) -> None:
    differing = ids.symmetric_difference(first)
    if len(differing):
        raise BadInputError(
            f"{ids_file}: names other images than {first_file}",
            expected="the same names, in any order: predictions of several models are averaged",
            found=f"{len(differing)} names stand in one of them only, such as {differing[0]}",
            next_step="predict the same images with each model",
        )


def _open(path: Path) -> np.ndarray:
    save = "save probabilities again with numpy.save"
    with reading(path, "array (.npy)", save, absent="check the path"):
        probs: np.ndarray = np.load(path, mmap_mode="r", allow_pickle=False)
    if not isinstance(probs, np.ndarray) or probs.dtype.kind != "f":
        raise BadInputError(
            f"{path}: not probabilities", expected="a .npy file with floating-point numbers", next_step=save
        )
    return probs


def _read_ids(path: Path) -> pd.Index[str]:
    with reading(path, "list of file names", "save one file_name of the manifest a line", absent="check the path"):
        text = path.read_text(encoding="utf-8-sig")
    return pd.Index(text.splitlines(), dtype=object)


def _require_shape(probs: np.ndarray, path: Path, num_ids: int, ids_file: Path, num_classes: int) -> None:
    if probs.ndim != 2 or probs.shape != (num_ids, num_classes):
        raise BadInputError(
            f"{path}: has another shape",
            expected=f"({num_ids}, {num_classes}): a row for each of the {num_ids} lines of {ids_file}, a column for "
            f"each of the {num_classes} classes of kept training images, in the sorted order of their names",
            found=str(probs.shape),
            next_step="predict the same images and classes again, or give the names that belong to it with --pred-ids",
        )


def _require_probabilities(chunk: np.ndarray, start: int, path: Path, ids: pd.Index[str]) -> None:
    sums = chunk.sum(1)
    bad = ~np.isfinite(chunk).all(1) | (chunk < 0).any(1) | ~(np.abs(sums - 1) <= _SUM_TOLERANCE)
    if bad.any():
        line = int(np.flatnonzero(bad)[0])
        raise BadInputError(
            f"{path}: row {start + line} ({ids[start + line]}) holds no probabilities",
            expected="numbers from 0 to 1 that sum to 1",
            found=f"sum {sums[line]:.4g}, smallest {chunk[line].min():.4g}",
            next_step="save softmax outputs, not logits",
        )


def _bad_line(path: Path, line: int, what: str, name: str) -> BadInputError:
    return BadInputError(
        f"{path}, line {line + 1}: {what}", found=name, next_step="one file_name of the manifest a line"
    )
