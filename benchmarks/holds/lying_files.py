"""Lying and corrupt files of every kind that people may have touched, through the readers and through the commands.

Each file is read in a process of its own, in which importing by a pickle, starting a program and connecting are noted.
Right: what was read is what a sound file may hold (a text may have become another text). Error: a CleanerError with
exit code 2 or 3 that names the file and the next step. Wrong: all else: another error, a crash, more than 20 s,
something unpickled, or a result that no sound file gives. Commands may end with 0, 2 or 3.

    python benchmarks/holds/lying_files.py [--files 600] [--commands 60] [--seed 0] [--keep FOLDER]
    python -m pytest tests/dataset/test_lying_files.py --hypothesis-profile holds      # 500 examples for each reader
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import sys
import tempfile
import zlib
from collections import Counter
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks.holds.strange_sets import fault_of, fill
from tests.support.damage_kinds import ANY_FILE, ARRAY, DATABASE, DOCUMENT, TABLE, TENSORS, Damage
from tests.support.launcher import Launcher
from tests.support.lying_files import KINDS, Kind, attempt, make_sound
from tests.support.permissions import permissions_hold
from tests.support.program import tree_digest

MOST_S = 20
_NOTED = ("pickle.find_class", "os.system", "subprocess.Popen", "socket.connect", "os.exec", "os.posix_spawn")
SMALL = ("--backbone", "embedded-small", "--workers", "1")
BUILD: tuple[tuple[str, ...], ...] = (
    ("scan", "{images}", "--labels", "{work}/votes.csv", "--workers", "1"),
    ("noise", "--seeds", "{work}/seeds.csv", *SMALL),
    ("labels", "--folds", "2", *SMALL),
    ("balance", *SMALL),
    ("decide", "cat/0.png", "--label", "dog"),
    ("labels", "--folds", "2", *SMALL),
    ("balance", *SMALL),
    ("audit", "--sample", "10", "--sample-dropped", "0"),
    ("verify", "--val", "{val}", *SMALL),
    ("decisions", "export", "{work}/decisions.csv"),
)
TOUCHED: dict[str, tuple[dict[str, Damage], tuple[tuple[str, ...], ...]]] = {
    "scan/manifest.parquet": (TABLE, (("noise", *SMALL), ("status",), ("explain", "cat/1.png"))),
    "noise/manifest.parquet": (TABLE, (("labels", "--folds", "2", *SMALL), ("queue", "noise-doubtful"))),
    "labels/manifest.parquet": (TABLE, (("balance", *SMALL), ("queue", "labels"))),
    "balance/manifest.parquet": (TABLE, (("report",), ("export", "{out}/set", "--mode", "copy"), ("diff", ".", "."))),
    "scan/stage.json": (DOCUMENT, (("status",), ("report",), ("noise", *SMALL))),
    "noise/stage.json": (DOCUMENT, (("status",), ("report",), ("explain", "cat/1.png"))),
    "labels/stage.json": (DOCUMENT, (("status",), ("report",), ("queue", "labels"))),
    "balance/stage.json": (DOCUMENT, (("status",), ("report",), ("export", "{out}/t.csv", "--to", "csv"))),
    "verify/verify.json": (DOCUMENT, (("report",),)),
    "verify/stage.json": (DOCUMENT, (("report",),)),
    "decisions.sqlite": (
        DATABASE,
        (("status",), ("decide", "dog/1.png", "--noise"), ("decisions", "export", "{out}/d.csv")),
    ),
    "scan/votes.parquet": (TABLE, (("explain", "cat/1.png"),)),
    "noise/rounds.parquet": (TABLE, (("explain", "cat/1.png"),)),
    "labels/rounds.parquet": (TABLE, (("explain", "cat/1.png"),)),
    "labels/classes.parquet": (TABLE, (("balance", "--force", *SMALL),)),
    "balance/classes.parquet": (TABLE, (("report",), ("queue", "low-count"))),
    "labels/predictions.safetensors": (TENSORS, (("queue", "labels"),)),
    "audit/*/sample.parquet": (TABLE, (("audit",), ("report",), ("queue", "audit"))),
    "audit/*/sample.json": (DOCUMENT, (("audit",), ("report",))),
    "seeds.csv": ({}, (("noise", "--seeds", "{work}/seeds.csv", *SMALL),)),
    "votes.csv": ({}, (("scan", "{images}", "--labels", "{work}/votes.csv", "--workers", "1"),)),
    "decisions.csv": ({}, (("decisions", "import", "{work}/decisions.csv"),)),
    "cache/digests.json": (DOCUMENT, (("status",),)),
    "cache/embeddings/*/*.arrays": ({}, (("labels", "--force", "--folds", "2", *SMALL), ("explain", "cat/1.png"))),
    "cache/scan/*/*/*.arrays": ({}, (("scan", "{images}", "--labels", "{work}/votes.csv", "--workers", "1"),)),
    "cleaner.toml": ({}, (("status",), ("balance", *SMALL))),
    "probs.npy": (ARRAY, (("labels", "--pred-probs", "{work}/probs.npy", "--pred-ids", "{work}/ids.txt", *SMALL),)),
}
"""Files of a workspace, what besides `ANY_FILE` happens to them, and the commands that read them."""


def read_in_child(kind: Kind, folder: Path) -> str:
    """What became of reading a damaged file: `right`, `error`, or what is wrong."""
    ours, theirs = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(ours)
        noted: list[str] = []
        sys.addaudithook(lambda event, arguments: noted.append(event) if event in _NOTED else None)
        signal.alarm(MOST_S)
        with permissions_hold():
            found = attempt(kind, folder)
        found = f"it did {noted[0]}" if noted else found
        os.write(theirs, found.encode("utf-8", "replace")[:2000])
        os._exit(0)
    os.close(theirs)
    with os.fdopen(ours, "rb") as pipe:
        found = pipe.read().decode()
    _, status = os.waitpid(pid, 0)
    if os.WIFSIGNALED(status):
        name = signal.Signals(os.WTERMSIG(status)).name
        return f"more than {MOST_S} s" if name == "SIGALRM" else f"ended by {name}"
    return found or "no answer"


def try_readers(num_files: int, seed: int, scratch: Path) -> list[str]:
    """Damage `num_files` files, as many of each kind; print a line for each kind and return what is wrong."""
    wrong, sums = [], Counter[str]()
    print(f"{'kind':28} {'tried':>6} {'right result':>13} {'clear error':>12} {'wrong':>6}")
    for number, kind in enumerate(KINDS):
        counts = Counter[str]()
        damages = sorted(kind.all_damages)
        mine = num_files // len(KINDS) + (number < num_files % len(KINDS))
        for attempt_number in range(mine):
            name = damages[attempt_number % len(damages)]
            rng = np.random.default_rng([seed, attempt_number, zlib.crc32(f"{kind.name} {name}".encode())])
            make_sound(kind, scratch / "files")
            kind.all_damages[name](scratch / "files" / kind.file, rng)
            found = read_in_child(kind, scratch / "files")
            if Path("sprung").exists():
                Path("sprung").rmdir()
                found = "something was unpickled"
            outcome = found if found in ("right", "error") else "wrong"
            counts[outcome] += 1
            if outcome == "wrong":
                wrong.append(f"{kind.name}, {name}: {found}")
        sums += counts
        print(f"{kind.name:28} {mine:6} {counts['right']:13} {counts['error']:12} {counts['wrong']:6}", flush=True)
    print(f"{'all':28} {sums.total():6} {sums['right']:13} {sums['error']:12} {sums['wrong']:6}")
    return wrong


def build(launcher: Launcher, folder: Path) -> None:
    """A workspace with every stage, people's decisions, an audit and a verification, beside its images."""
    images, val, work = folder / "images", folder / "val", folder / "work"
    fill(images, {"cat": 24, "dog": 24, "owl": 24})
    fill(val, {"cat": 30, "dog": 30, "owl": 30}, side=25)
    work.mkdir()
    names = sorted(path.relative_to(images).as_posix() for path in images.rglob("*.png"))
    votes = [f"{name},{name.partition('/')[0]},{who}" for name in names for who in ("ann", "bob")]
    (work / "votes.csv").write_text("\n".join(["file_name,label,annotator", *votes]) + "\n")
    seeds = [f"{name},{int(name.endswith(('7.png', '8.png')))}" for name in names[::3]]
    (work / "seeds.csv").write_text("\n".join(["file_name,is_noise", *seeds]) + "\n")
    (work / "cleaner.toml").write_text("[balance]\ntau = 1.0\n[embedding]\nviews = 1\n")
    for command in BUILD:
        done = launcher.start(*_filled(command, folder), "-C", work)
        assert done["code"] == 0, f"{command}: {done['stderr']}"
    np.save(work / "probs.npy", np.full((len(names), 3), 1 / 3, np.float32))
    (work / "ids.txt").write_text("\n".join(names))


