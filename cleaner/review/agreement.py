"""How well annotators agree: Cohen's kappa."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from itertools import combinations


@dataclass(frozen=True)
class Agreement:
    """How far two annotators agree on what both judged."""

    first: str
    second: str
    num_both: int
    num_equal: int
    kappa: float
    """Cohen's kappa, -1 .. 1: 0 no better than chance, 1 always equal; NaN where it is not defined."""


def compute_kappa(pairs: list[tuple[Hashable, Hashable]]) -> float:
    """Cohen's kappa of two raters' answers, one pair an item: (observed - chance) / (1 - chance).

    NaN without items, and where both always gave the same one answer.
    """
    if not pairs:
        return float("nan")
    num = len(pairs)
    observed = sum(a == b for a, b in pairs) / num
    first, second = Counter(a for a, _ in pairs), Counter(b for _, b in pairs)
    chance = sum(first[answer] * second[answer] for answer in first) / num**2
    return float("nan") if chance == 1 else (observed - chance) / (1 - chance)


def compute_agreements(answers: Mapping[str, Mapping[Hashable, Hashable]]) -> list[Agreement]:
    """Every pair of annotators who judged an item in common. `answers`: annotator -> item -> answer."""
    found = []
    for first, second in combinations(sorted(answers), 2):
        both = answers[first].keys() & answers[second].keys()
        if both:
            pairs = [(answers[first][item], answers[second][item]) for item in both]
            num_equal = sum(a == b for a, b in pairs)
            found.append(Agreement(first, second, len(pairs), num_equal, compute_kappa(pairs)))
    return found
