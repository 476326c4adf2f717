"""Names of classes: those that read alike, and those that stand for numbers."""

from __future__ import annotations

import json
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from cleaner.dataset.decisions import DecisionStore
from cleaner.dataset.events import Event
from cleaner.dataset.tables import is_table_name, read_table
from cleaner.errors import BadInputError, first_few
from cleaner.reading import reading

NORMALIZER = "normalize-labels"
"""The annotator of merges of class names that read alike."""


def find_alike(sizes: Mapping[str, int]) -> dict[str, str]:
    """Classes that differ in case, blanks or Unicode form alone: each but one of them, and the one that stands for all.

    `sizes` are numbers of images by class. The one is a name without stray blanks in composed form, if there is one;
    of several the largest class, then the first by name. Ordered by name.
    """
    groups: dict[str, list[str]] = {}
    for name in sorted(filter(None, sizes)):
        groups.setdefault(_plain(name).lower(), []).append(name)
    into = {}
    for names in groups.values():
        best = min(names, key=lambda name: (name != _plain(name), -sizes[name], name))
        into.update({name: best for name in names if name != best})
    return dict(sorted(into.items()))


def _plain(name: str) -> str:
    return " ".join(unicodedata.normalize("NFC", name).split())


def record_merges(store: DecisionStore, into: Mapping[str, str]) -> int:
    """Record merges of classes (`into`: each with the one that it becomes) by `NORMALIZER`; returns how many are new.

    A merge that was ever recorded is not recorded again, so one that somebody took back stays so. Where people decided
    on a class, it is left to them. Merges of an earlier run that are no longer wanted are taken back.
    """
    mine: dict[str, Event] = {}
    of_people = set()
    for (kind, key), events in store.standing().items():
        for event in events if kind == "class" else []:
            if event.annotator == NORMALIZER:
                mine[key] = event
            else:
                of_people.add(key)
    wanted = {name: best for name, best in into.items() if not {name, best} & of_people}
    for name, event in mine.items():
        if wanted.get(name) != event.label and event.seq is not None:
            store.undo(event.seq, NORMALIZER)
    events = [Event(kind="class", key=n, verdict="merge", label=b, annotator=NORMALIZER) for n, b in wanted.items()]
    return store.merge(events).num_added if events else 0


def read_class_names(path: Path, labels: Iterable[str]) -> dict[str, str]:
    """The names of the classes that `labels` (numbers or codes) stand for, by label.

    The file has one name a line, for the numbers from 0, or from 1 if there is no 0 among the labels but the number of
    names; or it is a JSON list of names, a JSON object, or a table whose first two columns are the code and its name.
    A number may be written as 7, 007 or 7.0. Raises BadInputError for a label without a name, a name that stands for
    two codes, or a file that cannot be read.
    """
    asked = list(dict.fromkeys(labels))
    names = _read_names(path)
    if isinstance(names, list):
        from_one = "0" not in map(_number, asked) and str(len(names)) in map(_number, asked)
        names = {str(number): name for number, name in enumerate(names, int(from_one))}
    twice = [name for name, num in Counter(names.values()).items() if num > 1]
    if twice:
        codes = [code for code, name in names.items() if name == twice[0]]
        raise BadInputError(
            f"{path}: {first_few(codes)} have the same name, {twice[0]!r}",
            expected="a name of its own for each class",
            next_step="tell them apart, such as `crane (bird)`",
        )
    by_number = {_number(code): name for code, name in names.items()}
    found = {label: names.get(label, by_number.get(_number(label), "")) for label in asked}
    absent = [repr(label) for label, name in found.items() if not name]
    if absent:
        raise BadInputError(
            f"{path}: {len(absent)} labels have no name in it",
            expected=f"one of {first_few(list(names))}",
            found=first_few(absent),
            next_step="add them, or scan without --class-names",
        )
    return found


def _read_names(path: Path) -> list[str] | dict[str, str]:
    if is_table_name(path):
        table = read_table(path)
        if len(table.columns) < 2:
            raise BadInputError(
                f"{path}: one column only",
                expected="two: a code, and the name of its class",
                next_step="add the other column",
            )
        return dict(zip(table.iloc[:, 0], table.iloc[:, 1], strict=True))
    with reading(path, "list of class names", 'save it as UTF-8: a name a line, or JSON such as {"0": "cat"}'):
        text = path.read_text(encoding="utf-8-sig")
        if path.suffix.lower() != ".json":
            return [line.strip() for line in text.splitlines() if line.strip()]
        document: Any = msgspec.convert(json.loads(text), list[str | int] | dict[str, str | int])
    if isinstance(document, list):
        return [str(name) for name in document]
    if all(isinstance(number, int) for number in document.values()):
        return {str(number): name for name, number in document.items()}  # torchvision's class_to_idx
    return {str(code): str(name) for code, name in document.items()}


def _number(text: str) -> str:
    """A whole number in its shortest form; any other text as it is."""
    digits = text.strip().removesuffix(".0")
    return str(int(digits)) if digits.isascii() and digits.isdigit() and len(digits) < 20 else text
