"""What the rounds of the noise stage begin with: people's decisions, a file of seeds, or a cold start."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from cleaner.config import NoiseSettings
from cleaner.dataset.importers import read_seeds
from cleaner.errors import BadInputError
from cleaner.random_streams import Stream, open_stream
from cleaner.scoring.noise_rounds import NoiseSeeds, pick_cold_seeds
from cleaner.stages.stage_run import StageRun

_FEWEST_FOR_COLD_START = 4
_THREE_CHANNEL = ("RGB", "YCbCr")


@dataclass(frozen=True)
class GivenSeeds:
    """Seeds from a file or folder, over the M judged rows and the images from outside that follow them."""

    kind: np.ndarray
    """(M + outside,) int8: 1 noise, 0 normal, -1 no seed."""
    outside: list[tuple[str, Path]]
    """image_id and path of seeds that are not in the manifest."""
    from_file: bool


@dataclass(frozen=True)
class PickedSeeds:
    """Seeds over the same rows."""

    seeds: NoiseSeeds
    source: str
    """people, file or auto."""
    by_person: np.ndarray
    """(N,) bool: rows whose seed is a person's recorded decision."""
    is_refuted: np.ndarray
    """(N,) bool: rows that the file calls noise and a person gave a label: no seeds."""


def read_given(settings: NoiseSettings, manifest: pd.DataFrame, judged: pd.DataFrame) -> GivenSeeds:
    """The seeds that the settings name, if any; `judged` are the rows of `manifest` that are kept."""
    if not settings.seeds:
        return GivenSeeds(np.full(len(judged), -1, np.int8), [], False)
    table = read_seeds(Path(settings.seeds), manifest)
    is_noise = table.set_index("image_id")["is_noise"]
    inside = judged["image_id"].map(is_noise).map({True: 1, False: 0}).fillna(-1).to_numpy(np.int8)
    rest = table[table["file_name"] == ""]
    outside = [(i, Path(p)) for i, p in zip(rest["image_id"], rest["path"], strict=True)]
    return GivenSeeds(np.concatenate([inside, rest["is_noise"].to_numpy(np.int8)]), outside, True)


def find_labelled(run: StageRun[NoiseSettings], judged: pd.DataFrame, is_noise: np.ndarray) -> np.ndarray:
    """(M,) bool: which of the M judged rows that count as noise, by `is_noise` (M,) bool, a person gave a label."""
    verdicts = run.image_verdicts(judged[["image_id"]].assign(is_noise=is_noise))
    labelled: np.ndarray = judged["image_id"].map(verdicts["verdict"]).eq("label").to_numpy() & is_noise
    return labelled


def pick_seeds(
    run: StageRun[NoiseSettings], judged: pd.DataFrame, given: GivenSeeds, evidence: np.ndarray
) -> PickedSeeds:
    """People's decisions first, then the seeds `given`, else a cold start by `evidence` (N, 2).

    A `label` verdict takes a noise seed of the file away, for the image belongs to a class; it leaves normal seeds and
    those of a cold start as they are. A `drop` verdict takes any seed away. Raises BadInputError where seeds were given
    and one kind is missing, or where there are too few images for a cold start.
    """
    num, num_outside = len(judged), len(given.outside)
    verdict = judged["image_id"].map(run.image_verdicts(judged)["verdict"])
    decided = verdict.map({"noise": 1, "normal": 0}).fillna(-1).to_numpy(np.int8)
    kind = given.kind.copy()
    kind[:num] = np.where(decided >= 0, decided, kind[:num])
    kind[:num][(verdict == "drop").to_numpy()] = -1
    refuted = find_labelled(run, judged, kind[:num] == 1)
    kind[:num][refuted] = -1
    none = np.zeros(num_outside, bool)
    by_person = np.concatenate([decided >= 0, none])
    is_refuted = np.concatenate([refuted, none])
    if (kind == 1).any() and (kind == 0).any():
        is_seed = kind >= 0
        source = "file" if given.from_file else "people"
        return PickedSeeds(NoiseSeeds(is_seed, kind == 1, is_seed), source, by_person, is_refuted)
    if given.from_file:
        absent = "normal" if (kind == 1).any() else "noise"
        raise BadInputError(
            f"there are no {absent} seeds among the images that are kept",
            next_step=f"add some {absent} images to the seeds, or decide on some, and run `cleaner noise` again",
        )
    run.options.progress.warn(_cold_start_warning(int((kind == 1).sum()), int((kind == 0).sum())))
    cold = _pick_cold_seeds(judged, evidence, run.options.seed)
    # what people decided stands, although it is too little to start from
    seeds = NoiseSeeds(
        (cold.is_seed & (verdict != "drop").to_numpy()) | by_person,
        np.where(by_person, kind == 1, cold.is_noise),
        by_person,
    )
    return PickedSeeds(seeds, "auto", by_person, is_refuted)


def _pick_cold_seeds(judged: pd.DataFrame, evidence: np.ndarray, seed: int) -> NoiseSeeds:
    candidates = (judged["split"] == "train").to_numpy()
    if int(candidates.sum()) < _FEWEST_FOR_COLD_START:
        raise BadInputError(
            "too few images of split train for a cold start",
            expected=f"{_FEWEST_FOR_COLD_START} at least",
            found=str(int(candidates.sum())),
            next_step="give --seeds FILE, or a list with a column split (cleaner scan --labels)",
        )
    odd_mode = ~judged["mode"].isin(_THREE_CHANNEL).to_numpy()
    rng = open_stream(seed, Stream.NOISE_COLD_START)
    return pick_cold_seeds(_looks_like_noise(judged), odd_mode, evidence, candidates, rng)


def _cold_start_warning(num_noise: int, num_normal: int) -> str:
    """Why the stage starts without a person's seeds: they decided on one kind at most."""
    missing = "no seeds"
    if num_noise or num_normal:
        absent, given = ("normal", "noise") if num_noise else ("noise", "normal")
        num = num_noise + num_normal
        missing = f"no {absent} seeds (only {num} {given} seed{'s' if num > 1 else ''} from decisions)"
    return f"{missing}: a cold start from the images' own evidence; a hundred seeds from a person do better (--seeds)"


def _looks_like_noise(judged: pd.DataFrame) -> np.ndarray:
    """(M, 4) float: the looks that `pick_cold_seeds` ranks; NaN where the parent is older than a column."""
    looks = judged.reindex(columns=["information", "num_colors", "flat_share", "aspect"]).to_numpy(np.float64)
    looks[:, 1] = np.where(looks[:, 1] > 0, looks[:, 1], np.nan)
    result: np.ndarray = looks * np.array([-1, -1, 1, -1])
    return result
