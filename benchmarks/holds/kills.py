"""Kill every command with SIGKILL at points of its progress; run again, it must leave what an undisturbed one does.

A point is an operation on a file of the workspace or the export, a statement to the decisions, a message, or a step of
an optimizer: none depends on how fast the machine is. After a kill nothing may stand under a final name that differs
from what an undisturbed run leaves there, or from what was there before; then the same command runs to its end.

    python benchmarks/holds/kills.py [--kills 110]
"""

from __future__ import annotations

import argparse
import random
import shutil
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks.holds.walk import COMMANDS, Place, differences, leftovers, make_set, results, words_amiss
from tests.support.launcher import KILLED, Launcher

OTHER_POINTS: dict[str, list[dict[str, Any]]] = {
    "scan": [{"task": "scan", "after": 50}],
    "noise": [{"say": "round 1"}],
    "labels": [{"task": "fine (top 1) cross-training", "after": 2}, {"task": "rule round 2", "after": 1}],
    "train": [{"step": 2}, {"step": 7}],
}
"""Besides operations on files."""


@dataclass
class Trial:
    """What kills made of one command."""

    num_operations: int = 0
    num_kills: int = 0
    num_wrong: int = 0
    """Kills after which something was lost or differed."""
    wrong: list[str] = field(default_factory=list)


def try_command(
    launcher: Launcher, title: str, before: Place, after: Place, num_kills: int, rng: random.Random
) -> Trial:
    """Kill a command `num_kills` times, each time on a copy of `before`, and compare with `after`, its whole result."""
    scratch = before.root.parent / "killed"
    counted = before.copy(scratch)
    trial = Trial(launcher.start(*counted.arguments(title), count_below=str(counted.root))["operations"])
    shutil.rmtree(scratch)
    others = OTHER_POINTS.get(title, [])[:num_kills]
    numbers = range(1, trial.num_operations + 1)
    chosen = sorted(rng.sample(numbers, min(len(numbers), max(1, num_kills - len(others)))))
    was, expected = results(before), results(after)
    for point in [*others, *({"operation": number} for number in chosen)]:
        place = before.copy(scratch)
        aim = point | ({"below": str(place.root)} if "operation" in point else {})
        killed = launcher.start(*place.arguments(title), kill_at=aim)
        faults = [] if killed["code"] == KILLED else [f"not killed: exit {killed['code']}"]
        trial.num_kills += killed["code"] == KILLED
        half = results(place)
        faults += [f"half-written {n}" for n in half if half[n] not in (was.get(n), expected.get(n))]
        again = launcher.start(*place.arguments(title))
        if again["code"] or words_amiss(again["stderr"]):
            faults.append(f"exit {again['code']}: {again['stderr'][-300:]}")
        faults += differences(results(place), expected) + leftovers(place)
        if faults:
            trial.num_wrong += 1
            trial.wrong.append(f"{title} at {point}: {faults}")
        shutil.rmtree(scratch)
    return trial


def try_all(
    launcher: Launcher,
    folder: Path,
    num_kills: int,
    titles: Sequence[str],
    seed: int = 0,
    way: Sequence[str] = tuple(COMMANDS),
) -> dict[str, Trial]:
    """The trial of each command of `titles`, `num_kills` shared among them; `way`: all that run, in their order."""
    make_set(folder / "set")
    place, rng = Place(folder / "set", folder / "before"), random.Random(seed)
    place.work.mkdir(parents=True)
    trials: dict[str, Trial] = {}
    for title in way:
        after = place.copy(folder / "after")
        undisturbed = launcher.start(*after.arguments(title))
        assert undisturbed["code"] == 0, (title, undisturbed)
        if title in titles:
            share = -(-(num_kills - sum(t.num_kills for t in trials.values())) // (len(titles) - len(trials)))
            trials[title] = try_command(launcher, title, place, after, share, rng)
        shutil.rmtree(place.root)
        after.root.rename(place.root)
        if len(trials) == len(titles):
            break
    return trials


def main() -> None:
    """Print a line for each command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=110)
    parser.add_argument("--only", nargs="+", choices=COMMANDS, default=list(COMMANDS))
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    launcher = Launcher(Path())
    with tempfile.TemporaryDirectory() as folder:
        trials = try_all(launcher, Path(folder), options.kills, options.only, options.seed)
    launcher.close()
    print(f"{'command':18} {'operations':>10} {'kills':>6} {'lost or differing':>18}")
    for title, trial in trials.items():
        print(f"{title:18} {trial.num_operations:10} {trial.num_kills:6} {trial.num_wrong:18}")
        print("".join(f"    {fault}\n" for fault in trial.wrong), end="")
    print(f"{sum(t.num_kills for t in trials.values())} kills, {sum(t.num_wrong for t in trials.values())} wrong")
    sys.exit(any(trial.wrong for trial in trials.values()))


if __name__ == "__main__":
    main()
