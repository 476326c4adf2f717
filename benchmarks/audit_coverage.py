"""How often an audit passes a set that it should not, when people follow the advice to look on.

    python benchmarks/audit_coverage.py [--runs 1000] [--size 20000] [--most 3000]

Each set holds one bad image more than the goal allows (.1, 1, 5 and 10 %). The person looks as often as the plan says,
then as many more as the tool advises, until the goal is shown or `--most` looks are done. Columns:

  ours              share of sets passed falsely by the tool's bound, asked after every look
  exact             by the exact bound for one number of looks (Clopper-Pearson), looking on by its own advice
  exact, 300 looks  by the same bound, the number fixed beforehand
  looks at …        looks that show the goal, at true shares of 0, a quarter and half of it: ours, median
  exact …           those of the exact bound, had the number been fixed beforehand and the finds been as expected
"""

from __future__ import annotations

import argparse

import numpy as np
import pandas as pd

from cleaner.scoring.audit import draw_rows, upper_bound, watch_answers

GOALS = (0.001, 0.01, 0.05, 0.1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--size", type=int, default=20_000)
    parser.add_argument("--most", type=int, default=3000)
    args = parser.parse_args()
    rows = []
    for goal in GOALS:
        draws = [draw_rows(args.size, args.most, seed=i, stream=0) for i in range(args.runs)]
        bad = np.arange(args.size) < round(args.size * goal) + 1
        found = np.stack([np.cumsum(bad[d]) for d in draws])
        row = {"goal": goal, "ours": np.mean([passes(bad[d], args.size, goal) for d in draws])}
        exact = limits(goal, args.most)
        row |= {"exact": np.mean([follow(f, exact) for f in found])}
        row |= {"exact, 300 looks": np.mean([upper_bound(int(f[299]), 300) <= goal for f in found])}
        for part in (0.0, 0.25, 0.5):
            some = draws[: max(20, args.runs // 20)]
            good = np.arange(args.size) < round(args.size * goal * part)
            ours = [looks(good[d], args.size, goal) for d in some]
            row |= {f"looks at {part:g} goal": np.median(ours), f"exact {part:g}": exact_looks(goal, part, args.most)}
        rows.append(row)
    print(pd.DataFrame(rows).to_string(index=False, float_format="{:.3f}".format))


def looks(answers: np.ndarray, size: int, goal: float) -> float:
    """Looks after which the goal is shown; infinite if it is not."""
    sequence = watch_answers(0, 0, size, ())
    for number, is_bad in enumerate(answers, 1):
        sequence.draw(bool(is_bad))
        if sequence.upper <= goal * size:
            return number
    return np.inf


def passes(answers: np.ndarray, size: int, goal: float) -> bool:
    """Whether the goal is shown at any look, which no advice can exceed."""
    return np.isfinite(looks(answers, size, goal))


def limits(goal: float, most: int) -> np.ndarray:
    """The fewest looks for 0, 1, 2, … finds by which the exact bound shows the goal, up to `most`."""
    needed, num = [], 1
    while num <= most:
        while num <= most and upper_bound(len(needed), num) > goal:
            num += 1
        needed.append(num)
    return np.array(needed)


def follow(found: np.ndarray, needed: np.ndarray) -> bool:
    """Whether the exact bound passes a set of which (most,) `found` are bad after so many looks."""
    num = int(needed[0])
    while num <= len(found):
        finds = int(found[num - 1])
        if finds >= len(needed):
            return False
        if needed[finds] <= num:
            return True
        num = int(needed[finds])
    return False


def exact_looks(goal: float, part: float, most: int) -> float:
    """Looks fixed beforehand by which the exact bound shows the goal, had they found their expected number."""
    for num in range(1, most + 1):
        if upper_bound(round(num * goal * part), num) <= goal:
            return num
    return np.inf


if __name__ == "__main__":
    main()
