"""Answers from Label Studio: an export of tasks that `cleaner export --to label-studio` wrote, as decisions."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pandas as pd

from cleaner.errors import BadInputError
from cleaner.reading import read_document

LABEL = "label"
"""The name of the control in which people choose a class."""
VERDICT = "verdict"
"""The name of the control in which people say that no class is right, or that they cannot tell."""
VERDICTS = ("noise", "drop", "unsure")
_UNSHOWN = re.compile(r"[\\\x00-\x1f\x7f-\x9f\u2028\u2029\ufffe\uffff]|^\s|\s$")
_ESCAPE = re.compile(r"\\u([0-9a-f]{4})")
_COLUMNS = ("image_id", "verdict", "label", "annotator", "time_utc")
_Row = tuple[str, str, str, str, str]


def to_choice(label: str) -> str:
    """A class as the value of a choice: what XML cannot hold, a page would not show or a program cut off is escaped."""
    return _UNSHOWN.sub(lambda found: f"\\u{ord(found[0]):04x}", label)


def from_choice(value: str) -> str:
    """The class that a choice stands for."""
    return _ESCAPE.sub(lambda found: chr(int(found[1], 16)), value)


def read_annotations(path: Path) -> pd.DataFrame:
    """The answers in a JSON or JSON-MIN export: image_id, verdict, label, annotator, time_utc, one row for each.

    A verdict wins over a class. Skipped tasks and empty answers are left out. The index numbers the tasks from 1.
    Raises BadInputError naming file and task.
    """
    tasks = read_document(path, Any, "JSON file", "export as JSON from Label Studio", absent="check the path")
    if not isinstance(tasks, list):
        raise _bad(path, "not a list of tasks", type(tasks).__name__)
    rows, numbers = [], []
    for number, task in enumerate(tasks, 1):
        try:
            answers = msgspec.convert(list(_answers(task)), list[_Row])
        except (AttributeError, IndexError, KeyError, TypeError, msgspec.ValidationError) as error:
            raise _bad(path, f"task {number} cannot be read", f"{type(error).__name__}: {error}") from error
        rows += answers
        numbers += [number] * len(answers)
    return pd.DataFrame(rows, columns=list(_COLUMNS), index=pd.Index(numbers, name="task", dtype="int64"), dtype=object)


def _answers(task: dict[str, Any]) -> Iterator[tuple[str, str, str, str, str]]:
    if "annotations" not in task:  # JSON-MIN: a task for each annotation, with the controls' names as keys
        chosen = {name: task.get(name) for name in (LABEL, VERDICT)}
        if "annotation_id" in task:
            yield from _answer(task["image_id"], chosen, task.get("annotator"), task.get("updated_at"))
        return
    for annotation in task["annotations"]:
        if annotation.get("was_cancelled"):
            continue
        chosen = {
            one["from_name"]: one["value"]["choices"][0] for one in annotation["result"] if one["type"] == "choices"
        }
        when = annotation.get("updated_at") or annotation.get("created_at")
        yield from _answer(task["data"]["image_id"], chosen, annotation.get("completed_by"), when)


def _answer(
    image_id: str, chosen: dict[str, Any], annotator: Any, when: str | None
) -> Iterator[tuple[str, str, str, str, str]]:
    who = annotator.get("email") or annotator.get("id") if isinstance(annotator, dict) else annotator
    name = "label-studio" if who in (None, "") else str(who)
    if chosen.get(VERDICT):
        yield image_id, chosen[VERDICT], "", name, when or ""
    elif chosen.get(LABEL):
        yield image_id, "label", from_choice(chosen[LABEL]), name, when or ""


def _bad(path: Path, what: str, found: str) -> BadInputError:
    return BadInputError(
        f"{path}: {what}",
        expected="a JSON or JSON-MIN export of tasks from `cleaner export --to label-studio`, with their image_id",
        found=found,
        next_step="nothing was imported",
    )
