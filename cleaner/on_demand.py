"""Sequences of things that are made when they are asked for, so that millions of them take no memory."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import TypeVar, overload

T = TypeVar("T")


class OnDemand(Sequence[T]):
    """A sequence that holds what its things are made of; a slice of it is a list."""

    @abstractmethod
    def _make(self, number: int) -> T:
        """The thing of a number from 0 to the length, made anew."""

    @overload
    def __getitem__(self, which: int) -> T: ...
    @overload
    def __getitem__(self, which: slice) -> list[T]: ...
    def __getitem__(self, which: int | slice) -> T | list[T]:
        numbers = range(len(self))[which]
        return self._make(numbers) if isinstance(numbers, int) else [self._make(number) for number in numbers]
