"""Predictions that people bring along: class probabilities of any model, out of fold, in place of round 0."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from cleaner.errors import BadInputError

_CHUNK = 4096
_SUM_TOLERANCE = 0.01


@dataclass(frozen=True)
class BroughtPredictions:
    """Probabilities of the images of n rows, read from the file by chunk."""

    probs: np.ndarray
    """(N, K), memory-mapped."""
    line_of_row: np.ndarray
    """(n,) int64: which line of `probs` is a row's."""
    column_of_class: np.ndarray
    """(C,) int64: which column is a class's; -1: none, its probability is 0."""

    def predict(self, rows: np.ndarray) -> Iterator[tuple[slice, np.ndarray]]:
        """See Predictor.predict."""
        for start in range(0, len(rows), _CHUNK):
            part = slice(start, min(start + _CHUNK, len(rows)))
            found = np.asarray(self.probs[self.line_of_row[rows[part]]], np.float32)
            chunk = found[:, np.maximum(self.column_of_class, 0)]
            chunk[:, self.column_of_class < 0] = 0
            yield part, chunk


def read_predictions(
    probs_file: Path, ids_file: Path, file_names: Sequence[str], known_names: Sequence[str], classes: Sequence[str],
    learned: Sequence[str],
) -> BroughtPredictions:  # fmt: skip
    """Check and open what people brought.

    `probs_file`: a .npy (N, K) of probabilities, columns in the sorted order of the names `learned` (K,), the classes
    of the images that are judged; `ids_file`: a text with one file_name a line, N of them; `file_names` (n,): the
    rows that need predictions; `known_names`: every file of the manifest; `classes` (C,): the class numbers' names.

    Raises BadInputError, naming file and line, for another shape, probabilities that are no such, unknown, doubled or
    missing names.
    """
    probs = _open(probs_file)
    ids = _read_ids(ids_file)
    _require_shape(probs, probs_file, len(ids), ids_file, len(learned))
    index = pd.Index(ids)
    if index.has_duplicates:
        line = int(np.flatnonzero(index.duplicated())[0])
        raise _bad_line(ids_file, line, "this name stands there twice", ids[line])
    unknown = np.flatnonzero(~index.isin(pd.Index(known_names)))
    if len(unknown):
        raise _bad_line(ids_file, int(unknown[0]), f"{len(unknown)} names are not in the manifest", ids[unknown[0]])
    lines = index.get_indexer(pd.Index(file_names))
    missing = np.flatnonzero(lines < 0)
    if len(missing):
        raise BadInputError(
            f"{ids_file}: {len(missing)} images that are to be judged have no prediction",
            found=f"nothing for {file_names[int(missing[0])]}",
            next_step="predict them too, or leave --pred-probs out",
        )
    for start in range(0, len(probs), _CHUNK):
        _require_probabilities(np.asarray(probs[start : start + _CHUNK], np.float64), start, probs_file, ids)
    columns = pd.Index(sorted(learned)).get_indexer(pd.Index(classes))
    return BroughtPredictions(probs, lines.astype(np.int64), columns.astype(np.int64))


def _open(path: Path) -> np.ndarray:
    try:
        probs: np.ndarray = np.load(path, mmap_mode="r", allow_pickle=False)
    except FileNotFoundError as error:
        raise BadInputError(f"{path}: no such file", next_step="check the path") from error
    except (OSError, ValueError, EOFError) as error:
        raise BadInputError(
            f"{path}: cannot be read as an array", expected="a .npy file of numbers, written by numpy.save",
            found=str(error).splitlines()[0],
        ) from error  # fmt: skip
    if not isinstance(probs, np.ndarray) or probs.dtype.kind != "f":
        raise BadInputError(f"{path}: not probabilities", expected="a .npy file with floating-point numbers")
    return probs


def _read_ids(path: Path) -> list[str]:
    try:
        text = path.read_text(encoding="utf-8", errors="surrogateescape")
    except OSError as error:
        raise BadInputError(f"{path}: cannot be read", found=str(error), next_step="check the path") from error
    return text.splitlines()


def _require_shape(probs: np.ndarray, path: Path, num_ids: int, ids_file: Path, num_classes: int) -> None:
    if probs.ndim != 2 or probs.shape != (num_ids, num_classes):
        raise BadInputError(
            f"{path}: has another shape",
            expected=f"({num_ids}, {num_classes}): a row for each of the {num_ids} lines of {ids_file}, a column for "
            f"each of the {num_classes} classes of kept training images, in the sorted order of their names",
            found=str(probs.shape),
        )


def _require_probabilities(chunk: np.ndarray, start: int, path: Path, ids: list[str]) -> None:
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
