"""What people's verdicts on an audit's sample say of the whole set."""

from __future__ import annotations

import dataclasses
from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np

from cleaner.dataset.audits import KEPT, AuditRecord, AuditSample, find_answered
from cleaner.dataset.decisions import DecisionStore
from cleaner.dataset.workspace import Workspace
from cleaner.scoring.audit import Estimate, Stratum, count_looks_needed, estimate_total
from cleaner.scoring.confidence_sequence import ConfidenceSequence

RESIDUES = ("noise", "wrong_label", "unusable")
"""What can be wrong with an image that was kept."""
DEFAULT_GOAL = 0.01
"""Cleaning is to leave less than 1 % noise images in the kept set."""


@dataclass(frozen=True)
class StratumResult:
    """The verdicts on one stratum."""

    name: str
    size: int
    """Rows without a verdict before the draw."""
    num_sampled: int
    outcomes: dict[str, int]
    """Answers that count. Kept set: right, the `RESIDUES`, and normal (not noise, the label not judged). Drop reasons:
    right and wrongly_dropped."""
    num_unsure: int
    """Looked at, but not counted."""
    num_undecided: int
    """Annotators differ."""
    judged: dict[str, int]
    """Outcomes of all rows judged before the draw; they are not sampled."""

    @property
    def num_counted(self) -> int:
        """Looks that count."""
        return sum(self.outcomes.values())

    @property
    def num_open(self) -> int:
        """Images of the sample without an answer, those on which annotators differ among them."""
        return self.num_sampled - self.num_counted - self.num_unsure

    def parts(self, *bad: str) -> list[Stratum]:
        """The unjudged rows and those judged before, as strata in which the outcomes `bad` are bad."""
        found, known = (sum(counts.get(b, 0) for b in bad) for counts in (self.outcomes, self.judged))
        num_known = sum(self.judged.values())
        # "not noise" leaves open whether the label is right
        looks = self.num_counted - (self.outcomes.get("normal", 0) if bad != ("noise",) else 0)
        return [Stratum(self.size, looks, found), Stratum(num_known, num_known, known)]


@dataclass(frozen=True)
class AuditResult:
    """The results of an audit so far."""

    record: AuditRecord
    strata: list[StratumResult]
    kept: dict[str, Estimate]
    """Residual share in the kept set by residue, and of `any` of them."""
    dropped: dict[str, Estimate]
    """Wrongly dropped share by reason, and over `all` of them (weighted, Bonferroni bounds)."""
    goal: float
    noise_at_every_look: float
    """Upper bound of the residual share of noise that holds however often one looks on and asks (a confidence
    sequence), from the sample in its order, up to the first image without an answer."""
    num_more_looks: int | None
    """Further looks at the kept set that reach the goal if they find no noise; None: the noise found already exceeds
    it."""

    @property
    def num_looks(self) -> int:
        """Images of the sample with an answer."""
        return sum(s.num_counted + s.num_unsure for s in self.strata)

    @property
    def num_sampled(self) -> int:
        """Images of the sample."""
        return sum(s.num_sampled for s in self.strata)

    @property
    def is_complete(self) -> bool:
        """Whether every image of the sample has an answer, and there is something in it."""
        return self.num_sampled > 0 and all(s.num_open == 0 for s in self.strata)

    @property
    def passes(self) -> bool:
        """Whether the audit is complete and the one-sided bound on residual noise is at most the goal."""
        return self.is_complete and self.kept["noise"].upper <= self.goal

    def document(self) -> dict[str, Any]:
        """The results as plain JSON values."""
        return {
            "record": dataclasses.asdict(self.record),
            "complete": self.is_complete,
            "looked_at": self.num_looks,
            "sampled": self.num_sampled,
            "strata": [
                dataclasses.asdict(s) | {"num_counted": s.num_counted, "num_open": s.num_open} for s in self.strata
            ],
            "confidence": 0.95,
            "kept": {k: dataclasses.asdict(v) for k, v in self.kept.items()},
            "dropped": {k: dataclasses.asdict(v) for k, v in self.dropped.items()},
            "goal": {
                "residual_noise": self.goal,
                "upper_bound": self.kept["noise"].upper,
                "upper_bound_at_every_look": self.noise_at_every_look,
                "passed": self.passes,
                "more_looks": self.num_more_looks,
            },
        }


