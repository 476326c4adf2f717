"""`--to label-studio`: tasks with pre-annotations, and the labelling interface that they are for."""

from __future__ import annotations

import json
from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote
from xml.sax.saxutils import quoteattr

import numpy as np
import pandas as pd

from cleaner import __version__
from cleaner.dataset.label_studio import LABEL, VERDICT, VERDICTS, to_choice
from cleaner.dataset.names import to_path
from cleaner.dataset.store import write_atomic
from cleaner.exports.cleaned import Cleaned
from cleaner.exports.kind import ExportOptions, Kind, Prepared

_JUDGED = ("label_issue", "label_issue_prob", "suggested_label", "suggested_prob")
_IMAGE = "image"


def prepare(cleaned: Cleaned, out: Path, options: ExportOptions) -> Prepared:
    """`OUT/tasks.json`, a task for each kept image, and `OUT/interface.xml`, the project's labelling interface.

    A task is pre-annotated with the label that the labels stage suggests where it doubts the given one, else with
    clean_label; its score is the probability of that label, where it is known. `dropped` adds the dropped images that
    can be read. What people answer comes back with `cleaner decisions import FILE --from label-studio`.
    """
    rows = cleaned.kept
    if options.dropped:
        rows = pd.concat([rows, cleaned.dropped.loc[cleaned.dropped["fault"] == ""]]).sort_values("file_name")
    classes = sorted({*cleaned.classes, *_suggested(rows)})
    # its storage of local files must be a folder below its document root
    image_url = options.image_url or f"/data/local-files/?d={quote(cleaned.images_root.name)}/"

    def write(folder: Path) -> int:
        tasks = [_task(row, image_url) for row in rows.to_dict("records")]
        write_atomic(folder / "tasks.json", json.dumps(tasks, indent=1, ensure_ascii=False).encode())
        write_atomic(folder / "interface.xml", _interface(classes).encode())
        return 0

    return Prepared(
        write=write,
        use=lambda out: "",
        classes=classes,
        num_files=len(cleaned.kept),
        num_dropped=len(rows) - len(cleaned.kept),
        warnings=_warnings(cleaned, options),
    )


def _suggested(rows: pd.DataFrame) -> set[str]:
    return set(rows["suggested_label"]) - {""} if "suggested_label" in rows else set()


def _task(row: Mapping[Hashable, Any], image_url: str) -> dict[str, Any]:
    choice, score = row["clean_label"], None
    if row.get("label_issue"):
        choice, score = row["suggested_label"] or choice, row["suggested_prob"]
    elif "label_issue_prob" in row:
        score = 1 - row["label_issue_prob"]
    value = {"choices": [to_choice(choice)]}
    prediction: dict[str, Any] = {
        "model_version": f"cleaner {__version__}",
        "result": [{"from_name": LABEL, "to_name": _IMAGE, "type": "choices", "value": value}],
    }
    if score is not None and np.isfinite(score):
        prediction["score"] = round(float(score), 4)
    about = {name: row[name] for name in ("file_name", "image_id", "label")}
    about[_IMAGE] = image_url + quote(to_path(row["file_name"]).encode("utf-8", "surrogateescape"))
    return {"data": about, "predictions": [prediction]}


def _interface(classes: list[str]) -> str:
    """The labelling configuration: one class, or a verdict that no class is right."""

    def choices(values: list[str]) -> str:
        return "".join(f"    <Choice value={quoteattr(to_choice(value))}/>\n" for value in values)

    return (
        f'<View>\n  <Image name="{_IMAGE}" value="$image" zoom="true"/>\n  <Text name="given" value="$label"/>\n'
        f'  <Choices name="{LABEL}" toName="{_IMAGE}" choice="single" showInline="true">\n{choices(classes)}'
        f'  </Choices>\n  <Choices name="{VERDICT}" toName="{_IMAGE}" choice="single" showInline="true">\n'
        f"{choices(list(VERDICTS))}  </Choices>\n</View>\n"
    )


def _warnings(cleaned: Cleaned, options: ExportOptions) -> list[str]:
    if options.image_url:
        return []
    return [
        f"for Label Studio to show local images, add the local storage {cleaned.images_root} and start it with "
        f"LABEL_STUDIO_LOCAL_FILES_SERVING_ENABLED=true LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT="
        f"{cleaned.images_root.parent}; or give the address of the images by --image-url"
    ]


KIND = Kind(
    name="label-studio",
    title="tasks with pre-annotations for Label Studio",
    prepare=prepare,
    options=frozenset({"dropped", "image_url"}),
    columns=_JUDGED,
)
