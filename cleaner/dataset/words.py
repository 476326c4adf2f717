"""Text of which few values are distinct, such as labels: a number for each row, and each text once."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, overload

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]


class Words(Sequence[str]):
    """A sequence of texts that takes four bytes for each, however long they are."""

    def __init__(self, texts: Iterable[str] = ()) -> None:
        self._distinct: list[str] = []
        self._number: dict[str, int] = {}
        self._codes = array("i", map(self._encode, texts))

    @classmethod
    def blank(cls, num: int) -> Words:
        """`num` empty texts."""
        words = cls([""])
        words._codes *= num
        return words

    def append(self, text: str) -> None:
        """Add one at the end."""
        self._codes.append(self._encode(text))

    def put(self, rows: Array, texts: Sequence[str]) -> None:
        """Replace those of `rows` (R,) int."""
        self.codes[rows] = [self._encode(text) for text in texts]

    @property
    def codes(self) -> Array:
        """(N,) int32: the place of each one's text among `distinct`. A view: none can be added while it is held."""
        return np.frombuffer(self._codes, dtype=np.int32)

    @property
    def distinct(self) -> list[str]:
        """Each text once; such as were replaced may be among them."""
        return self._distinct

    def counts(self, rows: Array | slice = slice(None)) -> dict[str, int]:
        """How often each text stands among `rows` ((N,) bool, or all), by text."""
        numbers = np.bincount(self.codes[rows], minlength=len(self._distinct)).tolist()
        return {text: num for text, num in sorted(zip(self._distinct, numbers, strict=True)) if num}

    def take(self, rows: Array) -> Words:
        """Those of `rows` (R,) int, in their order."""
        return self._with(self._distinct, self.codes[rows])

    def translated(self, by: Mapping[str, str]) -> Words:
        """Each text as `by` has it; '' for one that is not in it."""
        new = Words(by.get(text, "") for text in self._distinct)
        return self._with(new.distinct, new.codes[self.codes])

    def as_objects(self) -> Array:
        """(N,) object, one object for equal texts."""
        return np.array([*self._distinct, ""], dtype=object)[self.codes]

    @staticmethod
    def _with(distinct: Iterable[str], codes: Array) -> Words:
        words = Words(distinct)
        words._codes = array("i", codes.astype(np.int32, copy=False).tobytes())
        return words

    def _encode(self, text: str) -> int:
        number = self._number.setdefault(text, len(self._distinct))
        if number == len(self._distinct):
            self._distinct.append(text)
        return number

    def __len__(self) -> int:
        return len(self._codes)

    @overload
    def __getitem__(self, row: int) -> str: ...
    @overload
    def __getitem__(self, row: slice) -> list[str]: ...
    def __getitem__(self, row: int | slice) -> str | list[str]:
        if isinstance(row, slice):
            return [self._distinct[code] for code in self._codes[row]]
        return self._distinct[self._codes[row]]

    def __iter__(self) -> Iterator[str]:
        return map(self._distinct.__getitem__, self._codes)

    def __contains__(self, text: object) -> bool:
        return text in self._number and bool((self.codes == self._number[str(text)]).any())
