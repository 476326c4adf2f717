"""Features of linear heads: cached embeddings, square-rooted, standardised and rotated to principal directions."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from scipy.linalg import eigh

from cleaner.modeling.columns import Table, TableFile, new_table
from cleaner.modeling.embeddings import VIEWS, Embeddings

_NUM_DIRECTIONS = (128, 640)
_ROWS_A_DIRECTION = 32
"""Heads learn from one principal direction for this many images, within bounds: with few images, a head learns wrong
labels from the last directions; beyond 640, more of them cost time and gain little (docs/experiments.md)."""
_SQUARED_LENGTH = 640.0
_SAMPLE_ROWS = 10_000
"""Rows that the directions are computed from."""
_LEAST_VARIANCE = 1e-6
"""Directions with a smaller share of the widest one's variance are rounding errors."""
_TINY = 1e-20
_CHUNK_ROWS = 512
"""So few that the passes over a chunk stay in the processor's cache."""


class Standardised:
    """Square-rooted and standardised embeddings of N images, computed on demand.

    The square root (the Hellinger map) because embeddings are averages of rectified activations, heavy-tailed.
    `mean` and `std` (D,) float32 are those of the square roots of the plain views.
    """

    def __init__(self, embeddings: Embeddings, moments: np.ndarray | None = None) -> None:
        """`moments` (2, D) float32: mean and deviation where they are known."""
        self.num_rows, self.dim = embeddings.plain.shape
        self.views = VIEWS[: len(embeddings.views)]
        self._of_view = {"plain": embeddings.plain, "mirrored": embeddings.mirrored}
        known = feature_moments(embeddings.plain) if moments is None else torch.from_numpy(moments)
        self.mean: torch.Tensor = known[0]
        self.std: torch.Tensor = known[1]

    @property
    def moments(self) -> np.ndarray:
        """(2, D) float32: mean and deviation by which they are standardised."""
        return torch.stack([self.mean, self.std]).numpy()

    def __call__(self, view: str, rows: np.ndarray) -> torch.Tensor:
        """Features (n, D) float32 of rows (n,) of a view, plain or mirrored."""
        return standardise(self._of_view[view][rows], self.mean, self.std)

    def channel_weights(self, weight: torch.Tensor) -> torch.Tensor:
        """A head's weights (K, D), which are those of the standardised channels."""
        return weight


@dataclass(frozen=True)
class KeptFile:
    """Where features lie, for another process to open."""

    table: TableFile
    dtype: torch.dtype
    views: tuple[str, ...]

    def open(self) -> KeptFeatures:
        """The features. Raises BadInputError if the file is gone, or has another size."""
        return KeptFeatures(torch.from_numpy(self.table.open()).view(self.dtype), self.views)


class KeptFeatures:
    """Features of N images in all views that heads learn from, float32 or bfloat16."""

    def __init__(self, kept: torch.Tensor, views: tuple[str, ...]) -> None:
        """`kept` (N for each view, d): the plain view above the mirrored one."""
        self._kept, self.views = kept, views
        self.dim, self._num_rows = kept.shape[1], len(kept) // len(views)

    def take(self, rows: torch.Tensor, mirrored: torch.Tensor) -> torch.Tensor:
        """Features (n, d) as they are kept of rows (n,); of the mirrored view, if any, where `mirrored` (n,) bool is
        set.
        """
        if len(self.views) == 1:
            return self._kept.index_select(0, rows)
        return self._kept.index_select(0, rows + mirrored * self._num_rows)

    def __call__(self, view: str, rows: np.ndarray) -> torch.Tensor:
        """Features (n, d) float32 of rows (n,) of a view, plain or mirrored."""
        return self.take(torch.from_numpy(rows), torch.full((len(rows),), view == "mirrored")).float()


class PrincipalFeatures(KeptFeatures):
    """Standardised features along their principal directions (Pearson 1901), precomputed for all views.

    Steps of equal size in every coordinate, as Adam's, do more along these than along single channels, and without
    the last directions most of the work and some of the noise is gone. Scaled to the same mean length for any D, so
    that steps do the same. Kept in `dtype`, float32 or bfloat16, in a file below `scratch` if they are large or
    `in_file` asks (see `new_table`). `mean`, `std` as in Standardised.
    """

    def __init__(
        self,
        embeddings: Embeddings,
        dtype: torch.dtype = torch.float32,
        scratch: Path | None = None,
        *,
        in_file: bool = False,
    ) -> None:
        standardised = Standardised(embeddings)
        self.mean, self.std = standardised.mean, standardised.std
        views, num_rows = standardised.views, standardised.num_rows
        self._directions = _find_directions(standardised)
        num_bytes = self._directions.shape[1] * dtype.itemsize  # NumPy has no bfloat16
        self._table = new_table(len(views) * num_rows, num_bytes, np.uint8, scratch, in_file=in_file)
        super().__init__(torch.from_numpy(self._table).view(dtype), views)
        directions = self._directions.to(dtype)
        for start in range(0, num_rows, _CHUNK_ROWS):
            part = np.arange(start, min(start + _CHUNK_ROWS, num_rows))
            for number, view in enumerate(views):
                first = start + number * num_rows
                self._kept[first : first + len(part)] = standardised(view, part).to(dtype) @ directions

    @property
    def file(self) -> KeptFile | None:
        """Where they lie; None if they are in memory."""
        table = TableFile.of(self._table)
        return None if table is None else KeptFile(table, self._kept.dtype, self.views)

    def channel_weights(self, weight: torch.Tensor) -> torch.Tensor:
        """A head's weights (K, d) as weights (K, D) of the standardised channels."""
        return weight @ self._directions.T


