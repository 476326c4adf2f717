"""A decoder that crashes (SIGSEGV) or hangs over some files, under each command that decodes: all others are judged.

No decoder here crashes by itself, so that two are made to: in the processes of the command, reading a picture of one
size ends in SIGSEGV and of another never. Everything else is the program as it is.

    python benchmarks/holds/crashes.py [--images 200] [--workers 2]
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.support import fragile
from tests.support.places import REPO
from tests.support.scanned import picture, save

_EMBEDDING = ("--backbone", "embedded-small", "--image-size", "32", "--workers", "{workers}")
_TRAIN = (
    "--backbone",
    "test_efficientnet",
    "--image-size",
    "32",
    "--scratch",
    "--epochs",
    "1",
    "--workers",
    "{workers}",
)
SCAN = ("scan", "{images}", "--workers", "{workers}", "--file-timeout", "{timeout}")
COMMANDS: dict[str, tuple[str, ...]] = {
    "scan": SCAN,
    "noise": ("noise", *_EMBEDDING),
    "labels": ("labels", *_EMBEDDING),
    "train": ("train", *_TRAIN),
    "report": ("report",),
    "recipes": ("recipes", "--show", "300", "--out", "{images}/../sheet.png"),
}
"""The first over files that are unknown, the others over files that the scan could read."""


@dataclass(frozen=True)
class Trial:
    """What two files did to one command."""

    code: int
    num_judged: int
    """Of the sound files."""
    named: list[str]
    """Those of the two that stderr or the manifest names."""
    stderr: str


def run_fragile(arguments: Sequence[str]) -> subprocess.CompletedProcess[str]:
    """Run `cleaner` in a process whose decoders crash and hang, and so do those of its workers."""
    program = "from tests.support.fragile import main; main()"
    environment = os.environ | {"PYTHONPATH": str(REPO)}
    command = [sys.executable, "-c", program, *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=environment, check=False)


def make_images(folder: Path, num: int) -> Path:
    """`num` sound pictures in two classes, and the two that decoders fail over."""
    for i in range(num):
        save(folder / "ab"[i % 2] / f"{i:03d}.png", picture(i, 64, 48))
    save(folder / "a" / "crash.png", picture(1000, *fragile.CRASHING))
    save(folder / "b" / "hang.png", picture(1001, *fragile.HANGING))
    return folder


def try_command(title: str, images: Path, work: Path, workers: int, timeout_s: float = 1.0) -> Trial:
    """Run a command with fragile decoders in a workspace where those before it ran."""
    filled = [a.format(images=images, workers=workers, timeout=timeout_s) for a in COMMANDS[title]]
    done = run_fragile([*filled, "-C", str(work)])
    said, num_judged = done.stderr, 0
    if title in ("scan", "noise", "labels") and done.returncode == 0:
        rows = pd.read_parquet(work / title / "manifest.parquet").set_index("file_name")
        judged = {"scan": "readable", "noise": "noise_prob", "labels": "fold"}[title]
        sound = rows[~rows.index.str.contains("crash|hang")]
        num_judged = int(((sound[judged] > -1) if title != "scan" else sound[judged]).sum())
        said += "".join(f"{name} " for name, fault in rows["fault"].items() if fault in ("decoder_crash", "timeout"))
    return Trial(done.returncode, num_judged, [n for n in ("crash.png", "hang.png") if n in said], done.stderr)


def try_all(folder: Path, num: int, workers: int, titles: Sequence[str] = tuple(COMMANDS)) -> dict[str, Trial]:
    """The scan alone with fragile decoders, then the rest over what a sound scan could read."""
    images, trials = make_images(folder / "images", num), {}
    if "scan" in titles:
        trials["scan"] = try_command("scan", images, folder / "fragile", workers)
    scan = [a.format(images=images, workers=workers, timeout=1.0) for a in SCAN]
    subprocess.run(
        [sys.executable, "-m", "cleaner", *scan, "-C", str(folder / "work")], check=True, capture_output=True
    )
    for title in titles:
        if title != "scan":
            trials[title] = try_command(title, images, folder / "work", workers)
    return trials


def main() -> None:
    """Print a line for each command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=200)
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        trials = try_all(Path(folder), options.images, options.workers)
    print(f"{'command':10} {'exit':>4} {'judged':>7}  named")
    for title, trial in trials.items():
        print(f"{title:10} {trial.code:4} {trial.num_judged or '':>7}  {' '.join(trial.named)}")
        if trial.code or "Traceback" in trial.stderr:
            print(f"    {trial.stderr[-600:]}")
    sys.exit(any(trial.code for trial in trials.values()))


if __name__ == "__main__":
    main()
