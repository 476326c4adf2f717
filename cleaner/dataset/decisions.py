"""The store of people's decisions: an append-only list of events in SQLite."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from cleaner.dataset.events import EVENT_COLUMNS, Event, agreed, differ, find_standing, find_undone
from cleaner.dataset.store import digest_of, utc_now
from cleaner.errors import BadInputError, CleanerError
from cleaner.reading import reading

if TYPE_CHECKING:
    import pandas as pd

_SCHEMA_VERSION = 1
_BUSY_S = 30.0
_NOT_NOW = (
    *(sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_FULL),
    *(sqlite3.SQLITE_PERM, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_NOMEM),
)
"""What SQLite refuses although the store may be sound."""
_RESTORE = "replace it by a backup, or move it away and import an export of it (cleaner decisions import)"
_SCHEMA = """
CREATE TABLE IF NOT EXISTS events (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    kind TEXT NOT NULL CHECK (kind IN ('image', 'class')),
    key TEXT NOT NULL,
    queue TEXT NOT NULL,
    verdict TEXT NOT NULL,
    label TEXT NOT NULL,
    annotator TEXT NOT NULL,
    time_utc TEXT NOT NULL,
    undoes_seq INTEGER REFERENCES events (seq)
);
CREATE TRIGGER IF NOT EXISTS events_no_update BEFORE UPDATE ON events
    BEGIN SELECT RAISE(ABORT, 'decisions are append-only'); END;
CREATE TRIGGER IF NOT EXISTS events_no_delete BEFORE DELETE ON events
    BEGIN SELECT RAISE(ABORT, 'decisions are append-only'); END;
CREATE TRIGGER IF NOT EXISTS events_no_replace BEFORE INSERT ON events
    WHEN EXISTS (SELECT 1 FROM events WHERE seq = NEW.seq)
    BEGIN SELECT RAISE(ABORT, 'decisions are append-only'); END;
