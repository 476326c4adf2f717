"""How often the intervals of `cleaner verify` hold the truth, and how often they call no difference one.

    python benchmarks/verify_coverage.py [--trials 200]

Pairs of models are drawn whose true difference is known: equal weights over images and seeds that vary in several
ways, two strata of different weight, and classes of which a few are hurt. An interval should hold the truth in 95 % of
the trials, and a verdict other than "cannot tell" on equal models should come in 5 %. Ends with 1 where a share is
further from that than two and a half standard errors. tests/scoring/test_verification.py runs a short form.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass

import numpy as np

from cleaner.scoring.verification import CONFIDENCE, Difference, compare_by_class, compare_models


@dataclass(frozen=True)
class Case:
    """How models differ: on average, from image to image and from seed to seed."""

    num_images: int
    num_seeds: int
    effect: float
    image_sd: float
    seed_sd: float


CASES = {
    "chance": Case(300, 3, 0.0, 0.0, 0.0),  # the same set twice
    "images": Case(300, 3, 0.0, 0.15, 0.01),
    "seeds": Case(300, 3, 0.0, 0.0, 0.1),  # they dominate: three of them must not pass for many
    "difference": Case(150, 5, 0.1, 0.1, 0.02),
    "few_images": Case(25, 3, 0.0, 0.1, 0.05),
}


MIN_FOUND, MAX_WRONG = 28 / 30, 0.1
"""Of classes that were hurt; 5 % of the names may be wrong, and a little luck."""


def draw_pair(rng: np.random.Generator, case: Case) -> tuple[np.ndarray, np.ndarray]:
    """Two models (seeds, images) that are right about an image with its own probability; the second is better.

    Probabilities stay within 0 .. 1 by construction, so that `case.effect` is the true difference.
    """
    base = rng.uniform(0.35, 0.65, case.num_images)
    gain = case.effect + rng.uniform(-1, 1, case.num_images) * case.image_sd * np.sqrt(3)
    shift = rng.uniform(-1, 1, (2, case.num_seeds, 1)) * case.seed_sd * np.sqrt(3)
    before = rng.random((case.num_seeds, case.num_images)) < base + shift[0]
    after = rng.random((case.num_seeds, case.num_images)) < base + gain + shift[1]
    return before, after


def compare(before: np.ndarray, after: np.ndarray, seed: int = 0) -> Difference:
    """The difference of two models over images of equal weight."""
    num = before.shape[1]
    return compare_models(before, after, weights=np.ones(num), strata=np.zeros(num, np.int64), seed=seed)


def try_case(case: Case, num_trials: int) -> tuple[float, float]:
    """The shares of trials whose interval holds the truth, and whose verdict is not "cannot tell"."""
    rng = np.random.default_rng(1)
    results = [compare(*draw_pair(rng, case), seed=i) for i in range(num_trials)]
    covered = np.mean([r.low <= case.effect <= r.high for r in results])
    return float(covered), float(np.mean([r.verdict != "cannot_tell" for r in results]))


def try_weighted(num_trials: int) -> float:
    """The share of trials whose interval holds the truth, over a large stratum and a small one with noise in it."""
    rng = np.random.default_rng(4)
    sizes, looks, gain, good = np.array([5000, 300]), np.array([120, 50]), (0.02, -0.4), (1.0, 0.6)
    truth = sum(n * g * s for n, g, s in zip(sizes, gain, good, strict=True)) / float(sizes @ np.array(good))
    covered = 0
    for trial in range(num_trials):
        strata = np.repeat([0, 1], looks)
        is_good = rng.random(len(strata)) < np.array(good)[strata]
        weights = np.where(is_good, (sizes / looks)[strata], 0.0)
        before = rng.random((3, len(strata))) < 0.6
        after = rng.random((3, len(strata))) < (0.6 + np.array(gain))[strata]
        before[:, ~is_good] = after[:, ~is_good] = False
        result = compare_models(before, after, weights=weights, strata=strata, seed=trial)
        covered += result.low <= truth <= result.high
    return covered / num_trials


def try_classes(num_trials: int) -> tuple[float, float]:
    """Of three classes in forty that were hurt, the share that is named; and other names, as a share of all names."""
    rng = np.random.default_rng(5)
    num_classes, hurt = 40, {3, 17, 31}
    targets = np.repeat(np.arange(num_classes), 30)
    wrong = found = 0
    for trial in range(num_trials):
        before, after = draw_pair(rng, Case(len(targets), 5, 0.0, 0.1, 0.01))
        after[:, np.isin(targets, list(hurt))] = False
        result = compare_by_class(before, after, targets, num_classes, weights=np.ones(len(targets)), seed=trial)
        named = {k for k, v in enumerate(result.verdicts()) if v == "hurt"}
        found += len(named & hurt)
        wrong += len(named - hurt) + result.verdicts().count("helped")
    return found / (num_trials * len(hurt)), wrong / max(1, found + wrong)


def slack(num_trials: int) -> float:
    """Two and a half standard errors of a share of 95 % over the trials."""
    return 2.5 * float(np.sqrt(CONFIDENCE * (1 - CONFIDENCE) / num_trials))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=200)
    num_trials = parser.parse_args().trials
    lowest = CONFIDENCE - slack(num_trials)
    failed = False
    for name, case in CASES.items():
        covered, named = try_case(case, num_trials)
        failed |= covered < lowest or (case.effect == 0 and named > 1 - lowest)
        print(f"{name:12} holds the truth {covered:6.1%}  named a difference {named:6.1%}")
    covered = try_weighted(num_trials)
    print(f"{'two strata':12} holds the truth {covered:6.1%}")
    found, wrong = try_classes(max(1, num_trials // 20))
    print(f"{'classes':12} named if hurt   {found:6.1%}  wrong of the names   {wrong:6.1%}")
    sys.exit(int(failed or covered < lowest or found < MIN_FOUND or wrong > MAX_WRONG))


if __name__ == "__main__":
    main()
