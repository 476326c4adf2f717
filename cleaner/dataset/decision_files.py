"""Decisions as CSV or Parquet: what `cleaner decisions import` and `export` read and write."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from cleaner.dataset.decisions import DecisionStore
from cleaner.dataset.events import EVENT_COLUMNS, Event, agreed
from cleaner.dataset.names import matching_names
from cleaner.dataset.tables import plain_names, read_table, refuse, require_columns, with_rows, write_table_file
from cleaner.errors import BadInputError

_KEYS = ("image_id", "file_name", "class")
_MEND = "mend the rows and import again; nothing was imported"
_OPTIONAL = ("label", "queue", "annotator", "time_utc", "seq", "undoes_seq")


@dataclass(frozen=True, kw_only=True)
class ImportResult:
    """The outcome of importing a file of decisions."""

    num_added: int
    num_present: int
    """Rows that were already in the store."""
    num_overruled: int
    """Images and classes whose last verdict in the file is not in force: undone or changed since, or disputed."""
    unknown_labels: list[str]
    """Labels in the file that no image of the manifest has: new classes, or typos."""


def import_decisions(
    path: Path,
    store: DecisionStore,
    manifest: pd.DataFrame | None,
    *,
    read: Callable[[Path], pd.DataFrame] = read_table,
    dry_run: bool = False,
) -> ImportResult:
    """Add the decisions in a file, a table unless `read` says otherwise: all of them, or none if a row is wrong.

    Columns: what is decided on (`image_id`, `file_name` or `class`; or `kind` and `key`, as exports have them) and
    `verdict`; optional label, queue, annotator, time_utc, seq, undoes_seq. `manifest` (columns file_name, image_id,
    label, clean_label) serves to look up `file_name` and `class`; without one, `file_name` is an error.
    Rows that are already in the store are skipped; to repeat a decision, give it another `time_utc`.
    With `dry_run` the store is not changed. Raises BadInputError naming the file and the row.
    """
    if dry_run:
        with tempfile.TemporaryDirectory() as folder:
            return import_decisions(path, _copy(store, Path(folder)), manifest, read=read)
    frame = read(path)
    events = _events(path, frame, manifest)
    try:
        counts = store.merge(events)
    except BadInputError as error:
        raise BadInputError(
            f"{path}: {error.what}", expected=error.expected, found=error.found, next_step="nothing was imported"
        ) from error
    classes = _classes(manifest)
    given = {e.label for e in events if e.kind == "image" and e.label}
    return ImportResult(
        num_added=counts.num_added,
        num_present=counts.num_present,
        num_overruled=_count_overruled(store, events),
        unknown_labels=sorted(given - classes) if manifest is not None else [],
    )


def export_decisions(path: Path, store: DecisionStore) -> int:
    """Write all events to a table (.csv, .tsv, .parquet) that `import_decisions` reads; returns their number."""
    frame = store.events()
    write_table_file(path, frame)
    return len(frame)


def _copy(store: DecisionStore, folder: Path) -> DecisionStore:
    copy = DecisionStore(folder / "decisions.sqlite")
    if store.path.exists():
        export_decisions(folder / "events.parquet", store)
        import_decisions(folder / "events.parquet", copy, None)
    return copy


def _events(path: Path, frame: pd.DataFrame, manifest: pd.DataFrame | None) -> list[Event]:
    kinds, keys = _subjects(path, frame, manifest)
    verdicts = frame["verdict"].tolist()
    rest = {name: frame[name].tolist() if name in frame.columns else [""] * len(frame) for name in _OPTIONAL}
    events = []
    for i, row in enumerate(frame.index):
        event = Event(
            kind=kinds[i],
            key=keys[i],
            verdict=verdicts[i],
            label=rest["label"][i],
            queue=rest["queue"][i],
            annotator=rest["annotator"][i],
            time_utc=rest["time_utc"][i],
            seq=_number(path, row, "seq", rest["seq"][i]),
            undoes_seq=_number(path, row, "undoes_seq", rest["undoes_seq"][i]),
        )
        try:
            event.check()
        except BadInputError as error:
            raise BadInputError(
                f"{path}, row {row}: {error.what}",
                expected=error.expected,
                found=error.found,
                next_step="mend the row and import again; nothing was imported",
            ) from error
        events.append(event)
    return events


def _subjects(path: Path, frame: pd.DataFrame, manifest: pd.DataFrame | None) -> tuple[list[str], list[str]]:
    """Kind and key of every row."""
    require_columns(frame, path, ("verdict",))
    named = [name for name in _KEYS if name in frame.columns]
    as_exported = {"kind", "key"} <= set(frame.columns)
    strange = [c for c in frame.columns if c not in (*_KEYS, *EVENT_COLUMNS)]
    if len(named) + as_exported != 1 or strange:
        raise BadInputError(
            f"{path}: the columns must say what is decided on, and no more",
            expected=f"one of {', '.join(_KEYS)} (or kind and key), verdict; optional {', '.join(_OPTIONAL)}",
            found=", ".join(map(str, frame.columns)),
            next_step=_MEND,
        )
    if as_exported:
        return frame["kind"].tolist(), frame["key"].tolist()
    keys = frame[named[0]].tolist()
    if named == ["file_name"]:
        keys = _image_ids(path, plain_names(frame["file_name"]), manifest)
    if named == ["class"] and manifest is not None:
        unknown = with_rows(frame.loc[~frame["class"].isin(_classes(manifest)), "class"])
        refuse(path, unknown, "rows with an unknown class", expected="a class of the manifest", next_step=_MEND)
    return ["class" if named == ["class"] else "image"] * len(frame), keys


def _image_ids(path: Path, file_names: pd.Series[str], manifest: pd.DataFrame | None) -> list[str]:
    if manifest is None:
        raise BadInputError(
            f"{path}: it names files, but there is no manifest to find them in", next_step="run `cleaner scan IMAGES`"
        )
    known = dict(zip(manifest["file_name"], manifest["image_id"], strict=True))
    file_names = matching_names(file_names, known)
    unknown = with_rows(file_names[~file_names.isin(known)])
    expected = "a file_name of the manifest"
    refuse(path, unknown, "rows with an unknown file_name", expected=expected, next_step=_MEND)
    image_ids = [known[name] for name in file_names]
    refuse(path, with_rows(file_names[[not i for i in image_ids]]), "files without content: no image to decide on")
    return image_ids


def _number(path: Path, row: object, name: str, text: str) -> int | None:
    if text == "":
        return None
    try:
        return int(text)
    except ValueError as error:
        raise BadInputError(
            f"{path}, row {row}: {name} = {text!r}", expected="a whole number", next_step=_MEND
        ) from error


def _classes(manifest: pd.DataFrame | None) -> set[str]:
    return set() if manifest is None else set(manifest["label"]) | set(manifest["clean_label"])


def _count_overruled(store: DecisionStore, events: list[Event]) -> int:
    """Number of images and classes whose last verdict in `events`, abstentions aside, is not in force."""
    verdicts = {key: (e.verdict, e.label) for key, e in agreed(store.standing()).items()}
    last = {(e.kind, e.key): (e.verdict, e.label) for e in events if e.verdict not in ("", "unsure")}
    return sum(verdicts.get(key) != verdict for key, verdict in last.items())
