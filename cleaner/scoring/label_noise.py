"""How probable is it that a given label is wrong, from out-of-fold predictions alone: see docs/methods.md."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from cleaner.scoring import label_noise_em as em
from cleaner.scoring.instance_dependence import InstanceDependence, find_instance_dependence
from cleaner.scoring.label_noise_evidence import SAMPLE_ROWS, Chunk, Evidence
from cleaner.scoring.out_of_fold import OutOfFold

_FIRST_STEPS, _MORE_STEPS, _INNER_STEPS = 6, 2, 5
_LAST_SPREAD_ROWS = 5.0
"""Destinations are shrunk by this many images in the last steps over all images."""
_CLEAR = 0.98
"""An image is clear where the model gives one class more than this."""
_MIN_CLEAR = 0.1
"""If a smaller share of the images is clear, all of them count."""
_DEPENDENT_STEPS = 25
_ROWS_OF_CLASS, _MOST_ROWS = 500, 200_000
"""Of the sample on which the start is chosen: with few images of a class its confusions are not known well enough.
Chosen on synthetic sets of 200 and 1,000 classes alone; sets of fewer than 25,000 images are looked at whole."""


@dataclass(frozen=True)
class _Unsureness:
    """What a model's unsureness stands for where noise depends on the instance: a prior, for labels cannot tell."""

    sharpness: float
    """Its logits are multiplied by this: above 1 the labellers are taken to be less sure than the model."""
    confusion_weight: float
    """Where EM starts: the likelihood is flat, and EM stays near."""


_OWN_HEADS, _TRUSTED = _Unsureness(1.0, 0.1), _Unsureness(3.0, 0.2)
"""Chosen on CIFAR-10N's human labels: our heads on aggre and random1, published networks on aggre and worst."""


@dataclass(frozen=True)
class LabelNoise:
    """The estimated noise of n labels."""

    issue_prob: np.ndarray
    """(n,) float32: probability that the given label is wrong."""
    suggested: np.ndarray
    """(n,) int64: the most probable other class; -1: none."""
    suggested_prob: np.ndarray
    """(n,) float32: probability that it is the right one."""
    transition: np.ndarray
    """(K, K) float32: row y, column g: share of class y's images whose given label is g; rows sum to 1."""
    temperature: float
    """Logits were divided by it."""
    dependence: InstanceDependence
    """The evidence that noise depends on the instance."""
    confusion_weight: float
    """Share of the labels that were drawn from what the image looks like, 0 .. 1; 0 without that evidence."""
    clear: float
    """Share of the images that the transition matrix was learned from."""