HeadFeatures = Standardised | PrincipalFeatures


class StyleFeatures:
    """Square-rooted and standardised style of N images (N, S): row numbers (n,) to (n, S) float32."""

    def __init__(self, style: Table) -> None:
        self._style = style
        self._mean, self._std = feature_moments(style)

    def __call__(self, rows: np.ndarray) -> np.ndarray:
        """Features (n, S) float32 of `rows` (n,)."""
        return standardise(self._style[rows], self._mean, self._std).numpy()

    @property
    def moments(self) -> np.ndarray:
        """(2, S) float32: mean and deviation by which they are standardised."""
        return torch.stack([self._mean, self._std]).numpy()


def feature_moments(embeddings: Table) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and standard deviation (D,) float32 of the square-rooted embeddings (N, D); chunks are summed in float64."""
    total, squares = torch.zeros(2, embeddings.shape[1], dtype=torch.float64)
    for start in range(0, len(embeddings), _CHUNK_ROWS):
        x = hellinger(torch.from_numpy(embeddings[start : start + _CHUNK_ROWS]).float())
        total += x.sum(0)
        squares += x.square_().sum(0)
    num = max(1, len(embeddings))
    mean = total / num
    std = (squares / num - mean.square()).clamp_min(0).sqrt().clamp_min(1e-4)
    return mean.float(), std.float()


def standardise(values: np.ndarray, mean: torch.Tensor, std: torch.Tensor) -> torch.Tensor:
    """Features (n, D) float32 of embeddings or style (n, D), by the moments (D,) of their square roots."""
    return hellinger(torch.from_numpy(values).float()).sub_(mean).div_(std)


def standardise_by(moments: np.ndarray, values: np.ndarray) -> np.ndarray:
    """`standardise` by `moments` (2, D) that were kept, of `values` (n, D): (n, D) float32."""
    mean, std = torch.from_numpy(moments)
    return standardise(values, mean, std).numpy()


def hellinger(x: torch.Tensor) -> torch.Tensor:
    """Signed square root, elementwise: the Hellinger map for averages of rectified activations.

    As x / sqrt(x), bounded: where there are zeros, torch takes eight times as long for a plain square root.
    """
    return x.abs().clamp_min_(_TINY).rsqrt_().mul_(x)


def num_directions(num_rows: int, dim: int) -> int:
    """How many principal directions of `dim` channels heads learn from where there are `num_rows` images."""
    return min(dim, max(num_rows // _ROWS_A_DIRECTION, _NUM_DIRECTIONS[0]), _NUM_DIRECTIONS[1])


def _find_directions(standardised: Standardised) -> torch.Tensor:
    """Principal directions (D, d) float32, the widest first, scaled so that squared features sum to 640 on average."""
    num, dim = standardised.num_rows, standardised.dim
    rows = np.linspace(0, num - 1, min(num, _SAMPLE_ROWS)).astype(np.int64)
    kept = num_directions(num, dim)
    variances, vectors = (_directions_of_few if len(rows) < dim else _directions_of_many)(standardised, rows, kept)
    scale = (variances.sum() / _SQUARED_LENGTH).clamp_min(1e-12).sqrt()
    return (vectors.flip(1) / scale).contiguous()


def _directions_of_many(standardised: Standardised, rows: np.ndarray, kept: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Variances (d,) along the principal directions (D, d) of rows (n,), the widest last; d is `kept` at most."""
    gram = torch.zeros(standardised.dim, standardised.dim)
    for start in range(0, len(rows), _CHUNK_ROWS):
        x = standardised("plain", rows[start : start + _CHUNK_ROWS])
        gram.addmm_(x.T, x)
    return _widest(gram.div_(max(1, len(rows))), kept)


def _directions_of_few(standardised: Standardised, rows: np.ndarray, kept: int) -> tuple[torch.Tensor, torch.Tensor]:
    """The same by the products of the rows with one another, which are fewer than those of the channels."""
    x = standardised("plain", rows)
    variances, shares = _widest(x @ x.T / len(rows), kept)
    there = variances > variances[-1] * _LEAST_VARIANCE
    there[-1] = True  # even in a set of equal pictures
    variances, shares = variances[there], shares[:, there]
    return variances, x.T @ (shares / (variances * len(rows)).clamp_min(1e-12).sqrt())


def _widest(matrix: torch.Tensor, num: int) -> tuple[torch.Tensor, torch.Tensor]:
    """The largest eigenvalues, `num` at most, and their eigenvectors, in rising order.

    In float32, and only those that are wanted: a sixth of the time of all in float64 where there are 2,688.
    """
    size = len(matrix)
    wanted = (max(0, size - num), size - 1)
    values, vectors = eigh(matrix.numpy(), subset_by_index=wanted, driver="evr", overwrite_a=True, check_finite=False)
    return torch.from_numpy(values), torch.from_numpy(vectors)
