"""Every command below a limit of its address space (RLIMIT_AS): its whole result, or a word that memory ran out.

Each starts as a process of its own, as people start it (`ulimit -v`). A result must be the one that a run without a
limit has; a word must name memory and what to do.

    python benchmarks/holds/limits.py [--gib 0.5 0.75 1 1.5 2 3 4]
"""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks.holds.walk import COMMANDS, Place, differences, make_set, results, words_amiss
from tests.support.places import REPO

GIB = (0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 4.0)
_WORDS = ("out of memory", "not enough memory")


def run_limited(arguments: Sequence[str], gib: float) -> subprocess.CompletedProcess[str]:
    """Run `cleaner` with an address space of `gib`; 0: without a limit."""

    def limit() -> None:
        if gib:
            resource.setrlimit(resource.RLIMIT_AS, (int(gib * 2**30),) * 2)

    environment = os.environ | {"PYTHONPATH": str(REPO)}
    command = [sys.executable, "-m", "cleaner", *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=environment, preexec_fn=limit, check=False)


def try_command(title: str, before: Place, expected: dict[str, str], gib: float, scratch: Path) -> tuple[str, str]:
    """How a command ended in a word, and what is wrong with that; '' if nothing is."""
    place = before.copy(scratch)
    done = run_limited(place.arguments(title), gib)
    found, last = results(place), done.stderr.strip()[-400:]
    shutil.rmtree(scratch)
    if words_amiss(done.stderr):
        return "bad words", last
    if done.returncode == 0:
        wrong = differences(found, expected)
        return ("result", "") if not wrong else ("other result", f"{wrong[:5]} {last}")
    if not any(word in done.stderr for word in _WORDS) or "next:" not in done.stderr:
        return f"exit {done.returncode}", last
    return "no memory", ""


def try_all(folder: Path, titles: Sequence[str], all_gib: Sequence[float]) -> dict[str, list[tuple[str, str]]]:
    """The ends of each command of `titles` under each limit."""
    make_set(folder / "set")
    place, ends = Place(folder / "set", folder / "before"), {}
    place.work.mkdir(parents=True)
    for title in COMMANDS:
        after = place.copy(folder / "after")
        done = run_limited(after.arguments(title), 0)
        assert done.returncode == 0, (title, done.stderr)
        if title in titles:
            expected = results(after)
            ends[title] = [try_command(title, place, expected, gib, folder / "limited") for gib in all_gib]
            print(f"{title:18}" + "".join(f"{end:>13}" for end, _ in ends[title]), flush=True)
            for gib, (_, why) in zip(all_gib, ends[title], strict=True):
                print(f"    {gib:g} GiB: {why}\n" if why else "", end="", flush=True)
        shutil.rmtree(place.root)
        after.root.rename(place.root)
    return ends


def main() -> None:
    """Print a line for each command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gib", type=float, nargs="+", default=GIB)
    parser.add_argument("--only", nargs="+", choices=COMMANDS, default=list(COMMANDS))
    options = parser.parse_args()
    print(f"{'GiB':18}" + "".join(f"{gib:13g}" for gib in options.gib))
    with tempfile.TemporaryDirectory() as folder:
        ends = try_all(Path(folder), options.only, options.gib)
    sys.exit(any(why for row in ends.values() for _, why in row))


if __name__ == "__main__":
    main()
