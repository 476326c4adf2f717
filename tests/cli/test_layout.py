"""How results look: folded to the terminal's width with nothing lost, coloured on a terminal and only there."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cleaner.cli.layout import fold
from cleaner.cli.summaries import counted, listed
from tests.support.program import Program, draw_set

_WORD = st.text(st.sampled_from("abcµ漢-/.·"), min_size=1, max_size=12).filter(lambda w: w != "·")


@given(st.lists(_WORD, min_size=1, max_size=40), st.integers(20, 90), st.integers(0, 4), st.booleans())
def test_folding_loses_no_word_and_stays_in_the_width(words: list[str], width: int, indent: int, dotted: bool) -> None:
    line = " " * indent + (" · " if dotted else " ").join(words)
    lines = fold(line, width)
    assert " ".join(lines).split() == line.split()
    assert all(len(part) <= width for part in lines), lines


def test_a_line_breaks_at_its_separators_below_its_last_column() -> None:
    line = "  noise    complete    1,522 files · 1,377 kept · noise image 95"
    assert fold(line, 80) == [line]
    assert fold(line, 50) == ["  noise    complete    1,522 files · 1,377 kept ·", " " * 23 + "noise image 95"]
    assert fold("  a path: /" + "x" * 60 + " end", 40)[-1].strip() == "end"


@pytest.mark.parametrize(
    ("counts", "words"),
    [
        ({"classes": 1, "near_groups": 1_200, "notes": 0}, "1 class · 1,200 groups of near copies"),
        ({"repeated_to": 12, "sampled": 3_456}, "upsampled to 12 images a class · 3,456 images in an epoch"),
        ({"copied instead of linked": 2}, "copied instead of linked 2"),
        ({"doubtful": 0}, "nothing"),
    ],
)
def test_counts_in_words(counts: dict[str, int], words: str) -> None:
    assert counted(counts) == words
    assert listed({"label_issue_coarse": 1234}) == "label issue coarse 1,234"


def test_on_a_terminal_of_sixty_columns(program: Program, tmp_path: Path) -> None:
    """In colour, every line within the width; the same command in a pipe writes plain lines."""
    draw_set(tmp_path / "images")
    assert program("scan", tmp_path / "images", "-C", tmp_path / "work").exit_code == 0
    command = [sys.executable, "-m", "cleaner", "status"]
    where = {"cwd": tmp_path / "work", "env": os.environ | {"COLUMNS": "60", "TERM": "xterm-256color"}}
    plain = subprocess.run(command, capture_output=True, text=True, check=True, **where).stdout  # type: ignore[call-overload]
    leader, follower = pty.openpty()
    with subprocess.Popen(command, stdout=follower, stderr=subprocess.DEVNULL, **where) as running:  # type: ignore[call-overload]
        os.close(follower)
        shown = b""
        while True:
            try:
                piece = os.read(leader, 4096)
            except OSError:  # Linux ends a pseudo-terminal so
                break
            if not piece:
                break
            shown += piece
        assert running.wait() == 0
    os.close(leader)
    text = shown.decode()
    assert "\x1b[" in text and "\x1b[" not in plain
    bare = re.sub(r"\x1b\[[0-9;]*m", "", text)
    assert bare.split() == plain.split()
    assert all(len(line) <= 60 or "/" in line for line in bare.splitlines()), bare
    assert "next: cleaner review noise, then cleaner noise" in plain


def test_looks_come_before_a_noise_stage_without_seeds(program: Program, tmp_path: Path) -> None:
    draw_set(tmp_path / "images")
    work = tmp_path / "work"
    scanned = program("scan", tmp_path / "images", "-C", work)
    assert f"next: cleaner review -C {work} noise, then cleaner noise -C {work}" in scanned.out
    assert program("status", "-C", work, "--json").document("status")["starts_cold"] is True
    assert program("decide", "cat/0.png", "--noise", "-C", work).exit_code == 0
    looked = program("status", "-C", work)
    assert f"next: cleaner noise -C {work}" in looked.out and "review" not in looked.out.splitlines()[-1]
