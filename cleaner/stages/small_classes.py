"""Tells whether small classes are coherent or jumbled, against random draws of all images. docs/methods.md."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from cleaner.config import BalanceSettings
from cleaner.random_streams import Stream, open_stream
from cleaner.scoring.class_quality import compute_coherence_p, compute_rank_p, draw_coherences
from cleaner.scoring.unit_rows import unit_rows
from cleaner.stages.inputs import embed_for
from cleaner.stages.stage_run import Machine, StageRun

_POOL_SIZE = 5000
"""The most images from which the permutation test draws."""


@dataclass(frozen=True)
class Tested:
    """Evidence on some classes from their images."""

    evidence: list[tuple[float, float, float]]
    """coherence_p, rank_p and kept_coherence_p of each class."""
    machine: Machine


def examine_classes(
    run: StageRun[BalanceSettings], low: list[str], full: pd.DataFrame, given: pd.Series[str]
) -> Tested:
    """Test each of the `low` classes on its images in `full`; `given` is the label column with merged classes as one.

    A class is tested on all images that reached the labels stage, including label issues: those that labels kept would
    look coherent by selection. The kept ones are tested separately, because a sound class with scattered wrong labels
    looks jumbled as a whole, and coherent without them.
    """
    rng = open_stream(run.options.seed, Stream.SMALL_CLASSES)
    alive = (full["split"] == "train") & full["readable"] & ~full["drop_stage"].isin(["scan", "noise"])
    alive &= full["drop_reason"] != "person"
    # labels that people gave count; other images count under their given label
    by_person = (full["label_evidence"] == "person") if "label_evidence" in full else full["keep"]
    label = given.where(~by_person, full["clean_label"])
    pool_rows = np.flatnonzero(alive)
    pool_rows = np.sort(rng.choice(pool_rows, min(len(pool_rows), _POOL_SIZE), replace=False))
    mine = np.flatnonzero(alive & label.isin(low))
    rows = np.union1d(pool_rows, mine)
    embeddings, machine = embed_for(run, full.iloc[rows])

    def units(some: np.ndarray) -> np.ndarray:
        # not centred: pictures that are merely unusual would look alike relative to the mean
        return unit_rows(embeddings.mean(np.searchsorted(rows, some)))

    pool = units(pool_rows)
    rank = full["given_rank"].to_numpy() if "given_rank" in full else np.full(len(full), -1)
    all_hits = rank[alive & (rank >= 0)] == 0
    keep = full["keep"].to_numpy()
    nulls: dict[int, np.ndarray] = {}
    evidence = []

    def coherence_p(own: np.ndarray) -> float:
        size = min(len(own), len(pool))
        if size not in nulls:
            nulls[size] = draw_coherences(pool, size, rng)
        return compute_coherence_p(units(own), nulls[size])

    with run.options.progress.task("coherence of small classes", len(low)) as task:
        for name in low:
            own = mine[(label.iloc[mine] == name).to_numpy()]
            rank_p = compute_rank_p(rank[own][rank[own] >= 0] == 0, all_hits, rng)
            evidence.append((coherence_p(own), rank_p, coherence_p(own[keep[own]])))
            task.advance()
    return Tested(evidence, machine)
