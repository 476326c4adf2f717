"""Which verdicts are in force."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cleaner.dataset.decisions import DecisionStore
from cleaner.dataset.events import Event
from cleaner.errors import BadInputError
from tests.support.decisions import A, B, in_force


def test_an_annotators_last_event_counts(decisions: DecisionStore) -> None:
    decisions.add("image", A, "noise", annotator="ann")
    decisions.add("image", A, "label", label="cat", annotator="ann")
    decisions.add("class", "jumble", "drop", annotator="ann")
    decisions.add("class", "cats", "merge", label="cat", annotator="ann")
    assert in_force(decisions) == {A: ("label", "cat")}
    assert decisions.class_verdicts()["verdict"].to_dict() == {"jumble": "drop", "cats": "merge"}
    assert decisions.class_verdicts()["label"].to_dict() == {"jumble": "", "cats": "cat"}


def test_annotators_who_differ_leave_it_undecided_until_it_is_settled(decisions: DecisionStore) -> None:
    decisions.add("image", A, "label", label="cat", annotator="ann")
    decisions.add("image", A, "label", label="dog", annotator="bob")
    decisions.add("image", B, "noise", annotator="ann")
    decisions.add("image", B, "noise", annotator="bob")
    assert in_force(decisions) == {B: ("noise", "")}
    assert set(decisions.undecided()["label"]) == {"cat", "dog"}
    settled = decisions.add("image", A, "label", label="dog", annotator="cleo", queue="settle")
    assert in_force(decisions)[A] == ("label", "dog")
    assert decisions.undecided().empty
    later = decisions.add("image", A, "drop", annotator="ann")
    assert A not in in_force(decisions)
    decisions.undo(later)
    assert in_force(decisions)[A] == ("label", "dog")
    decisions.undo(settled)
    assert len(decisions.undecided()) == 2


def test_unsure_takes_back_what_its_annotator_said_and_binds_nobody_else(decisions: DecisionStore) -> None:
    decisions.add("image", A, "noise", annotator="ann")
    decisions.add("image", A, "unsure", annotator="ann")
    assert in_force(decisions) == {}
    decisions.add("image", A, "normal", annotator="bob")
    assert in_force(decisions) == {A: ("normal", "")}


def test_undo_brings_back_what_was_said_before_and_can_be_undone(decisions: DecisionStore) -> None:
    decisions.add("image", A, "noise", annotator="ann")
    second = decisions.add("image", A, "normal", annotator="ann")
    undoing = decisions.undo(second, "ann")
    assert in_force(decisions) == {A: ("noise", "")}
    with pytest.raises(BadInputError, match="undone already"):
        decisions.undo(second)
    decisions.undo(undoing)
    assert in_force(decisions) == {A: ("normal", "")}
    with pytest.raises(BadInputError, match="no decision 99"):
        decisions.undo(99)
    decisions.add("image", A, "drop", annotator="ann", undoes_seq=second)
    with pytest.raises(BadInputError, match="about something else"):
        decisions.add("image", B, "drop", undoes_seq=second)


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
