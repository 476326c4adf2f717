"""What the rounds of the noise stage learn from: people's decisions and a file of seeds, if there are any."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from cleaner.config import NoiseSettings
from cleaner.dataset.importers import read_seeds
from cleaner.dataset.manifest import look_up
from cleaner.errors import BadInputError
from cleaner.scoring.noise_model import NoiseSeeds
from cleaner.stages.stage_run import StageRun


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
    inside = look_up(judged["image_id"], is_noise, -1).astype(np.int8)
    rest = table[table["file_name"] == ""]
    outside = [(i, Path(p)) for i, p in zip(rest["image_id"], rest["path"], strict=True)]
    return GivenSeeds(np.concatenate([inside, rest["is_noise"].to_numpy(np.int8)]), outside, True)


def find_labelled(run: StageRun[NoiseSettings], judged: pd.DataFrame, is_noise: np.ndarray) -> np.ndarray:
    """(M,) bool: which of the M judged rows that count as noise, by `is_noise` (M,) bool, a person gave a label."""
    verdicts = run.image_verdicts(judged[["image_id"]].assign(is_noise=is_noise))
    labelled: np.ndarray = (look_up(judged["image_id"], verdicts["verdict"], "") == "label") & is_noise
    return labelled


def pick_seeds(run: StageRun[NoiseSettings], judged: pd.DataFrame, given: GivenSeeds) -> PickedSeeds:
    """People's decisions first, then the seeds `given`. Without one kind or both, the evidence has to start alone.

    A `label` verdict takes a noise seed of the file away, for the image belongs to a class; it leaves normal seeds as
    they are. A `drop` verdict takes any seed away. Raises BadInputError where seeds were given and one kind is missing.
    """
    num, num_outside = len(judged), len(given.outside)
    verdict = look_up(judged["image_id"], run.image_verdicts(judged)["verdict"], "")
    decided = np.select([verdict == "noise", verdict == "normal"], [1, 0], -1).astype(np.int8)
    kind = given.kind.copy()
    kind[:num] = np.where(decided >= 0, decided, kind[:num])
    kind[:num][verdict == "drop"] = -1
    refuted = find_labelled(run, judged, kind[:num] == 1)
    kind[:num][refuted] = -1
    none = np.zeros(num_outside, bool)
    by_person, is_refuted = np.concatenate([decided >= 0, none]), np.concatenate([refuted, none])
    num_noise, num_normal = int((kind == 1).sum()), int((kind == 0).sum())
    source = "file" if given.from_file else "people"
    if not (num_noise and num_normal):
        if given.from_file:
            absent = "normal" if num_noise else "noise"
            raise BadInputError(
                f"there are no {absent} seeds among the images that are kept",
                next_step=f"add some {absent} images to the seeds, or decide on some, and run `cleaner noise` again",
            )
        source = "auto"
        run.options.progress.warn(_cold_start_warning(num_noise, num_normal))
    return PickedSeeds(NoiseSeeds(kind >= 0, kind == 1), source, by_person, is_refuted)


def _cold_start_warning(num_noise: int, num_normal: int) -> str:
    """Why the stage starts without a person's seeds: they decided on one kind at most."""
    missing = "no seeds"
    if num_noise or num_normal:
        absent, given = ("normal", "noise") if num_noise else ("noise", "normal")
        num = num_noise + num_normal
        missing = f"no {absent} seeds (only {num} {given} seed{'s' if num > 1 else ''} from decisions)"
    return f"{missing}: a cold start from the images' own evidence; a hundred seeds from a person do better (--seeds)"
