"""What people's verdicts on an audit's sample say of the whole set."""

from __future__ import annotations

import dataclasses
from collections import Counter
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from cleaner.dataset.audits import KEPT, AuditRecord, AuditSample, find_answered
from cleaner.dataset.decisions import DecisionStore
from cleaner.dataset.workspace import Workspace
from cleaner.scoring.audit import Estimate, Stratum, count_more_looks, estimate_total, plan_looks, watch_answers
from cleaner.scoring.confidence_sequence import ConfidenceSequence

RESIDUES = ("noise", "wrong_label", "unusable")
"""What can be wrong with an image that was kept."""
_BAD = {name: (name,) for name in RESIDUES} | {"any": RESIDUES}
DEFAULT_GOAL = 0.01
"""Cleaning is to leave less than 1 % noise images in the kept set."""
LIKELY_RATES = (0.0, 0.25, 0.5)
"""Shares of bad images for which looks are planned, as parts of the goal."""


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
    """Looked at without an answer: they count as bad in the bounds of the kept set, and not at all elsewhere."""
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
    """Residual share in the kept set by residue, and of `any` of them. The upper bounds are confidence sequences over
    the sample in its order, up to the first image without an answer; an unsure look counts as bad."""
    dropped: dict[str, Estimate]
    """Wrongly dropped share by reason, and over `all` of them (weighted, Bonferroni bounds)."""
    goal: float
    num_more_looks: int | None
    """Further looks at the kept set that reach the goal if they find no noise; None: what was found, and what people
    were unsure of, already exceeds it."""
    plan: list[dict[str, float]]
    """Before the first look: for some likely shares of noise (`rate`), the `looks` that show the goal."""

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
                "passed": self.passes,
                "more_looks": self.num_more_looks,
                "plan": self.plan,
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
    size = kept.size + sum(kept.judged.values())
    in_order = answers[(sample.rows["stratum"] == KEPT).to_numpy()]
    watched = {k: _watch(kept, in_order, bad) for k, bad in _BAD.items()}
    estimates = {k: estimate_total(kept.parts(*bad)) for k, bad in _BAD.items()}
    return AuditResult(
        record=sample.record,
        strata=strata,
        kept={k: replace(e, upper=watched[k].upper / max(1, size)) for k, e in estimates.items()},
        dropped=by_reason | ({"all": total} if by_reason else {}),
        goal=goal,
        num_more_looks=count_more_looks(watched["noise"], size, goal),
        plan=[{"rate": goal * f, "looks": plan_looks(size, goal, goal * f)} for f in LIKELY_RATES],
    )


def _watch(kept: StratumResult, answers: np.ndarray, bad: tuple[str, ...]) -> ConfidenceSequence:
    """The bound on `bad` outcomes from `answers` (n,) to the sample of the kept set, in its order."""
    looks: list[bool] = []
    for answer in answers:
        if answer in ("", "undecided"):
            break
        if answer != "normal" or bad == ("noise",):  # "not noise" leaves open whether the label is right
            looks.append(answer in (*bad, "unsure"))
    known_bad = sum(kept.judged.get(outcome, 0) for outcome in (*bad, "unsure"))
    return watch_answers(sum(kept.judged.values()), known_bad, kept.size, looks)


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