def compute_results(workspace: Workspace, sample: AuditSample, goal: float = DEFAULT_GOAL) -> AuditResult:
    """The results of the verdicts on `sample` so far; `goal` is the largest tolerable share of noise, 0 .. 1."""
    answers = _answers(workspace, sample)
    strata = []
    for name, size in sample.record.sizes.items():
        mine = (sample.rows["stratum"] == name).to_numpy()
        answered = Counter(answers[mine])
        known = sample.judged[sample.judged["stratum"] == name]
        outcomes = Counter(
            _outcome(name, v, chosen, given)
            for v, chosen, given in zip(known["verdict"], known["verdict_label"], known["label"], strict=True)
        )
        num_unsure, num_undecided = answered.pop("unsure", 0), answered.pop("undecided", 0)
        answered.pop("", None)
        sampled = int(mine.sum())
        strata.append(StratumResult(name, size, sampled, dict(answered), num_unsure, num_undecided, dict(outcomes)))
    kept = next((s for s in strata if s.name == KEPT), StratumResult(KEPT, 0, 0, {}, 0, 0, {}))
    others = [s for s in strata if s.name != KEPT]
    by_reason = {s.name: estimate_total(s.parts("wrongly_dropped")) for s in others}
    total = estimate_total([part for s in others for part in s.parts("wrongly_dropped")])
    return AuditResult(
        record=sample.record,
        strata=strata,
        kept={k: estimate_total(kept.parts(k)) for k in RESIDUES} | {"any": estimate_total(kept.parts(*RESIDUES))},
        dropped=by_reason | ({"all": total} if by_reason else {}),
        goal=goal,
        noise_at_every_look=_bound_at_every_look(kept, answers[(sample.rows["stratum"] == KEPT).to_numpy()]),
        num_more_looks=_more_looks(kept, goal),
    )


def _bound_at_every_look(kept: StratumResult, answers: np.ndarray) -> float:
    """The bound on noise from `answers` (n,) to the sample of the kept set, in its order; 0 .. 1."""
    num_known = sum(kept.judged.values())
    sequence = ConfidenceSequence(kept.size + num_known)
    sequence.reveal(num_known, kept.judged.get("noise", 0))
    for answer in answers:
        if answer in ("", "undecided"):
            break
        if answer == "unsure":
            sequence.reveal(1, 0)
        else:
            sequence.draw(answer == "noise")
    return sequence.upper / max(1, kept.size + num_known)


def _more_looks(kept: StratumResult, goal: float) -> int | None:
    """Further looks at unjudged kept images that reach the goal if they find no noise; at most all that are left."""
    fresh, known = kept.parts("noise")
    if not fresh.size:
        return 0 if known.num_bad <= goal * known.size else None
    goal_here = (goal * (fresh.size + known.size) - known.num_bad) / fresh.size
    if fresh.num_bad > goal_here * fresh.size:
        return None
    if goal_here >= 1:
        return 0
    needed = count_looks_needed(fresh.num_bad, goal_here) if goal_here > 0 else fresh.size
    return max(0, min(needed, fresh.size) - fresh.num_looks)


def _answers(workspace: Workspace, sample: AuditSample) -> np.ndarray:
    """The outcome of each sampled row (n,) object: '' without an answer, `undecided` where annotators differ.

    A row is answered by a decision in the queue `audit` after the draw that was not undone. What counts is the verdict
    in force, so a disagreement settled, or a slip corrected, in another queue counts here too.
    """
    store = DecisionStore(workspace.decisions_path)
    answered = find_answered(store, sample.record.after_seq)
    in_force = store.image_verdicts()
    undecided = set(store.undecided()["key"])
    verdicts = dict(zip(in_force.index, zip(in_force["verdict"], in_force["label"], strict=True), strict=True))
    out = np.full(len(sample.rows), "", dtype=object)
    columns = (sample.rows[name] for name in ("image_id", "label", "stratum"))
    for row, (image_id, given, stratum) in enumerate(zip(*columns, strict=True)):
        if image_id not in answered:
            continue
        if image_id in undecided:
            out[row] = "undecided"
        else:
            verdict, chosen = verdicts.get(image_id, ("unsure", ""))
            out[row] = _outcome(stratum, verdict, chosen, given)
    return out


def _outcome(stratum: str, verdict: str, chosen: str, given: str) -> str:
    """What a verdict means for an image of a stratum. `normal` leaves the label open."""
    if stratum == KEPT and verdict != "label":
        return {"noise": "noise", "drop": "unusable", "normal": "normal"}.get(verdict, "unsure")
    if stratum == KEPT:
        return "right" if chosen == given else "wrong_label"
    if verdict in ("noise", "drop"):
        return "right"
    if stratum == "noise_image":  # a good image under another class is no noise image either
        return "wrongly_dropped" if verdict in ("label", "normal") else "unsure"
    if verdict == "label":
        return "wrongly_dropped" if chosen == given else "right"
    return "unsure"
