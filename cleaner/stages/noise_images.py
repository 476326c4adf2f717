"""Which images belong to no class: the work of the noise stage. docs/methods.md."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from cleaner.config import NoiseSettings
from cleaner.dataset.manifest import drop_rows, look_up, with_stage_columns, write_table
from cleaner.dataset.stage_tables import ROUNDS
from cleaner.errors import BadInputError
from cleaner.freed_memory import release_freed_memory
from cleaner.random_streams import Stream, open_stream
from cleaner.scoring.groups import exact_groups
from cleaner.scoring.noise_judge import NoiseJudge
from cleaner.scoring.noise_model import NoiseModel
from cleaner.scoring.noise_rounds import NoiseResult, NoiseRound, run_rounds
from cleaner.stages.noise_features import PACKED, READ, READ_IF_THERE, compute_features
from cleaner.stages.noise_kept import KeptNoise
from cleaner.stages.noise_seeds import PickedSeeds, find_labelled, pick_seeds, read_given
from cleaner.stages.stage_run import StageResult, StageRun

_NOT_OF_JUDGED = ["keep", "drop_stage", "drop_reason", "label", "readable", "pixel_id"]
_OF_ALL = ["file_name", "keep", "drop_stage", "drop_reason", "split"]
"""What is held of images that are judged, and of all until the end; the rest of the manifest is copied unread."""
_FEW_SEEDS = 50
"""With fewer seeds of a kind than this, the probabilities count as uncalibrated."""
_NOTHING_FOUND = "no noise image was found, which does not prove that there is none: cleaner review noise"


def find_noise(run: StageRun[NoiseSettings]) -> StageResult:
    """Find noise images, round by round, and write `noise/`.

    Raises BadInputError for seeds that cannot be used, or an image that changed since the scan.
    """
    manifest, settings, options = run.read_parent(READ, READ_IF_THERE, PACKED), run.settings, run.options
    judged = manifest[manifest["keep"]].drop(columns=_NOT_OF_JUDGED, errors="ignore").reset_index(drop=True)
    if judged.empty:
        raise BadInputError(f"{run.parent.path}: no image is kept", next_step="look at drop_reason in the manifest")
    given = read_given(settings, manifest, judged)
    source = _find_sources(manifest)
    manifest = manifest[_OF_ALL].copy()
    features = compute_features(run, judged, given.outside)
    judged = judged[["file_name", "image_id"]]  # the other columns were for the features
    release_freed_memory()
    picked = pick_seeds(run, judged, given)
    folder = run.begin()
    rng = open_stream(options.seed, Stream.NOISE_ROUNDS)
    result = run_rounds(
        NoiseModel(features.sight, picked.seeds),
        picked.seeds,
        features.sight.countable,
        threshold=settings.threshold,
        max_rounds=settings.max_rounds,
        rng=rng,
        on_round=lambda r: options.progress.say(_round_line(r)),
    )
    full = _into_manifest(manifest, source, _with_scores(run, judged, result, picked), settings)
    rounds = _rounds_table(judged["file_name"], result, settings)
    write_table(folder / "rounds.parquet", rounds, ROUNDS["noise"].schema)
    kept = KeptNoise(features.eye, NoiseJudge.of(result, features.sight, settings.threshold))
    files = ["rounds.parquet", kept.write(folder)]
    doubtful = (full["noise_prob"] > settings.doubtful) & ~full["is_noise"] & full["keep"]
    notes, warnings = _notes(result, picked)
    if not full["is_noise"].any():
        warnings.append(_NOTHING_FOUND)
    return run.complete(
        full,
        files=files,
        counts={"noise_images": int(full["is_noise"].sum()), "doubtful": int(doubtful.sum())},
        machine=features.machine,
        notes=notes,
        warnings=warnings,
        base=run.parent.path,
    )


def _with_scores(
    run: StageRun[NoiseSettings], judged: pd.DataFrame, result: NoiseResult, picked: PickedSeeds
) -> pd.DataFrame:
    """The judged rows with the stage's columns filled in."""
    num, noise_prob = len(judged), result.rounds[-1].noise_prob[: len(judged)]
    first = np.full(num, -1, np.int16)
    for r in reversed(result.rounds):
        first[r.found[:num]] = r.number
    is_given = picked.seeds.is_seed[:num]
    first[is_given] = 0
    is_noise = np.where(is_given, picked.seeds.is_noise[:num], noise_prob > run.settings.threshold)
    words = np.array(["model", "seed", "person"], object)
    evidence = words[np.where(picked.by_person[:num], 2, is_given)]
    # a label keeps the image in; an image to be dropped for another reason is dropped by the next stage
    dropped = look_up(judged["image_id"], run.image_verdicts(judged)["verdict"], "") == "drop"
    overruled = find_labelled(run, judged, is_noise | picked.is_refuted[:num]) | dropped
    is_noise[overruled] = False
    evidence[overruled] = "person"
    reason = np.full(num, "", object)
    suspect = np.flatnonzero(noise_prob > run.settings.doubtful)
    reason[suspect] = result.explain(suspect)
    return with_stage_columns(judged, "noise").assign(
        noise_prob=noise_prob, is_noise=is_noise, noise_evidence=evidence, noise_round=first, noise_reason=reason
    )