"""

_REQUESTS = """
CREATE TABLE IF NOT EXISTS requests (
    request_id TEXT PRIMARY KEY, digest TEXT NOT NULL, annotator TEXT NOT NULL,
    first_seq INTEGER NOT NULL, num_events INTEGER NOT NULL, undoes TEXT NOT NULL
)"""  # a table of its own: stores without it stay readable, and the schema's version stays the same


@dataclass(frozen=True)
class MergeCounts:
    """The outcome of merging events into a store."""

    num_added: int
    num_present: int
    """Events that were already in the store."""


class DecisionStore:
    """The decisions of one workspace. Each call opens and closes the file, so threads and processes can share it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def add(
        self,
        kind: str,
        key: str,
        verdict: str,
        *,
        label: str = "",
        queue: str = "",
        annotator: str = "",
        undoes_seq: int | None = None,
    ) -> int:
        """Append one event and return its `seq`; by then it is on disk.

        `undoes_seq` undoes that event and puts `verdict` in its place. Raises BadInputError if the parts do not fit
        together, or there is no such event on this key.
        """
        event = Event(
            kind=kind, key=key, verdict=verdict, label=label, queue=queue, annotator=annotator, undoes_seq=undoes_seq
        )
        with self._connection(create=True) as connection:
            return _append(connection, event, undoes_seq)

    def merge(self, events: Iterable[Event]) -> MergeCounts:
        """Append the `events` (from an export, or written by hand) that are not in the store yet, in one transaction.

        `seq` and `undoes_seq` refer to `events` alone; the store assigns its own numbers. An event is in the store if
        one there equals it in all fields, or, if it has no `time_utc`, in all other fields. So merging the same events
        twice changes nothing. Raises BadInputError for an event that is wrong.
        """
        num_added = num_present = 0
        with self._connection(create=True) as connection:
            here: dict[tuple[object, ...], int] = {}
            for event in _read(connection):
                assert event.seq is not None
                here.setdefault(_identity(event, event.undoes_seq), event.seq)
                here.setdefault(_identity(replace(event, time_utc=""), event.undoes_seq), event.seq)
            seq_here: dict[int, int] = {}
            for event in events:
                if event.undoes_seq is not None and event.undoes_seq not in seq_here:
                    raise BadInputError(f"there is no decision {event.undoes_seq} before the one that undoes it")
                undoes = None if event.undoes_seq is None else seq_here[event.undoes_seq]
                seq = here.get(_identity(event, undoes))
                if seq is None:
                    seq = _append(connection, event, undoes)
                    num_added += 1
                else:
                    num_present += 1
                if event.seq is not None:
                    seq_here[event.seq] = seq
        return MergeCounts(num_added, num_present)

    def add_request(self, request_id: str, events: Sequence[Event], annotator: str) -> list[Event]:
        """Append `events` in one transaction, once: repeating a request adds nothing.

        Returns the events as stored; by then they are on disk. Raises BadInputError if an event is wrong, or if
        `request_id` was used before with other events.
        """
        digest = digest_of([_identity(e, e.undoes_seq) for e in events], annotator)
        with self._connection(create=True) as connection:
            known = _find_request(connection, request_id, digest)
            if known is not None:
                return known
            seqs = [_append(connection, replace(e, annotator=annotator), e.undoes_seq) for e in events]
            return _note_request(connection, request_id, digest, annotator, seqs, "")

    def undo_request(self, request_id: str, annotator: str, target: str = "") -> list[Event]:
        """Undo all events of request `target`, once; without a target, of the annotator's last request in force.

        Returns the events that undo it. Raises BadInputError if there is nothing to undo.
        """
        digest = digest_of("undo", target, annotator)
        with self._connection(create=True) as connection:
            known = _find_request(connection, request_id, digest)
            if known is not None:
                return known
            found = connection.execute(
                "SELECT request_id, first_seq, num_events FROM requests WHERE annotator = ?1 AND undoes = ''"
                " AND (?2 = '' OR request_id = ?2) AND request_id NOT IN (SELECT undoes FROM requests)"
                " ORDER BY first_seq DESC LIMIT 1",
                (annotator, target),
            ).fetchone()
            if found is None:
                raise BadInputError("there is nothing to undo")
            undone_request, first_seq, num_events = _as_numbers(self.path, found)
            undone = _read(connection, first_seq - 1, num_events)
            blank = [replace(e, verdict="", label="", time_utc="", undoes_seq=e.seq) for e in undone]
            seqs = [_append(connection, e, e.undoes_seq) for e in blank]
            return _note_request(connection, request_id, digest, annotator, seqs, undone_request)

    def events_after(self, seq: int) -> list[Event]:
        """The events that came after event `seq` (0: all), in their order."""
        if not self.path.exists():
            return []
        with self._connection(create=False) as connection:
            return _read(connection, seq)

    def undo(self, seq: int, annotator: str = "") -> int:
        """Undo event `seq` by a new event; returns the new one's `seq`.

        Raises BadInputError if there is no such event, or it is already undone.
        """
        events = list(self._events())
        event = next((e for e in events if e.seq == seq), None)
        if event is None:
            raise BadInputError(f"{self.path}: there is no decision {seq} to undo")
        if seq in find_undone(events):
            raise BadInputError(f"{self.path}: decision {seq} is undone already")
        return self.add(event.kind, event.key, "", annotator=annotator, queue=event.queue, undoes_seq=seq)

    def events(self) -> pd.DataFrame:
        """All events in their order: columns as in `EVENT_COLUMNS`, `undoes_seq` nullable Int64."""
        return events_frame(self._events())

    def image_verdicts(self) -> pd.DataFrame:
        """Verdicts in force on images: index image_id; columns verdict, label, annotator (the last to give it)."""
        return self._in_force("image", "image_id")

    def class_verdicts(self) -> pd.DataFrame:
        """Verdicts in force on classes: index label; columns verdict, label (the class it merges into), annotator."""
        return self._in_force("class", "label")

    def undecided(self) -> pd.DataFrame:
        """Verdicts of annotators who disagree: columns kind, key, annotator, verdict, label, seq; by kind and key."""
        import pandas as pd  # takes a quarter of a second to load; `status` does without it

        rows = [
            (kind, key, e.annotator, e.verdict, e.label, e.seq)
            for (kind, key), events in self.standing().items()
            for e in (events if differ(events) else [])
        ]
        return pd.DataFrame(rows, columns=["kind", "key", "annotator", "verdict", "label", "seq"])

    def standing(self) -> dict[tuple[str, str], list[Event]]:
        """Each annotator's last event in force, sorted by kind and key, then oldest first."""
        return dict(sorted(find_standing(self._events()).items()))

    def _in_force(self, kind: str, index: str) -> pd.DataFrame:
        import pandas as pd

        found = {key: e for (of_kind, key), e in agreed(self.standing()).items() if of_kind == kind}
        rows = [(e.verdict, e.label, e.annotator) for e in found.values()]
        frame = pd.DataFrame(rows, columns=["verdict", "label", "annotator"], dtype=object)
        return frame.set_index(pd.Index(list(found), name=index, dtype=object))

    def _events(self) -> Iterator[Event]:
        if not self.path.exists():
            return
        with self._connection(create=False) as connection:
            events = _read(connection)
        yield from events

    @contextmanager
    def _connection(self, *, create: bool) -> Iterator[_Connection]:
        """One transaction: committed if the block succeeds, rolled back otherwise."""
        with self._explained(), contextlib.ExitStack() as stack:
            if create and not self.path.exists():
                self._create()
            with reading(self.path, "store of decisions", _RESTORE), self._explained():
                connection = stack.enter_context(contextlib.closing(self._open(write=create)))
                _require_ours(connection)
            connection.execute("BEGIN IMMEDIATE" if create else "BEGIN")
            yield connection
            connection.execute("COMMIT")

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Turn SQLite's errors into those of this program."""
        try:
            yield
        except sqlite3.Error as error:
            if getattr(error, "sqlite_errorcode", 0) & 0xFF in _NOT_NOW:
                raise CleanerError(
                    f"{self.path}: cannot be used now",
                    found=str(error),
                    next_step="check permissions and disk space, and that no other program has it open",
                ) from error
            raise _damaged(self.path, str(error)) from error

    def _create(self) -> None:
        """Make an empty store, whole or not at all: so an empty file is one that was cut."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".decisions-", dir=self.path.parent) as folder:
            new = Path(folder) / self.path.name
            with contextlib.closing(sqlite3.connect(new, isolation_level=None)) as connection:
                connection.execute("PRAGMA journal_mode = WAL")
                connection.executescript(f"BEGIN; {_SCHEMA} PRAGMA user_version = {_SCHEMA_VERSION}; COMMIT;")
            try:
                os.link(new, self.path)
            except FileExistsError:  # another process was first
                pass
            except OSError:  # a file system without links
                new.rename(self.path)

    def _open(self, *, write: bool) -> _Connection:
        uri = f"{self.path.absolute().as_uri()}?{self._way_to_open(write=write)}"
        connection = sqlite3.connect(uri, uri=True, timeout=_BUSY_S, isolation_level=None, factory=_Connection)
        connection.path = self.path
        connection.text_factory = _as_text
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("PRAGMA synchronous = FULL")  # a confirmed verdict survives a power cut
        return connection

    def _way_to_open(self, *, write: bool) -> str:
        """SQLite's parameters. Even a reader writes beside a store in WAL mode, unless it is told that nobody does."""
        if write or all(os.access(p, os.W_OK, effective_ids=True) for p in (self.path, self.path.parent)):
            return "mode=rw"
        try:
            is_at_rest = self.path.with_name(f"{self.path.name}-wal").stat().st_size == 0
        except FileNotFoundError:  # whoever closes the store last removes it, at any time
            is_at_rest = True
        return "mode=ro&immutable=1" if is_at_rest else "mode=rw"


