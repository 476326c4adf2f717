"""The estimate of label noise on simulated predictions."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from cleaner.scoring import label_noise_evidence
from cleaner.scoring.issue_probability import find_f1_threshold
from cleaner.scoring.label_noise import LabelNoise, NoiseEstimate
from cleaner.scoring.out_of_fold import NO_CLASS, OutOfFold
from tests.support.planted import predictions_of

K = 12


def simulate(
    kind: str, rate: float, num: int = 6000, seed: int = 0, sharpness: float = 2.0
) -> tuple[OutOfFold, np.ndarray, np.ndarray]:
    """Calibrated predictions of n images (drawn so that p is the true posterior), right labels and given ones."""
    rng = np.random.default_rng(seed)
    probs = softmax(sharpness * rng.normal(size=(num, K)))
    right = draw(probs, rng)
    given = flip(right, kind, rate, rng)
    return to_predictions(probs, given), right, given


def softmax(logits: np.ndarray) -> np.ndarray:
    probs: np.ndarray = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    return probs


def draw(probs: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    drawn: np.ndarray = (probs.cumsum(1) > rng.random((len(probs), 1))).argmax(1)
    return drawn


def flip(right: np.ndarray, kind: str, rate: float, rng: np.random.Generator) -> np.ndarray:
    given = right.copy()
    for i in np.flatnonzero(rng.random(len(right)) < rate):
        given[i] = (right[i] + (1 if kind == "pair" else rng.integers(1, K))) % K
    return given


def to_predictions(probs: np.ndarray, given: np.ndarray) -> OutOfFold:
    line, probs = np.arange(len(given)), probs.copy()
    own = probs[line, given]
    probs[line, given] = -1
    order = np.argsort(-probs, 1)[:, : probs.shape[1] - 1]
    classes = np.concatenate([given[:, None], order], 1)
    values = np.concatenate([own[:, None], np.take_along_axis(probs, order, 1)], 1)
    return predictions_of(classes, values.astype(np.float32))


def nobody(predictions: OutOfFold) -> np.ndarray:
    return np.full(len(predictions.classes), -1)


@pytest.mark.parametrize("kind", ["symmetric", "pair"])
@pytest.mark.parametrize("rate", [0.1, 0.3])
def test_the_estimate_finds_rate_destinations_and_who_is_wrong(kind: str, rate: float) -> None:
    predictions, right, given = simulate(kind, rate, sharpness=4.0)
    noise = NoiseEstimate(predictions, K, nobody(predictions)).final()
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


def look_alikes(
    num_classes: int, *, wrong: float, seed: int, num: int = 10_000
) -> tuple[OutOfFold, np.ndarray, np.ndarray]:
    """Predictions of a model that gives each image a fifth, more or less, to the class that looks like its own.

    `wrong` 0: the labels are right, and so is the model, which is unsure. Else so many are those of the other class,
    whatever the model says of the image: it has learned the noise.
    """
    rng = np.random.default_rng(seed)
    top = rng.integers(0, num_classes, num)
    share = 1 / (1 + np.exp(-rng.normal(1.4, 0.7, num)))
    probs = np.full((num, num_classes), 0.01 / num_classes)
    probs[np.arange(num), top], probs[np.arange(num), top ^ 1] = share, 1 - share
    probs /= probs.sum(1, keepdims=True)
    other = rng.random(num) < (wrong or 1 - share)
    given = np.where(other, top ^ 1, top)
    return to_predictions(probs, given), np.where(other & (wrong == 0), given, top), given


@pytest.mark.parametrize(("num_classes", "rate", "num"), [(6, 0.2, 10_000), (30, 0.3, 10_000), (100, 0.2, 30_000)])
def test_labels_between_look_alikes_do_not_pass_for_the_models_unsureness(
    num_classes: int, rate: float, num: int
) -> None:
    predictions, right, given = look_alikes(num_classes, wrong=rate, seed=4, num=num)
    noise = NoiseEstimate(predictions, num_classes, nobody(predictions)).final()
    found, wrong = noise.issue_prob > 0.5, given != right
    assert (found & wrong).sum() > 0.8 * wrong.sum()
    assert (found & wrong).sum() > 0.8 * found.sum()


@pytest.mark.parametrize("num_classes", [6, 40])
def test_a_models_unsureness_between_look_alikes_does_not_pass_for_noise(num_classes: int) -> None:
    predictions, right, given = look_alikes(num_classes, wrong=0, seed=5)
    assert np.array_equal(right, given)
    noise = NoiseEstimate(predictions, num_classes, nobody(predictions)).final()
    assert (noise.issue_prob > 0.5).mean() < 0.03
    assert noise.issue_prob.mean() < 0.1


def test_clean_labels_are_left_alone() -> None:
    predictions, _, _ = simulate("symmetric", 0.0, sharpness=6.0)
    noise = NoiseEstimate(predictions, K, nobody(predictions)).final()
    assert (noise.issue_prob > find_f1_threshold(noise.issue_prob)).mean() < 0.02
    assert noise.confusion_weight == 0


@pytest.mark.parametrize("kind", ["symmetric", "pair"])
@pytest.mark.parametrize("seed", [0, 1])
def test_a_model_too_sure_of_hard_images_is_not_taken_for_wrong_labels(kind: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    logits = rng.uniform(0, 12, (8000, 1)) * np.eye(K)[rng.integers(0, K, 8000)] + rng.normal(size=(8000, K))
    probs = softmax(logits)
    right = draw(probs, rng)
    given = flip(right, kind, 0.2, rng)
    shown = softmax(np.where(probs.max(1, keepdims=True) < 0.9, 2, 1) * logits)
    noise = NoiseEstimate(to_predictions(shown, given), K, np.full(8000, -1)).final()
    assert 0.1 < noise.clear < 0.5
    assert noise.issue_prob.mean() == pytest.approx((given != right).mean(), abs=0.015)
    off = ~np.eye(K, dtype=bool)
    if kind == "pair":  # all other destinations are as good as empty
        off &= ~np.eye(K, dtype=bool)[(np.arange(K) + 1) % K]
        assert noise.transition[off].mean() < 0.001
        in_rounds = NoiseEstimate(to_predictions(shown, given), K, np.full(8000, -1)).for_rounds()
        assert in_rounds.clear == 1 and in_rounds.issue_prob.mean() > noise.issue_prob.mean() + 0.01
    else:  # evenly spread, as it was drawn
        assert noise.transition[off].std() < 0.003


def people_or_chance(people: bool, num: int = 12_000) -> tuple[OutOfFold, np.ndarray, np.ndarray]:
    """Labels confused between two classes that look alike: by people, who err more on unclear images, or by chance.

    The model knows the right class. Of people's labels it learned how unsure they are, of chance nothing.
    """
    rng = np.random.default_rng(1)
    right = rng.integers(0, K, num)
    blur = rng.uniform(0.02, 0.45, num) if people else np.full(num, 0.2)
    given = np.where(rng.random(num) < blur, right ^ 1, right)
    shown = np.where(people, blur, rng.uniform(0, 0.1, num))
    probs = np.full((num, K), 1e-4)
    probs[np.arange(num), right ^ 1] += shown
    probs[np.arange(num), right] += 1 - shown
    return to_predictions(probs / probs.sum(1, keepdims=True), given), right, given


def test_what_people_confuse_is_found_with_predictions_that_they_trust() -> None:
    predictions, right, given = people_or_chance(people=True)
    wrong = given != right
    noise = NoiseEstimate(predictions, K, nobody(predictions), trusted=True).final()
    assert noise.dependence.weight == 1 and noise.confusion_weight > 0.05
    assert noise.issue_prob.mean() == pytest.approx(wrong.mean(), abs=0.04)
    found = noise.issue_prob > find_f1_threshold(noise.issue_prob)
    ours = NoiseEstimate(predictions, K, nobody(predictions)).final()
    found_by_ours = ours.issue_prob > find_f1_threshold(ours.issue_prob)
    assert (found & wrong).sum() / wrong.sum() > 0.9 > (found_by_ours & wrong).sum() / wrong.sum()
    assert ours.issue_prob.mean() < noise.issue_prob.mean()  # part of what it is unsure of is its own


def test_even_noise_is_the_class_s_alone() -> None:
    predictions, right, given = people_or_chance(people=False)
    for trusted in (False, True):
        noise = NoiseEstimate(predictions, K, nobody(predictions), trusted=trusted).final()
        assert noise.dependence.weight == 0 and noise.confusion_weight == 0
        assert noise.issue_prob.mean() == pytest.approx((given != right).mean(), abs=0.02)


def test_what_people_know_is_counted_and_noise_images_are_not() -> None:
    predictions, right, given = simulate("symmetric", 0.2, sharpness=1.0)
    known = nobody(predictions)
    known[:3000] = right[:3000]
    known[3000:3100] = NO_CLASS
    told = NoiseEstimate(predictions, K, known).final()
    rate = 1 - np.diag(told.transition).mean()
    assert rate == pytest.approx((given != right).mean(), abs=0.04)
    # what a person said of a row does not enter its own probability
    assert told.issue_prob[:3000].std() > 0.0 and not np.array_equal(
        told.issue_prob[:3000] > 0.5, (given != right)[:3000]
    )


def test_verdicts_on_unclear_images_do_not_pass_for_the_noise_of_clear_ones() -> None:
    predictions, right, given = simulate("symmetric", 0.1, sharpness=4.0)
    unclear = predictions.probs.max(1) < 0.7
    known = np.where(unclear & (given != right), right, -1)  # people looked for the wrong ones
    assert (known >= 0).sum() > 100
    told = NoiseEstimate(predictions, K, known).final()
    rate = 1 - np.average(np.diag(told.transition), weights=np.bincount(right, minlength=K))
    assert rate == pytest.approx(0.1, abs=0.02)


@pytest.mark.parametrize("chunk_rows", [37, 1000])
def test_chunks_of_any_size_give_the_same_estimate(chunk_rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    predictions, right, _ = people_or_chance(people=True)
    known = nobody(predictions)
    known[::40], known[5::400] = right[::40], NO_CLASS

    def estimate(rows: int) -> list[LabelNoise]:
        monkeypatch.setattr(label_noise_evidence, "CHUNK_ROWS", rows)
        found = NoiseEstimate(predictions, K, known)
        return [found.for_rounds(), found.final()]

    for whole, chunked in zip(estimate(len(known)), estimate(chunk_rows), strict=True):
        assert whole.dependence.weight > 0
        np.testing.assert_allclose(chunked.issue_prob, whole.issue_prob, atol=1e-6)
        np.testing.assert_allclose(chunked.transition, whole.transition, atol=1e-6)
        flagged = [n.issue_prob > find_f1_threshold(n.issue_prob) for n in (whole, chunked)]
        assert np.array_equal(*flagged) and flagged[0].any()
        assert np.array_equal(chunked.suggested, whole.suggested)
    again = estimate(chunk_rows)[1]
    assert again.issue_prob.tobytes() == chunked.issue_prob.tobytes()


def test_the_number_of_threads_changes_no_byte(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(label_noise_evidence, "CHUNK_ROWS", 150)
    predictions, right, _ = people_or_chance(people=True)
    known = nobody(predictions)
    known[::40] = right[::40]

    def estimate(num_threads: int) -> LabelNoise:
        monkeypatch.setattr(label_noise_evidence, "num_arithmetic_threads", lambda: num_threads)
        return NoiseEstimate(predictions, K, known).final()

    alone, together = estimate(1), estimate(4)
    assert alone.confusion_weight > 0, "both ways of counting are tried"
    for name in ("issue_prob", "suggested", "suggested_prob", "transition"):
        assert getattr(alone, name).tobytes() == getattr(together, name).tobytes()


def test_no_temporary_over_all_images_and_classes() -> None:
    num, num_others = 200_000, 11
    predictions, _, _ = simulate("symmetric", 0.2, num=num)
    estimate = NoiseEstimate(predictions, K, nobody(predictions))
    tracemalloc.start()
    estimate.final()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    kept = num * (1 + num_others) * (2 + 4)
    assert peak < kept, "less than what the evidence itself takes"


@pytest.mark.parametrize(("num_classes", "rate"), [(200, 0.1), (1500, 0.25)])
def test_of_many_classes_those_that_are_not_listed_count_too(num_classes: int, rate: float) -> None:
    """A model that is as unsure as the labels are wrong, and lists the likeliest of many classes alone."""
    num, rng, others = 20_000, np.random.default_rng(3), 31
    right = rng.integers(0, num_classes, num)
    given = np.where(rng.random(num) < rate, rng.integers(0, num_classes, num), right)
    # it learned the noise: what it gives to all other classes together is what is wrong
    probs = rng.gamma(4, size=(num, 1 + others)) * rate / (4 * num_classes)
    classes = rng.integers(0, num_classes, (num, 1 + others))
    classes[:, 0], classes[:, 1] = given, np.where(given == right, classes[:, 1], right)
    line, at_right = np.arange(num), (given != right).astype(int)
    probs[line, at_right] = rng.beta(40 * (1 - rate), 40 * rate, num)
    order = np.argsort(-probs[:, 1:], 1, kind="stable")
    classes[:, 1:], probs[:, 1:] = (np.take_along_axis(x[:, 1:], order, 1) for x in (classes, probs))
    predictions = predictions_of(classes, probs.astype(np.float32))
    noise = NoiseEstimate(predictions, num_classes, nobody(predictions)).final()
    wrong = given != right
    assert noise.issue_prob.mean() == pytest.approx(wrong.mean(), abs=0.03)
    found = noise.issue_prob > find_f1_threshold(noise.issue_prob)
    assert (found & wrong).sum() > 0.95 * max(found.sum(), wrong.sum())


def test_rounding_does_not_give_weight_to_classes_that_are_not_listed() -> None:
    """Where a model is sure, what its probabilities leave of 1 is a rounding error."""
    num_classes, num, rng = 400, 8000, np.random.default_rng(5)
    right = rng.integers(0, num_classes, num)
    given = np.where(rng.random(num) < 0.1, rng.integers(0, num_classes, num), right)
    classes = rng.integers(0, num_classes, (num, 32))
    classes[:, 0], classes[:, 1] = given, np.where(given == right, classes[:, 1], right)
    probs = np.full((num, 32), 1e-30)
    probs[np.arange(num), (given != right).astype(int)] = 1 - 1e-6
    predictions = predictions_of(classes, probs.astype(np.float32))
    evidence = label_noise_evidence.Evidence.of(predictions, num_classes, nobody(predictions))
    assert (evidence.log_probs[-1] < -60).all()
    noise = NoiseEstimate(predictions, num_classes, nobody(predictions)).final()
    assert np.array_equal(noise.issue_prob > 0.5, given != right)
