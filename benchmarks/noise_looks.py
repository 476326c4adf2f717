"""Looks from nothing: how much noise is left after how many, with truth in the place of a person.

    python benchmarks/noise_looks.py DATA [--sets NAME …] [--draws 5] [--work DIR]

DATA and the sets are those of noise_decisions.py, and each set is judged by default weights learned on the others.
Pages of 25 looks, from the cold start on, the model refitted after each, as `cleaner review noise` does; an unclear
image is answered `unsure`. After 0, 50, … 300 looks, means over draws of the random order:

  left      noise among the kept, in per cent (unclear images aside), after the stage has run on all answers: noise by
            answer is out, and so is what the model finds above 0.9
  answers   the same, without what the model finds
  out       right images thrown out, in per cent
  estimate  noise among the kept by the sum of probabilities
  bound     its upper bound by the random looks alone
  beat      answers, by the loop to beat: logistic regression on style and embedding (C = 0.01), 40 from the top and 10
            at random for 50 looks (the first 50 all at random), refitted after them
  random    answers, by random looks

and the share of runs in which the bound held after every page.
"""

from __future__ import annotations

import argparse
import sys
import warnings
from pathlib import Path

import noise_decisions as trial
import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits

from cleaner.scoring.noise_looks import (
    choose_looks,
    estimate_noise,
    expected_share_left,
    random_order,
    replay_random_looks,
)
from cleaner.scoring.noise_model import NoiseSeeds

LOOKS = 300
SHOWN = 50
PAGE = 25
BEAT_RANDOM = 10
SETS = [name for name in trial.SETS if name not in ("tiny50", "sample_data")]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--sets", nargs="+", choices=list(trial.SETS), default=SETS)
    parser.add_argument("--draws", type=int, default=5)
    parser.add_argument("--work", type=Path, default=Path("/tmp/cleaner-noise"))
    args = parser.parse_args()
    warnings.filterwarnings("ignore")
    sets = {name: trial.load(name, args.data, args.work) for name in trial.SETS}
    rows = []
    for name in args.sets:
        one = trial.leave_out(name, sets)
        runs = [pd.DataFrame(ours(one, draw)) for draw in range(args.draws)]
        table = sum(runs) / len(runs)
        table["beat"] = np.mean([beat(one, draw) for draw in range(args.draws)], 0)
        table["random"] = np.mean([at_random(one, draw) for draw in range(args.draws)], 0)
        held = np.mean([run["holds"].iloc[-1] for run in runs])
        table = table.drop(columns="holds").assign(set=name, looks=np.arange(0, LOOKS + 1, SHOWN), held=held)
        rows.append(table)
        print(table.to_string(float_format="{:.2f}".format), file=sys.stderr, flush=True)
    full = pd.concat(rows).set_index(["set", "looks"])
    print(full.to_string(float_format="{:.2f}".format))


def ours(one: trial.Set, draw: int) -> dict[str, list[float]]:
    """One run, page by page."""
    order = random_order([str(row) for row in range(len(one.is_noise))], draw)
    answered, holds = np.zeros(0, np.int64), True
    figures: dict[str, list[float]] = {k: [] for k in ("left", "answers", "out", "estimate", "bound", "holds")}
    for num in range(0, LOOKS + 1, PAGE):
        is_answered = np.isin(np.arange(len(order)), answered)
        is_seed = is_answered & one.is_clear
        seeds = NoiseSeeds(is_seed, is_seed & one.is_noise)
        looks = replay_random_looks(order, answered, one.is_noise | ~one.is_clear)
        holds &= looks.upper_left >= (one.is_noise & ~is_answered).sum()
        noise_prob = estimate_noise(one.sight, seeds).noise_prob
        if num % SHOWN == 0:
            found = trial.rounds_of(one.sight, seeds, draw).rounds[-1].noise_prob > trial.THRESHOLD
            dropped = np.where(is_answered, one.is_noise, found)
            right = ~one.is_noise & one.is_clear
            figures["left"].append(left(one, dropped))
            figures["answers"].append(left(one, is_answered & one.is_noise))
            figures["out"].append(100 * (dropped & right).sum() / right.sum())
            figures["estimate"].append(100 * expected_share_left(noise_prob, is_answered, dropped))
            unsure = (is_answered & ~one.is_clear & ~dropped).sum()
            figures["bound"].append(100 * min(1.0, (looks.upper_left + unsure) / (~dropped).sum()))
            figures["holds"].append(float(holds))
        chosen = choose_looks(noise_prob, is_answered, looks.open_rows, PAGE, one.sight.contents[0])
        answered = np.concatenate([answered, chosen.rows])
    return figures


def left(one: trial.Set, dropped: np.ndarray) -> float:
    return 100 * float(one.is_noise[one.is_clear & ~dropped].mean())


def beat(one: trial.Set, draw: int) -> list[float]:
    """The plain loop to beat."""
    rng = np.random.default_rng(draw)
    x = np.concatenate([kind(np.arange(len(one.is_noise))) for kind in one.sight.contents], 1)
    is_answered, result = np.zeros(len(x), bool), []
    for _ in range(0, LOOKS + 1, SHOWN):
        result.append(left(one, is_answered & one.is_noise))
        known = is_answered & one.is_clear
        free = rng.permutation(np.flatnonzero(~is_answered))
        if len(np.unique(one.is_noise[known])) == 2:
            with threadpool_limits(1):
                head = LogisticRegression(C=0.01, max_iter=500).fit(x[known], one.is_noise[known])
            top = free[np.argsort(-head.decision_function(x[free]), kind="stable")][: SHOWN - BEAT_RANDOM]
            free = np.concatenate([top, free[~np.isin(free, top)]])
        is_answered[free[:SHOWN]] = True
    return result


def at_random(one: trial.Set, draw: int) -> list[float]:
    order = np.random.default_rng(draw).permutation(len(one.is_noise))
    seen = [np.isin(np.arange(len(order)), order[:num]) for num in range(0, LOOKS + 1, SHOWN)]
    return [left(one, s & one.is_noise) for s in seen]


if __name__ == "__main__":
    main()