class _Connection(sqlite3.Connection):
    path: Path


def _as_text(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogateescape")  # `Event.check` refuses what is no text, and its row is named


def _require_ours(connection: _Connection) -> None:
    """Raise BadInputError for a database that is no store of this schema."""
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version > _SCHEMA_VERSION:
        raise BadInputError(
            f"{connection.path}: written by a newer cleaner", expected=f"schema {_SCHEMA_VERSION}", found=str(version)
        )
    is_table = connection.execute("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'events'").fetchone()
    columns = [name for _, name, *_ in connection.execute("PRAGMA table_info(events)")] if is_table else []
    if version != _SCHEMA_VERSION or columns != list(EVENT_COLUMNS):
        raise _damaged(connection.path, f"a table events with {', '.join(columns)}" if columns else "no table events")


def _damaged(path: Path, found: str) -> BadInputError:
    return BadInputError(f"{path}: not a store of decisions, or damaged", found=found, next_step=_RESTORE)


def events_frame(events: Iterable[Event]) -> pd.DataFrame:
    """Events as a table with the columns of `EVENT_COLUMNS`; text as Python objects, numbers nullable Int64."""
    import pandas as pd

    listed = list(events)
    columns = {name: pd.Series([getattr(e, name) for e in listed], dtype=object) for name in EVENT_COLUMNS}
    return pd.DataFrame(columns).astype({"seq": "Int64", "undoes_seq": "Int64"})


def _read(connection: _Connection, after_seq: int = 0, limit: int = -1) -> list[Event]:
    """The events as they were written. Raises BadInputError for one that no cleaner wrote."""
    names = ", ".join(EVENT_COLUMNS)
    rows = connection.execute(f"SELECT {names} FROM events WHERE seq > ? ORDER BY seq LIMIT ?", (after_seq, limit))
    return [_as_event(connection.path, row) for row in rows]


def _as_event(path: Path, row: tuple[object, ...]) -> Event:
    try:
        event = msgspec.convert(dict(zip(EVENT_COLUMNS, row, strict=True)), Event)
        event.check()
        if event.undoes_seq is not None and event.seq is not None and event.undoes_seq >= event.seq:
            raise BadInputError(f"it undoes decision {event.undoes_seq}, which is not before it")
    except (msgspec.ValidationError, BadInputError) as error:
        raise _damaged(path, f"decision {row[0]}: {str(error).splitlines()[0]}") from error
    return event


def _append(connection: _Connection, event: Event, undoes_seq: int | None) -> int:
    event.check()
    if undoes_seq is not None:
        undone = connection.execute("SELECT kind, key FROM events WHERE seq = ?", (undoes_seq,)).fetchone()
        if undone is None:
            raise BadInputError(f"there is no decision {undoes_seq} to undo")
        if undone != (event.kind, event.key):
            raise BadInputError(
                f"decision {undoes_seq} is about something else", expected=event.key, found=str(undone[1])
            )
    now = utc_now()
    names = ("kind", "key", "queue", "verdict", "label", "annotator")
    values = [*(getattr(event, name) for name in names), event.time_utc or now, undoes_seq]
    columns = ", ".join([*names, "time_utc", "undoes_seq"])
    cursor = connection.execute(f"INSERT INTO events ({columns}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)", values)
    assert cursor.lastrowid is not None
    return cursor.lastrowid


def _find_request(connection: _Connection, request_id: str, digest: str) -> list[Event] | None:
    """The events of an earlier request with this id, or None if there was none."""
    connection.execute(_REQUESTS)
    row = connection.execute(
        "SELECT digest, first_seq, num_events FROM requests WHERE request_id = ?", (request_id,)
    ).fetchone()
    if row is None:
        return None
    known, first_seq, num_events = _as_numbers(connection.path, row)
    if known != digest:
        raise BadInputError(f"request {request_id} was used before with other decisions", expected="a new request id")
    return _read(connection, first_seq - 1, num_events)


def _as_numbers(path: Path, row: tuple[object, ...]) -> tuple[str, int, int]:
    """A text and two whole numbers of a request."""
    try:
        return msgspec.convert(row, tuple[str, int, int])
    except msgspec.ValidationError as error:
        raise _damaged(path, f"a request: {error}") from error


def _note_request(
    connection: _Connection, request_id: str, digest: str, annotator: str, seqs: list[int], undoes: str
) -> list[Event]:
    assert seqs == list(range(seqs[0], seqs[0] + len(seqs))), "one transaction numbers its events consecutively"
    connection.execute(
        "INSERT INTO requests VALUES (?, ?, ?, ?, ?, ?)", (request_id, digest, annotator, seqs[0], len(seqs), undoes)
    )
    return _read(connection, seqs[0] - 1, len(seqs))


def _identity(event: Event, undoes_seq: int | None) -> tuple[object, ...]:
    e = event
    return (e.kind, e.key, e.queue, e.verdict, e.label, e.annotator, e.time_utc, undoes_seq)