def _into_manifest(
    manifest: pd.DataFrame, source: np.ndarray, judged: pd.DataFrame, settings: NoiseSettings
) -> pd.DataFrame:
    """The whole manifest with the stage's columns, those of each row from the judged row that is its `source`."""
    full = with_stage_columns(manifest, "noise")
    scored = source >= 0
    for name in ("noise_prob", "is_noise", "noise_evidence", "noise_round", "noise_reason"):
        full.loc[scored, name] = judged[name].to_numpy()[source[scored]]
    cleaned = full["split"].isin(["train", *settings.clean_split]).to_numpy()
    drop_rows(full, cleaned & full["is_noise"].to_numpy(), "noise", "noise_image")
    return full


def _find_sources(manifest: pd.DataFrame) -> np.ndarray:
    """Where each row's columns come from (N,) int64, a number among the kept rows: itself, or for an exact copy that
    scan dropped the first one that it kept in the same split under the same label; -1: nowhere.
    """
    kept = manifest["keep"].to_numpy()
    source = np.where(kept, np.cumsum(kept) - 1, -1)
    is_copy = (manifest["drop_reason"] == "exact_duplicate").to_numpy()
    content = manifest["pixel_id" if "pixel_id" in manifest else "image_id"]
    rows = np.flatnonzero(is_copy | (kept & content.isin(content[is_copy].tolist()).to_numpy(bool)))
    some = manifest.iloc[rows]
    keys = pd.MultiIndex.from_arrays([some["split"], some["label"], exact_groups(some)])
    first = pd.Series(rows[kept[rows]], index=keys[kept[rows]])
    stayed = first[~first.index.duplicated()].reindex(keys).fillna(-1).to_numpy(np.int64)
    found = is_copy[rows] & (stayed >= 0)
    source[rows[found]] = source[stayed[found]]
    return source


def _rounds_table(names: pd.Series[str], result: NoiseResult, settings: NoiseSettings) -> pd.DataFrame:
    """Every image above `doubtful` in any round, in each round."""
    num = len(names)
    ever = np.any([r.noise_prob[:num] > settings.doubtful for r in result.rounds], axis=0)
    shown = names.iloc[np.flatnonzero(ever)].to_numpy(object)
    parts = [
        pd.DataFrame(
            {
                "round": r.number,
                "file_name": shown,
                "noise_prob": r.noise_prob[:num][ever],
                "found": r.found[:num][ever],
            }
        )
        for r in result.rounds
    ]
    return pd.concat(parts, ignore_index=True)


def _notes(result: NoiseResult, picked: PickedSeeds) -> tuple[dict[str, Any], list[str]]:
    """Notes for the record, and warnings."""
    given = picked.seeds.is_seed
    num_noise, num_normal = int((given & picked.seeds.is_noise).sum()), int((given & ~picked.seeds.is_noise).sum())
    is_calibrated = min(num_noise, num_normal) >= _FEW_SEEDS
    warning = (
        f"noise_prob is uncalibrated: {num_noise} noise and {num_normal} normal seeds from people; "
        f"{_FEW_SEEDS} of each are needed"
    )
    notes = {
        "seeds": {"source": picked.source, "noise": num_noise, "normal": num_normal},
        "calibration": "out-of-fold, prior by EM" if is_calibrated else "uncalibrated",
        "rounds": [_round_note(r) for r in result.rounds],
        "stopped": result.stopped,
    }
    warnings = [] if is_calibrated else [warning]
    if result.stopped == "max_rounds":
        warnings.append(f"the rounds ended at --max-rounds {len(result.rounds)}, and still changed what they found")
    return notes, warnings


def _round_note(r: NoiseRound) -> dict[str, Any]:
    return {"round": r.number, "found": int(r.found.sum()), "new": r.num_new, "left": r.num_left, "prior": r.prior}


def _round_line(r: NoiseRound) -> str:
    counts = f"noise {int(r.found.sum()):,}  new {r.num_new:,}  no longer {r.num_left:,}"
    return f"  round {r.number}  {counts}  share estimated {r.prior:.1%}"
