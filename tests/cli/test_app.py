"""The program: help, exit codes, settings, what goes to stdout and stderr."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cleaner.cli.app import app, main
from cleaner.cli.command_line import CommandLine
from cleaner.cli.console import Console
from cleaner.cli.session import open_session
from cleaner.config_sources import give
from cleaner.dataset.stage_inputs import STAGES
from cleaner.dataset.store import exclusive_lock
from tests.support.process import ENVIRONMENT, cleaner
from tests.support.waiting import PATIENCE_S

COMMANDS = [*STAGES, "run", "export", "decisions import", "decisions export"]


class InProcess:
    """The program run by its entry point in this process, for the many cases that need no process of their own."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], cwd: Path) -> None:
        self._monkeypatch, self._capsys = monkeypatch, capsys
        monkeypatch.chdir(cwd)

    def __call__(self, *arguments: str) -> tuple[int, str, str]:
        """Exit code, stdout, stderr."""
        self._monkeypatch.setattr(sys, "argv", ["cleaner", *arguments])
        with pytest.raises(SystemExit) as end:
            main()
        output = self._capsys.readouterr()
        return int(end.value.code or 0), output.out, output.err


@pytest.fixture
def in_process(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> InProcess:
    return InProcess(monkeypatch, capsys, tmp_path)


def test_help_comes_at_once_and_loads_nothing_heavy(tmp_path: Path) -> None:
    seconds = []
    for _ in range(3):
        before = os.times()
        done = cleaner("--help", cwd=tmp_path)
        after = os.times()
        seconds.append(after.children_user + after.children_system - before.children_user - before.children_system)
        assert done.returncode == 0 and "scan" in done.stdout
    assert min(seconds) < 0.5  # processor time: other work on the machine is not counted
    program = (
        "import sys; sys.argv = ['cleaner', '--help']\n"
        "from cleaner.cli.app import main\n"
        "try: main()\n"
        "except SystemExit: print([m for m in ('torch', 'pandas', 'numpy', 'timm', 'PIL') if m in sys.modules])\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, env=ENVIRONMENT)
    assert done.stdout.strip().endswith("[]")


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_shows_an_example(command: str) -> None:
    done = CliRunner().invoke(app, [*command.split(), "--help"])
    assert done.exit_code == 0
    assert f"Example: cleaner {command}" in done.output


def test_version(tmp_path: Path) -> None:
    assert cleaner("--version", cwd=tmp_path).stdout.startswith("cleaner 0.")


@pytest.mark.parametrize(
    ("arguments", "needle"),
    [
        (["--nonsense"], "No such option"),
        (["scan"], "Missing argument"),
        (["scan", ".", "--label-from", "middle"], "root or parent"),
        (["noise", "--threshold", "7"], "0.5 .. 1"),
        (["noise", "--seed", "-1"], "seed"),
        (["labels", "--top-k", "1,5"], "falling list"),
        (["labels", "--top-k", "many"], "whole numbers"),
        (["labels", "--drop", "rough"], "coarse, fine"),
        (["balance", "--floor", "1/0"], "a number, 0 .. 1"),
        (["balance", "--low-count", "burn"], "review"),
        (["export", "out", "--to", "zip"], "csv or datalab"),
        (["export", "out", "--mode", "move"], "hardlink or symlink or reflink or copy"),
    ],
)
def test_usage_errors_end_with_2(tmp_path: Path, in_process: InProcess, arguments: list[str], needle: str) -> None:
    exit_code, output, messages = in_process(*arguments)
    assert exit_code == 2
    assert needle in messages and output == "" and "Traceback" not in messages
    assert list(tmp_path.iterdir()) == []


def test_bad_input_ends_with_3_and_names_file_and_next_step(tmp_path: Path, in_process: InProcess) -> None:
    exit_code, _, messages = in_process("noise", "-C", "absent")
    assert exit_code == 3 and "absent: no such workspace" in messages and "cleaner scan IMAGES" in messages
    for command in (*([stage] for stage in STAGES[1:]), ["export", "out"]):
        exit_code, _, messages = in_process(*command)
        assert exit_code == 3 and "cleaner scan IMAGES" in messages
    (tmp_path / "cleaner.toml").write_text("[noise]\nthreshhold = 0.8\n")
    exit_code, _, messages = in_process("noise")
    assert exit_code == 3 and "cleaner.toml" in messages and "threshhold" in messages
    exit_code, _, messages = in_process("noise", "--config", "other.toml")
    assert exit_code == 3 and "other.toml" in messages


def test_errors_as_json(in_process: InProcess) -> None:
    exit_code, output, _ = in_process("noise", "-C", "absent", "--json")
    error = json.loads(output)["error"]
    assert error["exit_code"] == exit_code == 3 and "absent" in error["what"] and error["next"]


def test_a_locked_workspace_ends_with_1(tmp_path: Path) -> None:
    with exclusive_lock(tmp_path / ".lock"):
        done = cleaner("export", "out", cwd=tmp_path)
    assert done.returncode == 1
    assert f"process {os.getpid()}" in done.stderr and "next:" in done.stderr


def test_ctrl_c_ends_with_130_and_says_how_to_go_on(tmp_path: Path) -> None:
    pipe = tmp_path / "decisions.csv"
    os.mkfifo(pipe)
    command = [sys.executable, "-m", "cleaner", "decisions", "import", str(pipe)]
    with (
        subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True, env=ENVIRONMENT) as child,
        pipe.open("wb"),  # opens when the program has begun to read
    ):
        child.send_signal(signal.SIGINT)
        _, messages = child.communicate(timeout=PATIENCE_S)
    assert child.returncode == 130
    assert "the same command again" in messages and "Traceback" not in messages
    assert not (tmp_path / "decisions.sqlite").exists()


def test_unexpected_errors_end_with_1_and_show_a_traceback_only_with_debug(tmp_path: Path) -> None:
    broken = "import cleaner.cli.session as s; s.resolve_config = None; from cleaner.cli.app import main; main()"

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", broken, "noise", *arguments]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)

    short, long = run(), run("--debug")
    assert short.returncode == long.returncode == 1
    assert "Traceback" not in short.stderr and "--debug" in short.stderr
    assert "Traceback" in long.stderr


def test_settings_of_the_file_and_of_the_command_line(tmp_path: Path) -> None:
    (tmp_path / "cleaner.toml").write_text("[labels]\nfolds = 7\nmax_rounds = 3\n[embedding]\nimage_size = 128\n")
    typed = [(("labels", "folds"), "4"), (("labels", "drop"), "none"), (("embedding", "image_size"), "96")]
    session = open_session(CommandLine(workspace=tmp_path, settings={key: give(key, text, "-") for key, text in typed}))
    settings = session.config.labels
    assert (settings.folds, settings.max_rounds, settings.drop, settings.top_k) == (4, 3, (), (5, 1))
    assert settings.embedding.image_size == session.config.noise.embedding.image_size == 96
    assert session.options_of("labels").command_line == ("drop", "embedding.image_size", "folds")
    assert session.options_of("noise").command_line == ("embedding.image_size",)
    assert session.options_of("scan").command_line == () == session.options.command_line


def test_paths_are_relative_to_where_they_were_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "conf").mkdir()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "conf" / "my.toml").write_text('[noise]\nseeds = "s.csv"\n[embedding]\nweights = "../w.pth"\n')
    monkeypatch.chdir(tmp_path / "elsewhere")
    file = CommandLine(workspace=tmp_path, config=Path("../conf/my.toml"))
    config = open_session(file).config
    assert config.noise.seeds == str(tmp_path / "conf" / "s.csv")
    assert config.noise.embedding.weights == str(tmp_path / "w.pth")
    for text, path in (("s.csv", "elsewhere/s.csv"), ("../conf/s.csv", "conf/s.csv")):
        seeds = {("noise", "seeds"): give(("noise", "seeds"), text, "--seeds")}
        assert open_session(replace(file, settings=seeds)).config.noise.seeds == str(tmp_path / path)


