"""The estimate of label noise on simulated predictions, its threshold, and its recalibration."""

from __future__ import annotations

import numpy as np
import pytest

from cleaner.scoring.label_noise import Candidates, find_f1_threshold, fit_label_noise, recalibrate

K = 12


def simulate(
    kind: str, rate: float, num: int = 6000, seed: int = 0, sharpness: float = 2.0
) -> tuple[Candidates, np.ndarray, np.ndarray]:
    """Calibrated predictions of n images (drawn so that p is the true posterior), right labels and given ones."""
    rng = np.random.default_rng(seed)
    logits = sharpness * rng.normal(size=(num, K))
    probs = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    right = (probs.cumsum(1) > rng.random((num, 1))).argmax(1)
    given = right.copy()
    for i in np.flatnonzero(rng.random(num) < rate):
        given[i] = (right[i] + (1 if kind == "pair" else rng.integers(1, K))) % K
    own = probs[np.arange(num), given]
    probs[np.arange(num), given] = -1
    order = np.argsort(-probs, 1)[:, : K - 1]
    classes = np.concatenate([given[:, None], order], 1)
    values = np.concatenate([own[:, None], np.take_along_axis(probs, order, 1)], 1)
    return Candidates(classes, values.astype(np.float32)), right, given


def nobody(candidates: Candidates) -> np.ndarray:
    return np.full(len(candidates.classes), -1)


@pytest.mark.parametrize("kind", ["symmetric", "pair"])
@pytest.mark.parametrize("rate", [0.1, 0.3])
def test_the_estimate_finds_rate_destinations_and_who_is_wrong(kind: str, rate: float) -> None:
    candidates, right, given = simulate(kind, rate, sharpness=4.0)
    noise = fit_label_noise(candidates, K, nobody(candidates))
    wrong = given != right
    assert noise.issue_prob.mean() == pytest.approx(wrong.mean(), abs=0.03)
    assert np.allclose(noise.transition.sum(1), 1, atol=1e-4) and (noise.transition >= 0).all()
    neighbour = np.mean([noise.transition[c, (c + 1) % K] for c in range(K)])
    assert neighbour == pytest.approx(rate if kind == "pair" else rate / (K - 1), abs=0.03)
    found = noise.issue_prob > 0.5
    assert (found & wrong).sum() / found.sum() > 0.75
    # calibrated: in each third of the unsure ones the share that is wrong is the mean probability
    unsure = (noise.issue_prob > 0.1) & (noise.issue_prob < 0.9)
    for part in np.array_split(np.flatnonzero(unsure)[np.argsort(noise.issue_prob[unsure])], 3):
        assert wrong[part].mean() == pytest.approx(noise.issue_prob[part].mean(), abs=0.1)
    sure = found & wrong & (noise.suggested_prob > 0.9)
    assert (noise.suggested[sure] == right[sure]).mean() > 0.9


def test_clean_labels_are_left_alone() -> None:
    candidates, _, _ = simulate("symmetric", 0.0)
    noise = fit_label_noise(candidates, K, nobody(candidates))
    assert (noise.issue_prob > find_f1_threshold(noise.issue_prob)).mean() < 0.02
    assert noise.confused == 0


def test_noise_that_follows_confusion_is_noticed() -> None:
    rng = np.random.default_rng(1)
    block = np.kron(np.eye(K // 2), np.ones((2, 2)))  # classes 2i and 2i + 1 look alike
    logits = 4 * np.eye(K)[rng.integers(0, K, 6000)] @ (0.6 * block + 0.4 * np.eye(K)) + rng.normal(size=(6000, K))
    probs = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    right = (probs.cumsum(1) > rng.random((6000, 1))).argmax(1)
    given = np.where(rng.random(6000) < 0.2, right ^ 1, right)
    own = probs[np.arange(6000), given]
    probs[np.arange(6000), given] = -1
    order = np.argsort(-probs, 1)[:, : K - 1]
    values = np.concatenate([own[:, None], np.take_along_axis(probs, order, 1)], 1).astype(np.float32)
    noise = fit_label_noise(Candidates(np.concatenate([given[:, None], order], 1), values), K, np.full(6000, -1))
    assert noise.follows_confusion > 0.5 and noise.confused > 0


def test_what_people_know_is_counted_and_noise_images_are_not() -> None:
    candidates, right, given = simulate("symmetric", 0.2, sharpness=1.0)
    known = nobody(candidates)
    known[:3000] = right[:3000]
    known[3000:3100] = -2
    told = fit_label_noise(candidates, K, known)
    rate = 1 - np.diag(told.transition).mean()
    assert rate == pytest.approx((given != right).mean(), abs=0.04)
    # what a person said of a row does not enter its own probability
    assert told.issue_prob[:3000].std() > 0.0 and not np.array_equal(
        told.issue_prob[:3000] > 0.5, (given != right)[:3000]
    )


def test_the_threshold_is_half_the_best_expected_f1() -> None:
    rng = np.random.default_rng(0)
    prob = rng.beta(0.3, 1.0, 20_000).astype(np.float32)
    expected = {t: 2 * prob[prob > t].sum() / ((prob > t).sum() + prob.sum()) for t in np.linspace(0.05, 0.95, 181)}
    best = max(expected, key=lambda t: expected[t])
    assert find_f1_threshold(prob) == pytest.approx(np.clip(best, 0.3, 0.5), abs=0.01)
    assert find_f1_threshold(prob) == pytest.approx(np.clip(max(expected.values()) / 2, 0.3, 0.5), abs=0.01)
    assert find_f1_threshold(np.full(3, np.nan, np.float32)) == 0.5


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
    shown[7] = np.nan
    assert np.isnan(recalibrate(shown, reviewed, wrong)[7])
