"""What holds for every command: help with an example, JSON of a known form, exit codes, dry runs, settings, docs."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer.main

from cleaner.cli.app import app
from cleaner.config import Config, NoiseSettings
from cleaner.config_sources import read_config, variable_names, write_template
from cleaner.dataset.stage_inputs import STAGES
from tests.support.places import REPO, SAMPLE
from tests.support.program import Program, draw_set, load_script, tree_digest


def all_commands() -> dict[str, Any]:
    root: Any = typer.main.get_command(app)
    found: dict[str, Any] = {}
    for name, command in root.commands.items():
        inner = getattr(command, "commands", None)
        found |= {f"{name} {k}": v for k, v in inner.items()} if inner else {name: command}
    return found


COMMANDS = all_commands()
# What each command needs to be tried on a scanned workspace; {out} is a path that does not exist.
ON_A_SCAN = {
    "scan": (["../images"], "stage"),
    "status": ([], "status"),
    "explain": (["cat/0.png"], "explain"),
    "decide": (["cat/0.png", "--noise"], "counts"),
    "queue": (["noise-seeds"], "queue"),
    "doctor": ([], "doctor"),
    "plan": (["../images"], "plan"),
    "map": ([], "map"),
    "init": ([], "counts"),
    "export": (["../out"], "counts"),
    "check": (["../images", "--against", "."], "check"),
    "decisions import": (["../said.csv"], "counts"),
    "decisions export": (["../said_before.csv"], "counts"),
}
DRY = {
    "scan": ["../images", "--near-radius", "3"],
    "run": ["../images"],
    **{stage: [] for stage in STAGES[1:]},
    "export": ["../out"],
    "decide": ["cat/0.png", "--noise"],
    "init": [],
    "decisions import": ["../said.csv"],
}


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from cleaner.config import RunOptions, ScanSettings
    from cleaner.dataset.workspace import Workspace
    from cleaner.stages.scan import run_scan

    folder = tmp_path_factory.mktemp("global") / "all"
    images = draw_set(folder / "images")
    run_scan(Workspace(folder / "work"), images, ScanSettings(), RunOptions())
    (folder / "said.csv").write_text("file_name,verdict\ncat/0.png,noise\n")
    return folder


@pytest.fixture
def work(template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, program: Program) -> Path:
    """A scanned workspace, which is the current directory; images/ and said.csv lie beside it."""
    shutil.copytree(template, tmp_path / "all")
    record = tmp_path / "all" / "work" / "scan" / "stage.json"
    record.write_text(record.read_text().replace(str(template), str(tmp_path / "all")))
    monkeypatch.chdir(tmp_path / "all" / "work")
    return tmp_path / "all" / "work"


@pytest.mark.parametrize("command", COMMANDS)
def test_help_holds_an_example_and_says_what_each_option_does(command: str, program: Program) -> None:
    shown = program(*command.split(), "--help")
    assert shown.exit_code == 0 and f"Example: cleaner {command}" in " ".join(shown.out.split())
    undocumented = [p.name for p in COMMANDS[command].params if not p.help]
    assert undocumented == []


def test_every_command_has_quiet_and_json() -> None:
    for name, command in COMMANDS.items():
        options = {o for p in command.params for o in p.opts}
        assert {"--json", "--quiet", "--debug"} <= options, name


@pytest.mark.parametrize("command", ON_A_SCAN)
def test_json_is_one_document_of_the_known_form(command: str, work: Path, program: Program) -> None:
    arguments, schema = ON_A_SCAN[command]
    done = program(*command.split(), *arguments, "--json")
    assert done.exit_code == 0, done.err
    document = done.document(schema)
    assert isinstance(document, list) or document["warnings"] == []


def test_json_of_the_stages(sample_copy: Path, program: Program) -> None:
    """All are up to date, which their documents say; that they ran is tested elsewhere."""
    place = ["-C", sample_copy, "--json"]
    seeds = ["--seeds", SAMPLE / "seeds.csv"]
    for stage in STAGES[1:]:
        document = program(stage, *(seeds if stage == "noise" else []), *place).document("stage")
        assert document["was_current"] and document["stage"] == stage
    document = program("run", SAMPLE / "images", *seeds, *place).document("run")
    assert [s["was_current"] for s in document["stages"]] == [True] * len(STAGES)
    before = tree_digest(sample_copy)
    document = program("run", SAMPLE / "images", "--dry-run", *place).document("dry-run")
    assert [s["would_run"] for s in document["stages"]] == [False] + [True] * (len(STAGES) - 1)
    assert [s["why"] for s in document["stages"]][1:] == [
        f"changed: seeds ({SAMPLE / 'seeds.csv'})",
        *(f"{stage} runs before it" for stage in STAGES[1:-1]),
    ]
    assert tree_digest(sample_copy) == before


@pytest.mark.parametrize("command", DRY)
def test_a_dry_run_changes_no_file(command: str, work: Path, program: Program) -> None:
    for place in (work, work.parent / "absent" if command in ("scan", "run", "init") else work):
        arguments = DRY[command]
        before = tree_digest(work.parent)
        done = program(*command.split(), *arguments, "--dry-run", "-C", place)
        stale = command in STAGES[2:] and done.exit_code == 3  # nothing to read yet
        assert done.exit_code == 0 or stale, done.err
        assert tree_digest(work.parent) == before
        if done.exit_code == 0:
            assert "dry run: nothing was changed" in done.out
    if command in ("scan", "run"):
        assert "would run: it has not run" in done.out


def test_a_dry_run_says_why(work: Path, program: Program) -> None:
    done = program("scan", "../images", "--dry-run", "--json").document("dry-run")
    assert done["stages"] == [{"stage": "scan", "would_run": False, "why": ""}]
    done = program("scan", "../images", "--near-radius", "3", "--dry-run", "--json").document("dry-run")
    assert done["stages"][0]["why"] == "setting near_radius: 18 became 3"


@pytest.mark.parametrize("command", COMMANDS)
def test_usage_errors_end_with_2_and_a_document(command: str, work: Path, program: Program) -> None:
    before = tree_digest(work)
    done = program(*command.split(), "--no-such-option", "--json")
    assert done.exit_code == 2 and done.document("error")["error"]["exit_code"] == 2
    assert tree_digest(work) == before


@pytest.mark.parametrize(
    "command", [c for c in COMMANDS if c not in ("check", "diff", "merge", "doctor", "init", "recipes")]
)
def test_a_workspace_or_file_that_is_not_there_ends_with_3(command: str, tmp_path: Path, program: Program) -> None:
    arguments = {c: a for c, (a, _) in ON_A_SCAN.items()}.get(command, ["absent"] if command == "run" else [])
    if command == "review":
        arguments = ["labels"]
    done = program(*command.split(), *arguments, "-C", "absent", "--json")
    assert done.exit_code == 3, done.err
    assert done.document("error")["error"]["next"]
    assert list(tmp_path.iterdir()) == []


def test_a_bad_settings_file_ends_with_3(work: Path, program: Program) -> None:
    (work / "cleaner.toml").write_text("[noise]\nthreshhold = 0.8\n")
    for command in ("status", "doctor", "noise", "init", "export"):
        done = program(command, *(["../out"] if command == "export" else []))
        assert done.exit_code == 3 and "threshold, perhaps?" in done.err


# --- settings ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "value", "needle"),
    [
        ("CLEANER_NOISE_THRESHOLD", "high", "a number"),
        ("CLEANER_NOISE_THRESHOLD", "7", "0.5 .. 1"),
        ("CLEANER_SCAN_FOLLOW_SYMLINKS", "perhaps", "true or false"),
        ("CLEANER_BALANCE_LOW_COUNT", "burn", "review"),
    ],
)
def test_bad_variables_end_with_2(
    work: Path, program: Program, monkeypatch: pytest.MonkeyPatch, name: str, value: str, needle: str
) -> None:
    monkeypatch.setenv(name, value)
    done = program("status", "--json")
    assert done.exit_code == 2 and needle in done.err and name in done.document("error")["error"]["what"] + done.err


def test_a_variable_of_another_program_is_a_warning(
    work: Path, program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLEANER_NOISE_TRESHOLD", "0.8")
    monkeypatch.setenv("CLEANER_XYZZY", "1")
    done = program("status")
    assert done.exit_code == 0 and "CLEANER_NOISE_THRESHOLD, perhaps?" in done.err and "CLEANER_XYZZY" in done.err


def test_init_writes_every_setting_at_its_default(work: Path, program: Program) -> None:
    assert program("init").exit_code == 0
    text = (work / "cleaner.toml").read_text()
    assert text == write_template() and read_config(work / "cleaner.toml") == Config()
    assert "# Images with a noise probability above this are noise images.\n#threshold = 0.9\n" in text
    assert program("init").exit_code == 2 and program("init", "--force").exit_code == 0
    uncommented = "\n".join(line.removeprefix("#") if not line.startswith("# ") else line for line in text.splitlines())
    (work / "cleaner.toml").write_text(uncommented)
    config = read_config(work / "cleaner.toml")
    assert config.noise == NoiseSettings() and config.scan == Config().scan
    assert text.count("\n#") - text.count("\n# ") == len(variable_names())


# --- output -----------------------------------------------------------------------------------------------------------


def test_log_format_json_makes_every_line_an_object(work: Path, program: Program) -> None:
    done = program("scan", "../images", "--force", "-v", "--log-format", "json")
    lines = [json.loads(line) for line in done.err.splitlines()]
    assert {"time_utc", "level", "message"} == set(lines[0]) and any(
        "it was told to" in line["message"] for line in lines
    )
    failed = program("noise", "-C", "absent", "--log-format", "json")
    assert json.loads(failed.err)["level"] == "error"
    assert program("scan", "../images", "--log-format", "xml").exit_code == 2


def test_quiet_says_nothing_and_verbose_says_why(work: Path, program: Program) -> None:
    done = program("scan", "../images", "--force", "--quiet")
    assert (done.out, done.err) == ("", "")
    assert "scan runs: it was told to" in program("scan", "../images", "--force", "-v").err


def test_limit_takes_the_first_files_and_is_recorded(work: Path, program: Program) -> None:
    document = program("scan", "../images", "--limit", "4", "--json").document("stage")
    assert document["counts"]["rows"] == 4 and document["settings"]["limit"] == 4
    assert document["command_line"] == ["limit"]
    assert program("status", "--json").document("status")["stages"][0]["command"].endswith("--limit 4")
    assert program("scan", "../images", "--json").document("stage")["counts"]["rows"] == 6


def test_on_a_pipe_there_are_no_colours_and_a_summary(work: Path) -> None:
    command = [sys.executable, "-m", "cleaner", "scan", "../images", "--force"]
    done = subprocess.run(
        command, cwd=work, capture_output=True, text=True, check=True, env={**os.environ, "NO_COLOR": "1"}
    )
    assert "\x1b" not in done.stdout + done.stderr
    assert done.stderr.splitlines()[0].startswith("scan  6/6") and "6 files · 6 kept" in done.stdout


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_shell_completion(shell: str, tmp_path: Path) -> None:
    environment = {
        **os.environ,
        "_CLEANER_COMPLETE": f"complete_{shell}",
        "COMP_WORDS": "cleaner ex",
        "COMP_CWORD": "1",
    }
    environment |= {"_TYPER_COMPLETE_ARGS": "cleaner ex", "_TYPER_COMPLETE_FISH_ACTION": "get-args"}
    program_file = Path(sys.executable).with_name("cleaner")
    done = subprocess.run([program_file], capture_output=True, text=True, env=environment, cwd=tmp_path, check=False)
    assert "explain" in done.stdout and "export" in done.stdout and "scan" not in done.stdout.split("export")[0]


def test_the_reference_is_up_to_date() -> None:
    generator = load_script(REPO / "docs" / "generate_cli.py")
    assert (REPO / "docs" / "cli.md").read_text() == generator.render(), "run: python docs/generate_cli.py"


def test_what_a_library_prints_never_reaches_stdout(
    program: Program, template: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As Ray does, which tells of lost nodes there."""
    from cleaner.dataset.workspace import Workspace

    look = Workspace.record

    def talkative(self: Workspace, *arguments: Any) -> Any:
        sys.stdout.write("(raylet) a node was lost\n")
        return look(self, *arguments)

    monkeypatch.setattr(Workspace, "record", talkative)
    good = program("status", "-C", template / "work", "--json")
    good.document("status")
    bad = program("labels", "-C", template / "work", "--json")
    assert "error" in json.loads(bad.out)
    assert "a node was lost" in good.err and "a node was lost" in bad.err