class NoiseEstimate:
    """Which labels are wrong, and how labels go wrong, from out-of-fold predictions alone.

    The right label y of an image x with given label g is latent: P(y | x, g) is proportional to p(x | y) pi(y)
    T(g | y), with p(x | y) from the predictions under a temperature, pi the prior of the right classes, T the
    transition matrix. EM (Dempster, Laird & Rubin 1977; Dawid & Skene 1979 with one annotator and the model as
    evidence) fits T, pi and, by the likelihood of the given labels, the temperature. Noise rates and destinations are
    shrunk towards those of all classes.

    People err where images look alike, which T alone cannot express. A share c of the labels is then drawn from what
    an image looks like: P(g | x, y) = (1 - c) T(g | y) + c q(g | x), with q the calibrated prediction. How much of a
    model's unsureness is the labellers' and how much its own, given labels cannot tell: both predict them equally
    well. Whether noise depends on the instance at all they can (`find_instance_dependence`), and both estimates are
    averaged by that evidence.
    """

    def __init__(self, predictions: OutOfFold, num_classes: int, decided: np.ndarray, *, trusted: bool = False) -> None:
        """`decided` (n,) int64: the right class where a person gave it, else UNDECIDED or NO_CLASS.

        `trusted`: people brought the predictions, of a model that they hold to be better than the labels; what it is
        unsure of counts as what labellers confuse.
        """
        self._evidence = Evidence.of(predictions, num_classes, decided)
        self._unsureness = _TRUSTED if trusted else _OWN_HEADS
        self._dependence = find_instance_dependence(predictions, decided)
        self._everyone = em.Counted.of(self._evidence, np.ones(len(decided), bool))
        first = _run(self._evidence, self._choose_start(), self._everyone, _FIRST_STEPS - 2)
        self._first = _run(self._evidence, replace(first, spread_rows=_LAST_SPREAD_ROWS), self._everyone, 2)

    def _choose_start(self) -> em.Parameters:
        """Where EM starts, for it stays near: from the start that makes labels it has not counted likelier.

        From noise that is spread evenly EM may take labels that go between two classes for the model's unsureness; from
        the predictions' confusions, its errors for noise. Each counts one half of a sample, and is judged by the other.
        """
        wanted = max(SAMPLE_ROWS, min(_ROWS_OF_CLASS * self._evidence.num_classes, _MOST_ROWS))
        sample = self._evidence.sample_of(wanted)
        half = np.arange(len(sample.order)) % 2 == 0
        counted = em.Counted.of(sample, half)
        evenly, by_predictions = em.start(sample), em.start_from_predictions(sample, counted)
        found = [_run(sample, one, counted, _FIRST_STEPS - 2) for one in (evenly, by_predictions)]
        even, confused = (em.log_likelihood(sample, sample.chunks(), ~half, one) for one in found)
        if even >= confused:
            return em.start(self._evidence)
        return em.start_from_predictions(self._evidence, self._everyone)

    def for_rounds(self) -> LabelNoise:
        """The estimate that weights the rows of the next round."""
        return self._result(self._first, self._everyone)

    def final(self) -> LabelNoise:
        """The calibrated probabilities, not meant for further rounds.

        A model errs on hard images, and EM takes such errors for wrong labels. On clear images it hardly errs, so T is
        learned from those alone. In the rounds that would do harm: while the model itself has learned much noise, it is
        clear about the wrong images, and severe weights are what breaks the noise.
        """
        evidence = self._evidence
        clear = np.concatenate([found for _, found in evidence.map(self._is_clear)])
        counted = self._everyone
        if (clear & evidence.free).sum() >= max(1, _MIN_CLEAR * evidence.free.sum()):
            counted = em.Counted.of(evidence, clear, finds_spread=True)
        return self._result(_run(evidence, self._first, counted, _MORE_STEPS), counted)

    def _is_clear(self, chunk: Chunk) -> np.ndarray:
        """Which of the images (c,) bool are clear."""
        clear: np.ndarray = em.class_probs(chunk, self._first)[: chunk.num_listed].max(0) > _CLEAR
        return clear

    @cached_property
    def _dependent(self) -> em.Parameters:
        """Where noise depends on the instance."""
        parameters = replace(
            self._first,
            temperature=self._first.temperature / self._unsureness.sharpness,
            confusion_weight=self._unsureness.confusion_weight,
        )
        for _ in range(_DEPENDENT_STEPS):
            parameters = em.step(self._evidence, self._everyone, parameters)
        return parameters

    def _result(self, parameters: em.Parameters, counted: em.Counted) -> LabelNoise:
        """The estimate by class, averaged with the one by instance as far as there is evidence for it."""
        evidence, weight = self._evidence, self._dependence.weight
        num = len(evidence.order)
        issue_prob, suggested_prob = np.empty(num, np.float32), np.empty(num, np.float32)
        suggested = np.empty(num, np.int64)
        dependent = self._dependent if weight else None

        def average(chunk: Chunk) -> np.ndarray:
            posterior = em.posterior(evidence, chunk, parameters)
            if dependent is not None:
                posterior *= 1 - weight
                posterior += weight * em.posterior(evidence, chunk, dependent)
            return posterior

        for chunk, posterior in evidence.map(average):
            images, line = evidence.order[chunk.part], np.arange(len(chunk.given))
            issue_prob[images] = np.clip(1 - posterior[0], 0, 1)
            best = 1 + posterior[1 : chunk.num_listed].argmax(0)
            is_there = chunk.log_probs[best, line] > -np.inf
            suggested[images] = np.where(is_there, chunk.classes[best, line], -1)
            suggested_prob[images] = posterior[best, line]
        return LabelNoise(
            issue_prob=issue_prob,
            suggested=suggested,
            suggested_prob=suggested_prob,
            transition=parameters.transition,
            temperature=parameters.temperature,
            dependence=self._dependence,
            confusion_weight=weight * dependent.confusion_weight if dependent is not None else 0.0,
            clear=float(counted.rows.mean()),
        )


def _run(evidence: Evidence, parameters: em.Parameters, counted: em.Counted, num_steps: int) -> em.Parameters:
    """Steps of EM; every few, the temperature is chosen again."""
    for _ in range(num_steps):
        parameters = em.choose_temperature(evidence, parameters)
        for _ in range(_INNER_STEPS):
            parameters = em.step(evidence, counted, parameters)
    return parameters
