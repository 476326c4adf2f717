"""The threshold of the issue probability, and its recalibration by verdicts."""

from __future__ import annotations

import numpy as np
import pytest

from cleaner.scoring.issue_probability import find_f1_threshold, recalibrate


def test_the_threshold_is_half_the_best_expected_f1() -> None:
    rng = np.random.default_rng(0)
    prob = rng.beta(0.3, 1.0, 20_000).astype(np.float32)
    expected = {t: 2 * prob[prob > t].sum() / ((prob > t).sum() + prob.sum()) for t in np.linspace(0.05, 0.95, 181)}
    best = max(expected, key=lambda t: expected[t])
    assert find_f1_threshold(prob) == pytest.approx(np.clip(best, 0.3, 0.5), abs=0.01)
    assert find_f1_threshold(prob) == pytest.approx(np.clip(max(expected.values()) / 2, 0.3, 0.5), abs=0.01)
    assert find_f1_threshold(np.full(3, np.nan, np.float32)) == 0.5


def test_the_two_ends_are_mended_apart() -> None:
    rng = np.random.default_rng(0)
    shown = rng.uniform(0.001, 0.999, 20_000).astype(np.float32)
    true = np.where(shown > 0.5, 0.5 + 0.6 * (shown - 0.5), shown)  # only the sure finds are too sure
    wrong = rng.random(20_000) < true
    mended = recalibrate(shown, rng.random(20_000) < 0.05, wrong)
    for low, high in ((0.0, 0.2), (0.8, 1.0)):
        part = (shown >= low) & (shown < high)
        assert abs(mended[part].mean() - true[part].mean()) < 0.04


def test_verdicts_recalibrate() -> None:
    rng = np.random.default_rng(0)
    true = rng.uniform(0, 1, 4000)
    wrong = rng.random(4000) < true
    logit = np.log(true / (1 - true))
    shown = (1 / (1 + np.exp(-(2 * logit - 1)))).astype(np.float32)  # over-confident, and shifted
    reviewed = rng.random(4000) < 0.2
    mended = recalibrate(shown, reviewed, wrong)
    assert np.abs(mended - true).mean() < 0.05 < np.abs(shown - true).mean()
    # a handful moves little; none moves nothing; NaN stays
    few = np.zeros(4000, bool)
    few[:3] = True
    assert np.abs(recalibrate(shown, few, wrong) - shown).max() < 0.2
    assert recalibrate(shown, np.zeros(4000, bool), wrong) is shown
    # more remains more, also where verdicts contradict the order
    backwards = recalibrate(shown, reviewed, ~wrong)
    assert (np.diff(backwards[np.argsort(shown, kind="stable")]) >= 0).all()
    shown[7] = np.nan
    assert np.isnan(recalibrate(shown, reviewed, wrong)[7])
