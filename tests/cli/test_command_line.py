"""Help says of every setting what config.py says, and options reach the settings that they are named after."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from cleaner.cli.command_line import CommandLine, keys
from cleaner.cli.options import QUEUES as QUEUE_NAMES
from cleaner.config import Config, RunOptions
from cleaner.config_sources import TABLES, Given
from cleaner.dataset.stage_inputs import STAGES
from tests.support.program import Program, draw_set

WITH_SETTINGS = [*STAGES, "train", "verify"]
NOT_OFFERED = {"scan": ("device", "train_workers"), "train": (), "verify": ("engine", "address", "storage")}


def rows(text: str) -> dict[str, str]:
    """What help says of each option, by its name, in one line."""
    lines = [line.strip("│ ") for line in text.splitlines() if line.startswith("│")]
    joined = " ".join(f"\n{line}" if re.match(r"(\* +)?-", line) else line for line in lines)
    return {part.split()[0]: " ".join(part.split()) for part in joined.split("\n") if part.strip()}


@pytest.mark.parametrize("command", WITH_SETTINGS)
def test_defaults_and_choices_in_help_are_those_of_config(
    command: str, program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "400")
    shown = rows(program(command, "--help").out)
    settings = list(TABLES[command].declared().values())
    if command != "scan":
        settings += [s for s in TABLES["embedding"].declared().values() if (command, s.name) != ("train", "views")]
    settings += [s for s in RunOptions.declared().values() if s.option in shown]
    for setting in settings:
        if not setting.option:
            continue
        row = shown[setting.option]
        text = "" if setting.kind is bool else setting.default_text
        assert re.findall(r"\[default: \((.*)\)\]", row) == ([text] if text else []), row
        if setting.choices and not setting.shown.metavar:
            assert f"[{'|'.join(map(str, setting.choices))}]" in row
        assert " ".join(setting.help.replace("`", "").split()) in row


def test_what_help_says_of_drop_holds_under_the_default_rule(
    program: Program, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Unless kinds are named, the rule decides, and the default rule looks at no kind."""
    monkeypatch.setenv("COLUMNS", "400")
    row = rows(program("labels", "--help").out)["--drop"]
    assert "[default: (as --rule says)]" in row and "[coarse|fine]" in row
    assert Config().labels.drop is None and Config().labels.rule == "auto"


def test_options_reach_their_settings(program: Program, tmp_path: Path) -> None:
    draw_set(tmp_path / "images")
    (tmp_path / "list.csv").write_text("file_name,label\ncat/0.png,cat\ncat/1.png,cat\ndog/0.png,dog\n")
    typed = ["--labels", "list.csv", "--drop", "dark,blurry", "--clean-split", "val", "--clean-split", "test"]
    done = program("scan", "images", *typed, "--follow-symlinks", "--seed", "3", "--json").document("stage")
    assert done["settings"]["labels_file"] == str(tmp_path / "list.csv")
    assert done["settings"]["drop"] == ["dark", "blurry"] and done["settings"]["clean_split"] == ["val", "test"]
    assert done["settings"]["follow_symlinks"] is True and done["seed"] == 3
    assert done["command_line"] == ["clean_split", "drop", "follow_symlinks", "labels_file"]


@pytest.mark.parametrize(
    ("typed", "what", "expected"),
    [
        (["labels", "--folds", "many"], "--folds: setting folds = 'many'", "a whole number, 2 .. 100"),
        (["labels", "--folds", "1"], "--folds: setting folds = 1", "a whole number, 2 .. 100"),
        (["labels", "--rule", "best"], "--rule: setting rule = 'best'", "auto or recipe"),
        (["noise", "--seed", "x"], "--seed: setting seed = 'x'", "a whole number, 0 .. 2147483648 (excluded)"),
        (["noise", "--log-format", "xml"], "--log-format xml", "text or json"),
        (["review", "nose"], "QUEUE nose", "noise-seeds"),
        (["queue", "nose"], "NAME nose", "noise-seeds"),
        (["decide", "x.png", "--noise", "--queue", "nose"], "--queue nose", "noise-seeds"),
        (["audit", "--stage", "export"], "--stage export", " or ".join(STAGES)),
    ],
)
def test_a_bad_value_is_told_what_the_option_takes(
    typed: list[str], what: str, expected: str, program: Program
) -> None:
    error = program(*typed, "--json").document("error")["error"]
    assert error["exit_code"] == 2 and error["what"] == what and expected in error["expected"]


def test_relabel_stands_back_behind_relabel_above() -> None:
    key = ("labels", "relabel_above")
    assert CommandLine().or_else(key, 0.95, "--relabel").settings[key] == Given(0.95, "--relabel")
    typed = CommandLine(settings={key: Given(0.8, "--relabel-above")})
    assert typed.or_else(key, 0.95, "--relabel").settings[key].value == 0.8


def test_settings_without_an_option_are_not_offered() -> None:
    assert ("noise", "doubtful") not in keys("noise") and ("noise", "threshold") in keys("noise")
    assert keys("scan", "limit") == (("scan", "limit"),)
    assert ("embedding", "views") not in keys("embedding", but=("views",))


def test_the_queues_are_those_of_the_review_page() -> None:
    from cleaner.review.queues import QUEUES

    assert tuple(QUEUES) == QUEUE_NAMES
