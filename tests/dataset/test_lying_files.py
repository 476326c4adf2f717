"""Whatever stands in a file that people may have touched: its reader gives what is right, or names the file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cleaner.errors import BadInputError
from cleaner.reading import read_document, reading
from tests.support.lying_files import KINDS, Kind, attempt, make_sound
from tests.support.permissions import permissions_hold


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
@given(data=st.data())
def test_a_lie_is_named_or_harmless(
    kind: Kind, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, data: st.DataObject
) -> None:
    monkeypatch.chdir(tmp_path)
    damage = data.draw(st.sampled_from(sorted(kind.all_damages)))
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    folder = tmp_path / "files"
    make_sound(kind, folder)
    kind.all_damages[damage](folder / kind.file, rng)
    with permissions_hold():
        assert attempt(kind, folder) in ("right", "error")
    assert not Path("sprung").exists(), "something was unpickled"


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_a_sound_file_is_read(kind: Kind, tmp_path: Path) -> None:
    make_sound(kind, tmp_path / "files")
    assert attempt(kind, tmp_path / "files") == "right"


@pytest.mark.parametrize("error", [KeyError("x"), RecursionError(), OverflowError("big"), OSError(5, "broken")])
def test_any_error_of_a_reader_becomes_one_that_names_the_file(tmp_path: Path, error: Exception) -> None:
    path = tmp_path / "a.json"
    path.write_text("{}")
    with pytest.raises(BadInputError, match=r"a\.json") as caught, reading(path, "list", "write it again"):
        raise error
    assert caught.value.__cause__ is error and caught.value.next_step and caught.value.found


def test_an_error_that_knows_more_passes_and_gets_a_next_step(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("")
    with pytest.raises(BadInputError) as caught, reading(tmp_path / "a", "list", "write it again"):
        raise BadInputError("row 3 is empty")
    assert (caught.value.what, caught.value.next_step) == ("row 3 is empty", "write it again")


def test_what_is_absent_or_no_file_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match="no such list") as caught:
        read_document(tmp_path / "a", list[str], "list", "write it again", absent="make one")
    assert caught.value.next_step == "make one"
    with pytest.raises(BadInputError, match="a folder"):
        read_document(tmp_path, list[str], "list", "write it again")
