"""Settings from files, variables and options: which one counts, and what a bad one is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from cleaner.config import Config
from cleaner.config_sources import CONFIG_FILE, TABLES, Given, foreign_variables, give, read_config, resolve_config
from cleaner.errors import BadInputError, UsageError


def test_variables_over_file_over_defaults(tmp_path: Path) -> None:
    (tmp_path / "cleaner.toml").write_text(
        '[noise]\nthreshold = 0.7\nmax_rounds = 3\nseeds = "s.csv"\n[labels]\nfolds = 4\n'
    )
    variables = {"CLEANER_NOISE_THRESHOLD": "0.8", "CLEANER_LABELS_TOP_K": "3,1", "CLEANER_LABELS_DROP": "none"}
    variables |= {"CLEANER_SCAN_FOLLOW_SYMLINKS": "true", "CLEANER_EMBEDDING_IMAGE_SIZE": "96", "HOME": "/x"}
    config = resolve_config(tmp_path, None, variables)
    assert (config.noise.threshold, config.noise.max_rounds, config.noise.doubtful) == (0.8, 3, 0.5)
    assert config.noise.seeds == str(tmp_path / "s.csv")
    assert (config.labels.top_k, config.labels.drop, config.labels.folds) == ((3, 1), (), 4)
    assert config.scan.follow_symlinks and config.balance.embedding.image_size == 96


def test_options_over_variables(tmp_path: Path) -> None:
    options = {("noise", "threshold"): give(("noise", "threshold"), "0.6", "--threshold")}
    assert resolve_config(tmp_path, None, {"CLEANER_NOISE_THRESHOLD": "0.8"}, options).noise.threshold == 0.6


def test_unknown_keys_and_tables_name_the_nearest(tmp_path: Path) -> None:
    file = tmp_path / "cleaner.toml"
    file.write_text("[nosie]\nthreshold = 0.8\n")
    with pytest.raises(BadInputError) as error:
        read_config(file)
    assert error.value.expected == "noise, perhaps?" and error.value.next_step


@pytest.mark.parametrize(
    ("text", "what", "expected"),
    [
        ("[noise]\nthreshhold = 0.8\n", "unknown setting 'threshhold'", "threshold, perhaps?"),
        ("[embedding]\nviews = true\n", "[embedding]: setting views = True", "0 or 1 or 2"),
        ("[balance]\ntau = inf\n", "[balance]: setting tau = inf", "a number, 0 or more"),
        ("[labels]\nfolds = 5.0\n", "[labels]: setting folds = 5.0", "a whole number, 2 .. 100"),
        (
            "[labels]\npred_probs = 'p.npy'\n",
            "[labels]: setting pred_ids = ()",
            "one for all pred_probs or one for each, else neither",
        ),
        ("[labels\n", "not a readable settings file", ""),
    ],
)
def test_a_bad_file_is_told_what_and_what_to_do(tmp_path: Path, text: str, what: str, expected: str) -> None:
    file = tmp_path / CONFIG_FILE
    file.write_text(text)
    with pytest.raises(BadInputError) as error:
        read_config(file)
    assert str(file) in error.value.what and what in error.value.what and error.value.expected == expected
    assert error.value.next_step == f"mend {file} and run again"


def test_a_confirmation_cannot_stand_in_a_file(tmp_path: Path) -> None:
    """`--yes` is for the one run whose images someone looked at."""
    (tmp_path / CONFIG_FILE).write_text("[scan]\nyes = true\n")
    with pytest.raises(BadInputError, match="unknown setting 'yes'"):
        read_config(tmp_path / CONFIG_FILE)


def test_variables_that_belong_together_are_taken_together(tmp_path: Path) -> None:
    variables = {"CLEANER_LABELS_PRED_PROBS": "p.npy", "CLEANER_LABELS_PRED_IDS": "ids.txt"}
    labels = resolve_config(tmp_path, None, variables).labels
    assert (labels.pred_probs, labels.pred_ids) == ((str(Path("p.npy").resolve()),), (str(Path("ids.txt").resolve()),))
    with pytest.raises(UsageError, match="CLEANER_LABELS_PRED_PROBS: setting pred_ids"):
        resolve_config(tmp_path, None, {"CLEANER_LABELS_PRED_PROBS": "p.npy"})


def test_every_file_that_a_settings_file_names_is_taken_from_its_folder(tmp_path: Path) -> None:
    """Whatever settings name files: none has to be listed anywhere else."""
    named = [(table, s) for table, kind in TABLES.items() for s in kind.declared().values() if s.role]
    lines = {table: "\n".join(f"{s.name} = 'sub/x'" for t, s in named if t == table) for table, _ in named}
    (tmp_path / CONFIG_FILE).write_text("\n".join(f"[{table}]\n{text}" for table, text in lines.items()))
    config = read_config(tmp_path / CONFIG_FILE)
    for table, setting in named:
        value = getattr(getattr(config, table), setting.name)
        assert value in (str(tmp_path / "sub" / "x"), (str(tmp_path / "sub" / "x"),)), (table, setting.name)
    assert {s.name for _, s in named} >= {"pred_probs", "pred_ids", "seeds", "labels_file", "weights", "val", "teacher"}


def test_an_absent_file_gives_the_defaults(tmp_path: Path) -> None:
    assert read_config(tmp_path / CONFIG_FILE) == Config() == resolve_config(tmp_path, None, {})
    with pytest.raises(BadInputError, match="no such settings file"):
        resolve_config(tmp_path, tmp_path / "absent.toml", {})
    with pytest.raises(UsageError, match="--folds: setting folds = 1"):
        resolve_config(tmp_path, None, {}, {("labels", "folds"): Given(1, "--folds")})


def test_a_variable_that_gives_no_setting_is_named_and_stops_nothing(tmp_path: Path) -> None:
    variables = {"CLEANER_LABELS_FOLDZ": "3", "CLEANER_HOME": "/opt/other", "CLEANER_LABELS_FOLDS": "4", "PATH": "/"}
    assert resolve_config(tmp_path, None, variables).labels.folds == 4
    other, misspelt = foreign_variables(variables)
    assert "CLEANER_HOME" in other and "perhaps" not in other
    assert "CLEANER_LABELS_FOLDZ" in misspelt and misspelt.endswith("CLEANER_LABELS_FOLDS, perhaps?")
