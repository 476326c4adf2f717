"""The decisions store: what is in force, what cannot be changed, and files in and out."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cleaner.dataset.decision_files import export_decisions, import_decisions
from cleaner.dataset.decisions import DecisionStore
from cleaner.dataset.events import Event, agreed
from cleaner.dataset.verdicts import verdicts_digest
from cleaner.errors import BadInputError

A, B, C = "a" * 64, "b" * 64, "c" * 64


@pytest.fixture
def store(tmp_path: Path) -> DecisionStore:
    return DecisionStore(tmp_path / "decisions.sqlite")


def in_force(store: DecisionStore) -> dict[str, tuple[str, str]]:
    frame = store.image_verdicts()
    return {k: (v, label) for k, v, label in zip(frame.index, frame["verdict"], frame["label"], strict=True)}


def manifest() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "file_name": ["cat/1.jpg", "cat/2.jpg", "dog/1.jpg", "dog/gone.jpg"],
            "image_id": [A, B, C, ""],
            "label": ["cat", "cat", "dog", "dog"],
            "clean_label": ["cat", "cat", "dog", "dog"],
        },
        dtype=object,
    )


def table(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def test_a_store_that_does_not_exist_reads_as_empty_and_is_not_created(store: DecisionStore) -> None:
    assert store.events().empty
    assert store.image_verdicts().empty and store.class_verdicts().empty and store.undecided().empty
    assert not store.path.exists()


def test_an_annotators_last_event_counts(store: DecisionStore) -> None:
    store.add("image", A, "noise", annotator="ann")
    store.add("image", A, "label", label="cat", annotator="ann")
    store.add("class", "jumble", "drop", annotator="ann")
    store.add("class", "cats", "merge", label="cat", annotator="ann")
    assert in_force(store) == {A: ("label", "cat")}
    assert store.class_verdicts()["verdict"].to_dict() == {"jumble": "drop", "cats": "merge"}
    assert store.class_verdicts()["label"].to_dict() == {"jumble": "", "cats": "cat"}


def test_annotators_who_differ_leave_it_undecided_until_it_is_settled(store: DecisionStore) -> None:
    store.add("image", A, "label", label="cat", annotator="ann")
    store.add("image", A, "label", label="dog", annotator="bob")
    store.add("image", B, "noise", annotator="ann")
    store.add("image", B, "noise", annotator="bob")
    assert in_force(store) == {B: ("noise", "")}
    assert set(store.undecided()["label"]) == {"cat", "dog"}
    settled = store.add("image", A, "label", label="dog", annotator="cleo", queue="settle")
    assert in_force(store)[A] == ("label", "dog")
    assert store.undecided().empty
    later = store.add("image", A, "drop", annotator="ann")
    assert A not in in_force(store)
    store.undo(later)
    assert in_force(store)[A] == ("label", "dog")
    store.undo(settled)
    assert len(store.undecided()) == 2


def test_unsure_takes_back_what_its_annotator_said_and_binds_nobody_else(store: DecisionStore) -> None:
    store.add("image", A, "noise", annotator="ann")
    store.add("image", A, "unsure", annotator="ann")
    assert in_force(store) == {}
    store.add("image", A, "normal", annotator="bob")
    assert in_force(store) == {A: ("normal", "")}


def test_undo_brings_back_what_was_said_before_and_can_be_undone(store: DecisionStore) -> None:
    store.add("image", A, "noise", annotator="ann")
    second = store.add("image", A, "normal", annotator="ann")
    undoing = store.undo(second, "ann")
    assert in_force(store) == {A: ("noise", "")}
    with pytest.raises(BadInputError, match="undone already"):
        store.undo(second)
    store.undo(undoing)
    assert in_force(store) == {A: ("normal", "")}
    with pytest.raises(BadInputError, match="no decision 99"):
        store.undo(99)
    store.add("image", A, "drop", annotator="ann", undoes_seq=second)
    with pytest.raises(BadInputError, match="about something else"):
        store.add("image", B, "drop", undoes_seq=second)


@pytest.mark.parametrize(
    ("kind", "key", "verdict", "label"),
    [
        ("image", "abc", "noise", ""),
        ("image", A.upper(), "noise", ""),
        ("image", A, "bad", ""),
        ("image", A, "merge", "cat"),
        ("image", A, "", ""),
        ("image", A, "label", ""),
        ("image", A, "noise", "cat"),
        ("class", "", "drop", ""),
        ("class", "cat", "noise", ""),
        ("class", "cat", "merge", "cat"),
        ("class", "cat", "merge", ""),
        ("thing", "cat", "drop", ""),
        ("class", "caf\udce9", "drop", ""),
    ],
)
def test_what_does_not_fit_together_is_refused(
    store: DecisionStore, kind: str, key: str, verdict: str, label: str
) -> None:
    with pytest.raises(BadInputError):
        store.add(kind, key, verdict, label=label)
    assert store.events().empty


def test_events_cannot_be_changed_deleted_or_replaced(store: DecisionStore) -> None:
    store.add("image", A, "noise")
    connection = sqlite3.connect(store.path)
    assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    for statement in (
        "UPDATE events SET verdict = 'normal'",
        "DELETE FROM events",
        f"REPLACE INTO events VALUES (1, 'image', '{B}', '', 'drop', '', '', '', NULL)",
    ):
        with pytest.raises(sqlite3.IntegrityError, match="append-only"):
            connection.execute(statement)
    connection.close()
    assert in_force(store) == {A: ("noise", "")}


def test_a_file_that_is_no_store_is_a_clear_error(store: DecisionStore) -> None:
    store.path.write_bytes(b"not a database, but long enough to look at" * 40)
    with pytest.raises(BadInputError, match="not a store of decisions"):
        store.events()


def test_every_confirmed_decision_outlives_a_kill(store: DecisionStore) -> None:
    program = (
        "import sys; from pathlib import Path; from cleaner.dataset.decisions import DecisionStore\n"
        "store = DecisionStore(Path(sys.argv[1]))\n"
        "for i in range(100000): print(store.add('image', f'{i:064x}', 'noise'), flush=True)\n"
    )
    with subprocess.Popen([sys.executable, "-c", program, str(store.path)], stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        confirmed = [child.stdout.readline() for _ in range(50)]
        child.kill()
        confirmed += child.stdout.readlines()
    num_confirmed = sum(line.endswith("\n") for line in confirmed)
    assert num_confirmed >= 50
    assert len(store.events()) >= num_confirmed


def test_threads_may_add_at_once(store: DecisionStore) -> None:
    def add(worker: int) -> None:
        for i in range(10):
            store.add("image", f"{worker * 100 + i:064x}", "noise", annotator=str(worker))

    threads = [threading.Thread(target=add, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert store.events()["seq"].tolist() == list(range(1, 41))


def test_the_digest_follows_verdicts_not_order_or_annotators(tmp_path: Path) -> None:
    one, two = DecisionStore(tmp_path / "one"), DecisionStore(tmp_path / "two")

    def digest(store: DecisionStore) -> str:
        return verdicts_digest({key: event for (_, key), event in agreed(store.standing()).items()})

    assert digest(one) == digest(two)
    one.add("image", A, "noise", annotator="ann")
    one.add("image", B, "drop", annotator="ann")
    two.add("image", B, "drop", annotator="bob")
    two.add("image", A, "noise", annotator="bob")
    assert digest(one) == digest(two)
    two.add("image", A, "normal", annotator="bob")
    assert digest(one) != digest(two)


def test_import_by_file_name_and_by_class(store: DecisionStore, tmp_path: Path) -> None:
    images = table(
        tmp_path / "images.csv",
        "file_name,verdict,label,annotator\ncat/1.jpg,label,dog,ann\n./cat/2.jpg,noise,,ann\ndog/1.jpg,normal,,ann\n",
    )
    classes = table(tmp_path / "classes.tsv", "class\tverdict\tlabel\ndog\tmerge\tcat\n")
    assert import_decisions(images, store, manifest()).num_added == 3
    assert import_decisions(classes, store, manifest()).num_added == 1
    assert in_force(store) == {A: ("label", "dog"), B: ("noise", ""), C: ("normal", "")}
    assert store.class_verdicts()["label"].to_dict() == {"dog": "cat"}


def test_importing_a_file_again_changes_nothing(store: DecisionStore, tmp_path: Path) -> None:
    path = table(tmp_path / "d.csv", "file_name,verdict,annotator\ncat/1.jpg,noise,ann\ncat/2.jpg,noise,ann\n")
    import_decisions(path, store, manifest())
    store.add("image", A, "normal", annotator="ann")
    before = in_force(store)
    again = import_decisions(path, store, manifest())
    assert (again.num_added, again.num_present, again.num_overruled) == (0, 2, 1)
    assert in_force(store) == before


@pytest.mark.parametrize(
    ("text", "needle"),
    [
        ("file_name,verdict\ncat/1.jpg,noise\ncat/9.jpg,noise\n", r"'cat/9.jpg' \(row 3\)"),
        ("file_name,verdict\ndog/gone.jpg,noise\n", r"dog/gone.jpg"),
        ("image_id,verdict\nxyz,noise\n", "row 2"),
        (f"image_id,verdict,label\n{A},noise,\n{B},label,\n", "row 3"),
        ("class,verdict\ncat,drop\nbird,drop\n", r"'bird' \(row 3\)"),
        (f"image_id,class,verdict\n{A},cat,drop\n", "and no more"),
        (f"image_id\n{A}\n", "verdict is missing"),
        (f"image_id,verdict,seq\n{A},noise,one\n", "row 2: seq"),
        (f"image_id,verdict,undoes_seq\n{A},,7\n", "no decision 7"),
        (f"image_id,verdict\n{A},noise,too many\n", "row 2"),
        ("", "empty"),
    ],
)
def test_a_bad_row_is_named_and_nothing_is_imported(
    store: DecisionStore, tmp_path: Path, text: str, needle: str
) -> None:
    with pytest.raises(BadInputError, match=needle):
        import_decisions(table(tmp_path / "d.csv", text), store, manifest())
    assert store.events().empty


def test_labels_that_are_no_class_are_pointed_out(store: DecisionStore, tmp_path: Path) -> None:
    path = table(tmp_path / "d.csv", f"image_id,verdict,label\n{A},label,dgo\n")
    assert import_decisions(path, store, manifest()).unknown_labels == ["dgo"]


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".parquet"])
def test_export_and_import_round_trip_with_undoings(store: DecisionStore, tmp_path: Path, suffix: str) -> None:
    store.add("class", 'odd, "name"\nNA', "drop", annotator="NA", queue="classes")
    first = store.add("image", A, "label", label="007", annotator="ann")
    second = store.add("image", A, "noise", annotator="ann")
    store.undo(second, "ann")
    store.add("image", B, "drop", annotator="null", undoes_seq=None)
    path = tmp_path / f"out{suffix}"
    assert export_decisions(path, store) == 5
    other = DecisionStore(tmp_path / "other.sqlite")
    other.add("image", C, "normal")  # so that numbers differ
    result = import_decisions(path, other, None)
    assert result.num_added == 5
    assert import_decisions(path, other, None).num_present == 5
    assert import_decisions(path, store, None).num_added == 0
    columns = ["kind", "key", "queue", "verdict", "label", "annotator", "time_utc"]
    pd.testing.assert_frame_equal(other.events()[columns].iloc[1:].reset_index(drop=True), store.events()[columns])
    assert in_force(other)[A] == ("label", "007")
    assert first == 2 and other.events()["undoes_seq"].dropna().tolist() == [4]


EVENTS = st.lists(
    st.tuples(st.sampled_from([A, B]), st.sampled_from(["noise", "normal", "unsure"]), st.sampled_from("xy")),
    max_size=12,
)


@settings(max_examples=25, deadline=None)
@given(said=EVENTS)
def test_what_is_in_force_follows_from_everybodys_last_word(
    tmp_path_factory: pytest.TempPathFactory, said: list[tuple[str, str, str]]
) -> None:
    store = DecisionStore(tmp_path_factory.mktemp("store") / "decisions.sqlite")
    store.merge([Event(kind="image", key=key, verdict=verdict, annotator=who) for key, verdict, who in said])
    expected = {}
    for key in (A, B):
        last = {who: verdict for k, verdict, who in said if k == key}
        voices = {verdict for verdict in last.values() if verdict != "unsure"}
        if len(voices) == 1:
            expected[key] = (voices.pop(), "")
    assert in_force(store) == expected