def _filled(command: tuple[str, ...], folder: Path) -> list[str]:
    places = {"images": folder / "images", "val": folder / "val", "work": folder / "work", "out": folder / "out"}
    return [word.format(**places) for word in command]


def try_commands(num_trials: int, seed: int, scratch: Path) -> list[str]:
    """Damage files of a real workspace, run the commands that read them, and return what is wrong."""
    launcher = Launcher(Path())
    wrong, codes, before = [], Counter[int](), ""
    try:
        build(launcher, scratch)
        before = tree_digest(scratch / "images")
        shutil.copytree(scratch / "work", scratch / "sound", symlinks=True)
        files = list(TOUCHED)
        for trial in range(num_trials):
            pattern = files[trial % len(files)]
            special, commands = TOUCHED[pattern]
            damages = {name: damage for name, damage in (ANY_FILE | special).items() if name != "unreadable"}  # to root
            rng = np.random.default_rng([seed, trial])
            name = sorted(damages)[int(rng.integers(0, len(damages)))]
            if special and rng.random() < 0.5:
                name = sorted(special)[int(rng.integers(0, len(special)))]
            for place in ("work", "out"):
                shutil.rmtree(scratch / place, ignore_errors=True)
            shutil.copytree(scratch / "sound", scratch / "work", symlinks=True)
            (scratch / "out").mkdir()
            path = sorted((scratch / "work").glob(pattern))[0]
            damages[name](path, rng)
            command = commands[(trial // len(files)) % len(commands)]
            signal.alarm(10 * MOST_S)  # ends all: no command may hang
            done = launcher.start(*_filled(command, scratch), "-C", scratch / "work")
            signal.alarm(0)
            codes[done["code"]] += 1
            if fault := fault_of(done):
                wrong.append(f"{pattern}, {name}, {' '.join(command[:2])}: {fault}")
    finally:
        launcher.close()
    if tree_digest(scratch / "images") != before:
        wrong.append("the images changed")
    print(f"\n{codes.total()} runs of commands, exit codes {dict(sorted(codes.items()))}, {len(wrong)} wrong")
    return wrong


def main() -> None:
    """Print the tables, and what was wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=600)
    parser.add_argument("--commands", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, help="work in this folder, and leave it")
    options = parser.parse_args()
    torch.set_num_threads(1)  # of the process that is forked
    with tempfile.TemporaryDirectory() as folder:
        scratch = options.keep or Path(folder)
        scratch.mkdir(parents=True, exist_ok=True)
        os.chdir(scratch)
        wrong = try_readers(options.files, options.seed, scratch)
        wrong += try_commands(options.commands, options.seed, scratch) if options.commands else []
        os.chdir("/")
    for line in wrong:
        print(f"    {line}")
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
