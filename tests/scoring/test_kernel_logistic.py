"""Kernel logistic regression against scikit-learn's, and its held-out scores against models fitted anew."""

from __future__ import annotations

import numpy as np
from sklearn.linear_model import LogisticRegression

from cleaner.scoring.kernel_logistic import fit_kernel_logistic

NUM = 240
RNG = np.random.default_rng(0)
X = RNG.normal(size=(NUM, 6))
Y = X[:, 0] + 0.7 * RNG.normal(size=NUM) > 1.0
LINEAR = X @ X.T


def test_with_a_linear_kernel_it_is_plain_logistic_regression() -> None:
    plain = LogisticRegression(C=0.5, class_weight="balanced", tol=1e-8).fit(X, Y).decision_function(X)
    model = fit_kernel_logistic(LINEAR, Y, 0.5, np.arange(NUM))
    assert np.allclose(model.log_odds(LINEAR), plain, atol=0.05)


def test_held_out_scores_are_those_of_models_without_the_row() -> None:
    kernel = np.exp(-((X[:, None] - X[None]) ** 2).sum(2) / 12)
    model = fit_kernel_logistic(kernel, Y, 10.0, np.arange(NUM))
    for row in range(0, NUM, 12):
        rest = np.arange(NUM) != row
        again = fit_kernel_logistic(kernel[np.ix_(rest, rest)], Y[rest], 10.0, np.arange(NUM - 1))
        assert abs(again.log_odds(kernel[[row]][:, rest])[0] - model.held_out[row]) < 0.2


def test_copies_are_held_out_together() -> None:
    twice = np.repeat(np.arange(NUM), 2)
    noise = np.random.default_rng(1).random(NUM) < 0.5  # nothing to learn: a copy would give each row away
    kernel = np.exp(-((X[:, None] - X[None]) ** 2).sum(2))[np.ix_(twice, twice)] + 1e-9 * np.eye(2 * NUM)
    apart = fit_kernel_logistic(kernel, noise[twice], 100.0, np.arange(2 * NUM)).held_out
    together = fit_kernel_logistic(kernel, noise[twice], 100.0, twice).held_out
    assert ((apart > 0) == noise[twice]).mean() > 0.95
    assert 0.35 < ((together > 0) == noise[twice]).mean() < 0.65
