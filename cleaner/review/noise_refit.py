"""The noise model that follows people's answers while they look: fitted anew for each page, on cached features.

Loads torch; only `cleaner review noise` and `cleaner queue noise` need it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from cleaner.config import NoiseSettings, RunOptions
from cleaner.dataset.decisions import DecisionStore
from cleaner.dataset.events import Event
from cleaner.dataset.workspace import MANIFEST, Workspace
from cleaner.errors import BadInputError
from cleaner.review.follower import Follower
from cleaner.review.ledger import Ledger
from cleaner.scoring.noise_left import estimate_share_left
from cleaner.scoring.noise_looks import (
    Looks,
    choose_looks,
    estimate_noise,
    random_order,
    replay_random_looks,
)
from cleaner.scoring.noise_model import FEWEST_OF_A_KIND, Features, NoiseSeeds
from cleaner.stages.noise_features import READ, READ_IF_THERE, compute_features
from cleaner.stages.noise_seeds import read_given
from cleaner.stages.stage_run import StageRun

GOAL = 0.01
"""Cleaning is to leave less than 1 % noise images in the kept set."""
_KEPT_BYTES = 1 << 30
"""Features up to this size are standardised once and kept."""


@dataclass(frozen=True)
class NoiseFit:
    """What the model and the random looks say, given the answers so far, about n images."""

    noise_prob: np.ndarray
    """(n,) float32."""
    is_answered: np.ndarray
    """(n,) bool: somebody has decided on it, or called it unsure."""
    open_random: np.ndarray
    """(k,) int64: images that are to be asked at random."""
    left: float | None
    """Share of noise, 0 .. 1, that is likely left among the images that stay; None while too little is known."""
    bound: float
    """The most that may be left, 0 .. 1, by the random looks alone, with 95 % confidence however often one asks.

    Images that nobody is sure of stay, and count as noise.
    """
    num_random: int
    """Random looks that count."""

    @property
    def is_reached(self) -> bool:
        """Whether at most 1 % is left: likely by the estimate, or surely by the bound."""
        return (self.left is not None and self.left <= GOAL) or self.bound <= GOAL


class NoiseRefit(Follower[NoiseFit]):
    """The images that a page of looks may ask about, and the model that orders them.

    They are those that the scan kept in the splits that are cleaned, each content once, without the seeds of a file.
    """

    def __init__(self, workspace: Workspace, settings: NoiseSettings, options: RunOptions) -> None:
        """Read the features of the images, or compute those that are not cached.

        Raises StaleStageError without a current scan, BadInputError for seeds that cannot be used or an image that
        changed since the scan.
        """
        super().__init__()
        run = StageRun.open(workspace, "noise", settings, options)
        manifest = run.read_parent(READ, READ_IF_THERE)
        judged = manifest[manifest["keep"]].reset_index(drop=True)
        if judged.empty:
            raise BadInputError(f"{run.parent.path}: no image is kept", next_step="look at drop_reason in the manifest")
        given = read_given(settings, manifest, judged)
        sight = compute_features(run, judged, given.outside).sight
        self._sight = replace(sight, contents=[_keep(f, len(sight.groups)) for f in sight.contents])
        self._given, self._threshold = given.kind, settings.threshold
        self._workspace, self._parent = workspace, (run.parent.name, run.parent.sha256)
        self._image_ids = judged["image_id"].to_numpy()
        cleaned = judged["split"].isin(["train", *settings.clean_split]).to_numpy()
        asked = cleaned & ~judged["image_id"].duplicated().to_numpy() & (given.kind[: len(judged)] < 0)
        self._rows = np.flatnonzero(asked)
        self.keys = [str(i) for i in self._image_ids[self._rows]]
        """The image ids (n) of what may be asked."""
        self._position = {key: i for i, key in enumerate(self.keys)}
        self._order = random_order(self.keys, options.seed)
        self._num_normal_given = int((cleaned & (given.kind[: len(judged)] == 0)).sum())

    @classmethod
    def open(cls, workspace: Workspace, settings: NoiseSettings, options: RunOptions) -> NoiseRefit:
        """One that knows the decisions so far. Raises what the constructor raises."""
        ledger = Ledger(DecisionStore(workspace.decisions_path), annotator="")
        ledger.refresh()
        refit = cls(workspace, settings, options)
        refit.follow(ledger)
        return refit

    def is_current(self) -> bool:
        """Whether the manifest that the features belong to is still the one that the noise stage would read."""
        name, sha256 = self._parent
        record = self._workspace.record(name)
        return record is not None and record.outputs[MANIFEST] == sha256

    @property
    def last_fit(self) -> NoiseFit:
        """The last fit; `follow` makes it."""
        assert self._fit is not None, "there is no fit before `follow`"
        return self._fit

    def choose(self, fit: NoiseFit, num: int) -> Looks:
        """The `num` images, numbers among `keys`, to ask about next."""

        def features(positions: np.ndarray) -> np.ndarray:
            return self._sight.contents[0](self._rows[positions])

        return choose_looks(fit.noise_prob, fit.is_answered, fit.open_random, num, features)

    def _make_fit(self, ledger: Ledger) -> NoiseFit:
        answers = {key: a for (kind, key), a in list(ledger.answers.items()) if kind == "image"}
        seeds = self._seeds({key: a.in_force for key, a in answers.items() if a.in_force})
        num_noise, num_seeds = int(seeds.is_noise.sum()), int(seeds.is_seed.sum())
        noise_prob = estimate_noise(self._sight, seeds).noise_prob[self._rows]
        mine = sorted((a.first_seq, self._position[key]) for key, a in answers.items() if key in self._position)
        answered = np.array([position for _, position in mine], dtype=np.int64)
        is_answered = np.zeros(len(self.keys), bool)
        is_answered[answered] = True
        verdicts = {key: a.in_force.verdict for key, a in answers.items() if a.in_force}
        verdict = np.array([verdicts.get(key, "") for key in self.keys], dtype=object)
        may_be_noise = (verdict == "noise") | (is_answered & (verdict == ""))  # unsure, or annotators differ
        looks = replay_random_looks(self._order, answered, may_be_noise)
        is_dropped = np.isin(verdict, ("noise", "drop")) | (~is_answered & (noise_prob > self._threshold))
        left = None
        if min(num_noise, num_seeds - num_noise) >= FEWEST_OF_A_KIND:
            looked_at = answered[np.isin(verdict[answered], ("noise", "normal"))]  # others say nothing of the search
            left = estimate_share_left(
                noise_prob, is_answered, looked_at, verdict == "noise", is_dropped, self._threshold
            )
        num_stay = max(1, int((~is_dropped).sum()) + self._num_normal_given)
        return NoiseFit(
            noise_prob=noise_prob,
            is_answered=is_answered,
            open_random=looks.open_rows,
            left=left,
            bound=min(1.0, (looks.upper_left + int((may_be_noise & ~is_dropped).sum())) / num_stay),
            num_random=looks.num_looks,
        )

    def _seeds(self, in_force: dict[str, Event]) -> NoiseSeeds:
        """What the noise stage would take as seeds (`stages.noise_seeds.pick_seeds`)."""
        verdict = np.array([in_force[i].verdict if i in in_force else "" for i in self._image_ids], dtype=object)
        kind = self._given.copy()
        judged = kind[: len(verdict)]
        judged[(verdict == "drop") | ((verdict == "label") & (judged == 1))] = -1
        judged[verdict == "noise"] = 1
        judged[verdict == "normal"] = 0
        return NoiseSeeds(kind >= 0, kind == 1)


def _keep(features: Features, num_rows: int) -> Features:
    """The same features, standardised once if they fit in memory."""
    first = features(np.arange(min(1, num_rows)))
    if first.shape[1] * num_rows * 4 > _KEPT_BYTES:
        return features
    kept = features(np.arange(num_rows)).astype(np.float32)
    return lambda rows: kept[rows]
