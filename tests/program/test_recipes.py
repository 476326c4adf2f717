"""The commands of the recipes, the newcomer's page and the README run as they stand, in order, over small sets."""

from __future__ import annotations

import csv
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.places import REPO, SAMPLE
from tests.support.program import Program

CLASSES = {"cat": "bird_robin", "dog": "fish_striped", "horse": "cup_mug"}
NUM_GOOD, NUM_NOISE = 12, 2
README = (REPO / "README.md").read_text(encoding="utf-8")
RECIPES = sorted(path.name for path in (REPO / "docs" / "recipes").glob("*.md"))


def draw_photos(folder: Path, renamed: dict[str, str] | None = None, skip: int = 0) -> Path:
    """Three classes of sample_data: twelve right pictures each, 0001.jpg and so on, behind them two noise images."""
    with (SAMPLE / "truth.csv").open(newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["file_name"].endswith(".jpg") and not row["fault"]]
    noise = [row["file_name"] for row in rows if row["is_noise_image"] == "true"][skip:]
    for place, (label, source) in enumerate(CLASSES.items()):
        good = [r for r in rows if r["given_label"] == source and r["clean_label"] == source and not r["quality"]]
        good = [r["file_name"] for r in good if r["is_noise_image"] == "false" and not r["duplicate_kind"]]
        target = folder / (renamed or {}).get(label, label)
        target.mkdir(parents=True)
        chosen = [*good[skip : skip + NUM_GOOD], *noise[place * NUM_NOISE :][:NUM_NOISE]]
        assert len(chosen) == NUM_GOOD + NUM_NOISE
        for i, name in enumerate(chosen, start=1):
            shutil.copyfile(SAMPLE / "images" / name, target / f"{i:04}.jpg")
    return folder


def write_votes(photos: Path) -> None:
    """`votes.csv`: three annotators, one of whom is often wrong."""
    names = sorted(path.relative_to(photos).as_posix() for path in photos.rglob("*.jpg"))
    right = [name.partition("/")[0] for name in names]
    rows = [f"{n},{y},{who}" for n, y in zip(names, right, strict=True) for who in ("ann", "cem")]
    rows += [f"{n},{('cat', 'dog', 'horse')[i % 3]},bob" for i, n in enumerate(names)]
    Path("votes.csv").write_text("\n".join(["file_name,label,annotator", *rows]) + "\n")


def prepare(page: str) -> None:
    """What a page says that the reader has, in the current directory."""
    photos = draw_photos(Path("photos"))
    match page:
        case "crowd-labels.md":
            write_votes(photos)
        case "two-sets.md":
            photos.rename("archive")
            draw_photos(Path("crawl"), {"dog": "hound"}, skip=6)
        case "ci-gate.md":
            (Path("incoming") / "cat").mkdir(parents=True)
            for i in (1, 2):
                shutil.copyfile(photos / "cat" / f"{i:04}.jpg", Path("incoming") / "cat" / f"new_{i}.jpg")


def commands(text: str) -> Iterator[tuple[list[str], int]]:
    """The words and the exit code of each command of a block."""
    for line in text.splitlines():
        command, _, comment = line.partition("  #")
        if command.strip():
            code = re.search(r"exit code (\d+)", comment)
            yield [str(Path(word).expanduser()) for word in shlex.split(command)], int(code.group(1)) if code else 0


def run(program: Program, text: str) -> int:
    num = 0
    for words, code in commands(text):
        num += 1
        if words[0] != "cleaner":
            assert subprocess.run(words, check=False).returncode == code, shlex.join(words)
            continue
        done = program(*words[1:])
        assert done.exit_code == code, f"{shlex.join(words)}: {done.err}"
    return num


def console_of(page: Path) -> str:
    return "\n".join(re.findall(r"^```console\n(.*?)^```", page.read_text(encoding="utf-8"), re.M | re.S))


@pytest.mark.parametrize("page", RECIPES)
def test_recipe(page: str, program: Program) -> None:
    prepare(page)
    assert run(program, console_of(REPO / "docs" / "recipes" / page)) >= 4


def test_the_newcomers_page(program: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    draw_photos(Path("photos"))
    Path("work").mkdir()
    monkeypatch.chdir("work")
    assert run(program, console_of(REPO / "docs" / "index.md")) == 3
    assert sorted(path.name for path in Path("../clean").iterdir() if path.is_dir()) == sorted(CLASSES)


def test_the_readme(program: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    """All but what installs and what opens a page; tests/program/test_walk.py is about the pages."""
    section = README.partition("## On your images")[2].partition("```\n")[2].partition("```")[0]
    lines = [line for line in re.split(r"\n| && ", section) if line.startswith("cleaner ") and " review " not in line]
    monkeypatch.setenv("HOME", str(Path.cwd()))
    draw_photos(Path("photos"))
    Path("work").mkdir()
    monkeypatch.chdir("work")
    assert run(program, "\n".join(lines)) == 9