def test_progress_without_a_terminal_is_a_line_on_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    console = Console()
    with console.task("embed [0]", 3) as task:
        task.advance()
        task.advance(2)
    console.warn("odd [b]name[/b]")
    console.warn("odd [b]name[/b]")
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err.startswith("embed [0]  3/3") and output.err.count("warning: odd [b]name[/b]") == 1


def test_quiet_and_json_keep_stdout_clean(capsys: pytest.CaptureFixture[str]) -> None:
    quiet = Console(quiet=True)
    with quiet.task("embed", 3) as task:
        task.advance()
    quiet.say("a line")
    quiet.result(["a result"])
    quiet.warn("a warning")
    output = capsys.readouterr()
    assert output.out == "" and output.err == "warning: a warning\n"
    as_json = Console(as_json=True)
    as_json.result(["a result"])
    as_json.document({"counts": 1})
    assert json.loads(capsys.readouterr().out) == {"counts": 1, "warnings": []}


@pytest.mark.parametrize("no_color", ["", "1"])
def test_colours_on_a_terminal_unless_told_otherwise(tmp_path: Path, no_color: str) -> None:
    program = (
        "from cleaner.cli.console import Console\nc = Console()\nc.warn('look')\nwith c.task('t', 1) as t: t.advance()"
    )
    ours, theirs = os.openpty()
    environment = ENVIRONMENT | {"TERM": "xterm-256color", "NO_COLOR": no_color}
    subprocess.run([sys.executable, "-c", program], stderr=theirs, check=True, env=environment)
    os.close(theirs)
    shown = os.read(ours, 65536).decode()
    os.close(ours)
    assert "warning: look" in shown and "1/1" in shown
    assert ("\x1b[33m" in shown) == (no_color == "")


def test_scan_again_does_nothing_and_says_so(scanned: Path) -> None:
    record = (scanned / "scan" / "stage.json").read_bytes()
    again = cleaner("scan", "../images", "--json", cwd=scanned)
    document = json.loads(again.stdout)
    assert document["was_current"] and document["counts"]["rows"] == 6 and document["next"] == "cleaner noise"
    assert "up to date" in cleaner("scan", "../images", cwd=scanned).stdout
    assert (scanned / "scan" / "stage.json").read_bytes() == record
