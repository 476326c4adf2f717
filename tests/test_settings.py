"""Settings that belong together: the files they name, their record, and what help tells of them."""

from __future__ import annotations

import inspect
import pickle
from pathlib import Path

import pytest

from cleaner.settings import input_files, path_settings
from tests.support.settings import INNER, Inner, Sample

SETTINGS = Sample.declared()


def test_files_that_settings_name(tmp_path: Path) -> None:
    assert path_settings(Sample) == {"table": "labels", "teachers": "teacher", "inner.weights": "weights"}
    found = input_files(Sample(table="a.csv", teachers=("b", "c"), inner=Inner(weights="w")))
    assert [(f.setting, f.role, f.path.name) for f in found] == [
        ("table", "labels", "a.csv"),
        ("teachers", "teacher", "b"),
        ("teachers", "teacher", "c"),
        ("inner.weights", "weights", "w"),
    ]
    assert input_files(Sample()) == []
    assert SETTINGS["teachers"].absolute(["b", "../c"], tmp_path) == (str(tmp_path / "b"), str(tmp_path.parent / "c"))
    moved = Sample(table="a", inner=Inner(weights="w")).absolute(tmp_path)
    assert (moved.table, moved.inner.weights, moved.teachers) == (str(tmp_path / "a"), str(tmp_path / "w"), ())
    assert SETTINGS["table"].absolute("", tmp_path) == "" and SETTINGS["rule"].absolute("auto", tmp_path) == "auto"


def test_help_tells_what_each_setting_is() -> None:
    assert "\nshare: A share.\nrounds: Rounds.\n" in (Sample.__doc__ or "")
    assert str(inspect.signature(Sample)).startswith("(*, share: float = 0.5, rounds: int = 0, ")


def test_a_record_is_plain_json_and_settings_cannot_change() -> None:
    settings = Sample(top_k=(3, 1), kinds=("fine",))
    record = settings.as_record()
    assert record["top_k"] == [3, 1] and record["kinds"] == ["fine"] and record["inner"] == {"weights": ""}
    assert list(record) == [*SETTINGS, "inner"]
    assert Sample(**record | {"inner": INNER}) == settings == pickle.loads(pickle.dumps(settings))
    assert hash(settings) == hash(settings.replace()) and settings.replace(views=1).views == 1
    with pytest.raises(AttributeError):
        settings.views = 1  # type: ignore[misc]
