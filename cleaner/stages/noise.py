"""`cleaner noise`: which images belong to no class. recipe.md section 1, docs/methods.md."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from cleaner.config import NoiseSettings, RunOptions
from cleaner.dataset.importers import read_seeds, seeds_digest
from cleaner.dataset.manifest import drop_rows, read_manifest, with_stage_columns, write_table
from cleaner.dataset.verdicts import read_verdicts
from cleaner.dataset.workspace import Input, Parent, Workspace
from cleaner.errors import BadInputError
from cleaner.modeling.backbones import load_backbone, num_threads
from cleaner.modeling.class_evidence import MeanViewFeatures, compute_class_evidence
from cleaner.modeling.embeddings import Embeddings
from cleaner.modeling.features import StyleFeatures
from cleaner.random_streams import Stream, open_stream
from cleaner.scoring.groups import assign_folds, duplicate_groups, exact_groups
from cleaner.scoring.noise_rounds import Features, NoiseResult, NoiseRound, NoiseSeeds, pick_cold_seeds, run_rounds
from cleaner.stages.inputs import (
    decisions_input,
    embed_rows,
    parent_input,
    require_parent,
    weights_inputs,
)
from cleaner.stages.lifecycle import StageResult, complete, current_result

_FEW_SEEDS = 50
"""With fewer seeds of a kind than this, the probabilities count as uncalibrated."""
_EVIDENCE_FOLDS = 5
_FEWEST_FOR_COLD_START = 4
_THREE_CHANNEL = ("RGB", "YCbCr")
_ROUNDS_SCHEMA = pa.schema(
    [("round", pa.int16()), ("file_name", pa.string()), ("noise_prob", pa.float32()), ("found", pa.bool_())]
)


@dataclass(frozen=True)
class _Seeds:
    """Seeds over the judged rows and the images from outside, which follow them."""

    seeds: NoiseSeeds
    source: str
    """people, file or auto."""
    person: np.ndarray
    """(N,) bool: rows whose seed is a person's recorded decision."""
    outside: list[tuple[str, Path]]


def run_noise(
    workspace: Workspace, settings: NoiseSettings, options: RunOptions, from_file: Path | None = None
) -> StageResult:
    """Find noise images, round by round, and write `noise/`.

    Raises StaleStageError without a current parent, BadInputError for seeds that cannot be used or an image that
    changed since the scan.
    """
    started = time.monotonic()
    parent = require_parent(workspace, "noise", from_file)
    manifest = read_manifest(parent.path)
    given = _read_given_seeds(settings, manifest)
    fixed = [parent_input(workspace, parent), *_seed_inputs(settings, given), *weights_inputs(settings.embedding)]
    said = read_verdicts(workspace)  # once: what people decide while the stage runs is for the next run
    current = current_result(
        workspace, "noise", settings, options, [*fixed, decisions_input(workspace, "noise", manifest, said)]
    )
    if current is not None:
        return current
    judged = manifest[manifest["keep"]].reset_index(drop=True)
    if judged.empty:
        raise BadInputError(f"{parent.path}: no image is kept", next_step="look at drop_reason in the manifest")
    verdicts = said.images
    backbone = load_backbone(settings.embedding, options.device)
    outside = _outside(given)
    embeddings = embed_rows(workspace, parent.images_root, judged, backbone, options, outside, with_style=True)
    features = MeanViewFeatures(embeddings)
    evidence = _class_evidence(features, judged, len(outside), options.seed)
    picked = _pick_seeds(judged, given, verdicts, evidence, options)
    folder = workspace.begin("noise")
    countable = np.arange(len(evidence)) < len(judged)
    result = run_rounds(
        _noise_features(embeddings, features, picked.source),
        evidence,
        picked.seeds,
        countable,
        threshold=settings.threshold,
        max_rounds=settings.max_rounds,
        rng=open_stream(options.seed, Stream.NOISE_ROUNDS),
        on_round=lambda r: options.progress.say(_round_line(r)),
    )
    judged = _with_scores(judged, result, picked, verdicts, settings)
    full = _into_manifest(manifest, judged, settings)
    rounds = _rounds_table(judged["file_name"].to_numpy(), result, settings)
    write_table(folder / "rounds.parquet", rounds, _ROUNDS_SCHEMA)
    notes, warnings = _notes(result, picked, options)
    return _complete(
        workspace,
        full,
        settings,
        options,
        parent,
        [*fixed, decisions_input(workspace, "noise", full, said)],
        started,
        backbone.describe(),
        str(backbone.device),
        notes,
        warnings,
    )


def _complete(
    workspace: Workspace,
    manifest: pd.DataFrame,
    settings: NoiseSettings,
    options: RunOptions,
    parent: Parent,
    inputs: list[Input],
    started: float,
    backbone: dict[str, Any],
    device: str,
    notes: dict[str, Any],
    warnings: list[str],
) -> StageResult:
    doubtful = (manifest["noise_prob"] > settings.doubtful) & ~manifest["is_noise"] & manifest["keep"]
    result = complete(
        workspace,
        "noise",
        manifest,
        settings=settings,
        options=options,
        images_root=str(parent.images_root),
        inputs=inputs,
        started=started,
        files=("rounds.parquet",),
        counts={"noise_images": int(manifest["is_noise"].sum()), "doubtful": int(doubtful.sum())},
        backbone=backbone,
        device=device,
        threads=num_threads(),
        notes=notes,
    )
    return StageResult(result.record, was_current=False, warnings=warnings)


def _read_given_seeds(settings: NoiseSettings, manifest: pd.DataFrame) -> pd.DataFrame | None:
    if not settings.seeds:
        return None
    path = Path(settings.seeds)
    if not path.exists():
        raise BadInputError(
            f"{path}: no such seeds", next_step="give a CSV (file_name,is_noise) or a folder with noise/ and normal/"
        )
    return read_seeds(path, manifest)


def _seed_inputs(settings: NoiseSettings, given: pd.DataFrame | None) -> list[Input]:
    return [] if given is None else [Input("seeds", settings.seeds, seeds_digest(given))]


def _outside(given: pd.DataFrame | None) -> list[tuple[str, Path]]:
    if given is None:
        return []
    rows = given[given["file_name"] == ""]
    return [(i, Path(p)) for i, p in zip(rows["image_id"], rows["path"], strict=True)]


def _class_evidence(features: MeanViewFeatures, judged: pd.DataFrame, num_outside: int, seed: int) -> np.ndarray:
    labels, classes = pd.factorize(judged["clean_label"], sort=True)
    rng = open_stream(seed, Stream.NOISE_EVIDENCE_FOLDS)
    fold = assign_folds(duplicate_groups(judged), labels, _EVIDENCE_FOLDS, rng)
    learns = judged["split"].to_numpy() == "train"
    targets = np.concatenate([labels, np.full(num_outside, -1)]).astype(np.int64)
    folds = np.concatenate([fold, np.zeros(num_outside, np.int64)])
    learns = np.concatenate([learns, np.zeros(num_outside, bool)])
    return compute_class_evidence(features, targets, folds, len(classes), learns)


def _noise_features(embeddings: Embeddings, content: MeanViewFeatures, source: str) -> list[Features]:
    """What tells noise: the style of an image, and what is in it where style alone would mislead.

    A cold start picks its seeds by flatness and colours, which style sees at once: alone it finds whatever is flat.
    """
    if embeddings.style is None or not embeddings.style.shape[1]:
        return [content]
    style = StyleFeatures(embeddings.style)
    return [style, content] if source == "auto" else [style]


def _pick_seeds(
    judged: pd.DataFrame,
    given: pd.DataFrame | None,
    verdicts: pd.DataFrame,
    evidence: np.ndarray,
    options: RunOptions,
) -> _Seeds:
    """People's decisions first, then the file's or folder's seeds, else a cold start."""
    outside = _outside(given)
    num = len(judged) + len(outside)
    ids = judged["image_id"].to_numpy()
    kind = np.full(num, -1, np.int8)
    if given is not None:
        by_id = given.set_index("image_id")["is_noise"]
        kind[: len(judged)] = pd.Series(ids).map(by_id).map({True: 1, False: 0}).fillna(-1).to_numpy(np.int8)
        kind[len(judged) :] = given.loc[given["file_name"] == "", "is_noise"].to_numpy(np.int8)
    said = pd.Series(ids).map(verdicts["verdict"])
    decided = said.map({"noise": 1, "normal": 0}).fillna(-1).to_numpy(np.int8)
    person = np.concatenate([decided >= 0, np.zeros(len(outside), bool)])
    kind[: len(judged)] = np.where(decided >= 0, decided, kind[: len(judged)])
    never = np.concatenate([said.isin(["drop", "label"]).to_numpy(), np.zeros(len(outside), bool)])
    kind[never] = -1
    if (kind == 1).any() and (kind == 0).any():
        human = kind >= 0
        source = "file" if given is not None else "people"
        return _Seeds(NoiseSeeds(human, kind == 1, human), source, person, outside)
    if given is not None:
        absent = "noise" if not (kind == 1).any() else "normal"
        raise BadInputError(
            f"there are no {absent} seeds among the images that are kept",
            next_step=f"add some {absent} images to the seeds, or decide on some, and run `cleaner noise` again",
        )
    options.progress.warn(_cold_start_warning(int((kind == 1).sum()), int((kind == 0).sum())))
    candidates = (judged["split"] == "train").to_numpy()
    if int(candidates.sum()) < _FEWEST_FOR_COLD_START:
        raise BadInputError(
            "too few images of split train for a cold start",
            expected=f"{_FEWEST_FOR_COLD_START} at least",
            found=str(int(candidates.sum())),
            next_step="give --seeds FILE, or a list with a column split (cleaner scan --labels)",
        )
    cold = pick_cold_seeds(
        _looks_like_noise(judged),
        ~judged["mode"].isin(_THREE_CHANNEL).to_numpy(),
        evidence,
        candidates,
        open_stream(options.seed, Stream.NOISE_COLD_START),
    )
    # what people said of some images stands, though it is too little to start from
    is_noise = np.where(person, kind == 1, cold.is_noise)
    return _Seeds(NoiseSeeds((cold.is_seed | person) & ~never, is_noise, person), "auto", person, outside)


def _cold_start_warning(num_noise: int, num_normal: int) -> str:
    """Why the stage starts without a person's seeds: they decided on one kind at most."""
    missing = "no seeds"
    if num_noise or num_normal:
        absent, given = ("normal", "noise") if num_noise else ("noise", "normal")
        num = num_noise + num_normal
        missing = f"no {absent} seeds (only {num} {given} seed{'s' if num > 1 else ''} from decisions)"
    return f"{missing}: a cold start from the images' own evidence; a hundred seeds from a person do better (--seeds)"


def _looks_like_noise(judged: pd.DataFrame) -> np.ndarray:
    """(N, 4) float: what `pick_cold_seeds` asks for; NaN where the parent is older than a column."""
    looks = judged.reindex(columns=["information", "num_colors", "flat_share", "aspect"]).to_numpy(np.float64)
    looks[:, 1] = np.where(looks[:, 1] > 0, looks[:, 1], np.nan)
    result: np.ndarray = looks * np.array([-1, -1, 1, -1])
    return result


def _with_scores(
    judged: pd.DataFrame, result: NoiseResult, picked: _Seeds, verdicts: pd.DataFrame, settings: NoiseSettings
) -> pd.DataFrame:
    """The judged rows with the stage's columns filled in."""
    last = result.rounds[-1]
    num = len(judged)
    judged = with_stage_columns(judged, "noise")
    first = np.full(num, -1, np.int16)
    for r in reversed(result.rounds):
        first[r.found[:num]] = r.number
    human = (picked.seeds.is_seed & picked.seeds.is_human)[:num]
    person = picked.person[:num]
    first[human] = 0
    is_noise = np.where(human, picked.seeds.is_noise[:num], last.noise_prob[:num] > settings.threshold)
    evidence = np.where(person, "person", np.where(human, "seed", "model")).astype(object)
    said = judged["image_id"].map(verdicts["verdict"])
    # a label keeps the image in; one to be dropped for another reason is dropped by the next stage
    overruled = ((said == "label").to_numpy() & is_noise) | (said == "drop").to_numpy()
    is_noise[overruled] = False
    evidence[overruled] = "person"
    judged["noise_prob"] = last.noise_prob[:num]
    judged["is_noise"] = is_noise.astype(bool)
    judged["noise_evidence"] = evidence
    judged["noise_round"] = first
    return judged


def _into_manifest(manifest: pd.DataFrame, judged: pd.DataFrame, settings: NoiseSettings) -> pd.DataFrame:
    """The whole manifest: judged rows, and copies that scan dropped with the columns of the copy that stayed."""
    columns = ["noise_prob", "is_noise", "noise_evidence", "noise_round"]
    full = with_stage_columns(manifest, "noise")
    mine = manifest["keep"].to_numpy()
    values = {name: judged[name].to_numpy() for name in columns}
    keys = pd.MultiIndex.from_arrays([manifest["split"], manifest["label"], exact_groups(manifest)])
    # where each row's scores come from: itself, or for a copy that scan dropped the copy that stayed
    first = pd.Series(np.arange(len(judged)), index=keys[mine])
    source = first[~first.index.duplicated()].reindex(keys).fillna(-1).to_numpy(np.int64).copy()
    source[mine] = np.arange(len(judged))
    scored = mine | ((manifest["drop_reason"] == "exact_duplicate").to_numpy() & (source >= 0))
    for name, column in values.items():
        full.loc[scored, name] = column[source[scored]]
    cleaned = full["split"].isin(["train", *settings.clean_split]).to_numpy()
    drop_rows(full, cleaned & full["is_noise"].to_numpy(), "noise", "noise_image")
    return full


def _rounds_table(names: np.ndarray, result: NoiseResult, settings: NoiseSettings) -> pd.DataFrame:
    """Every image above `doubtful` in any round, in each round."""
    num = len(names)
    ever = np.any([r.noise_prob[:num] > settings.doubtful for r in result.rounds], axis=0)
    parts = [
        pd.DataFrame(
            {
                "round": r.number,
                "file_name": names[ever],
                "noise_prob": r.noise_prob[:num][ever],
                "found": r.found[:num][ever],
            }
        )
        for r in result.rounds
    ]
    return pd.concat(parts, ignore_index=True)


def _notes(result: NoiseResult, picked: _Seeds, options: RunOptions) -> tuple[dict[str, Any], list[str]]:
    human = picked.seeds.is_seed & picked.seeds.is_human
    num_noise, num_normal = int((human & picked.seeds.is_noise).sum()), int((human & ~picked.seeds.is_noise).sum())
    calibrated = min(num_noise, num_normal) >= _FEW_SEEDS
    warnings = []
    if not calibrated:
        warnings.append(
            f"noise_prob is uncalibrated: {num_noise} noise and {num_normal} normal seeds from people; "
            f"{_FEW_SEEDS} of each are needed"
        )
    notes = {
        "seeds": {"source": picked.source, "noise": num_noise, "normal": num_normal},
        "calibration": "out-of-fold, prior by EM" if calibrated else "uncalibrated",
        "rounds": [_round_note(r) for r in result.rounds],
        "stopped": result.stopped,
    }
    return notes, warnings


def _round_note(r: NoiseRound) -> dict[str, Any]:
    return {"round": r.number, "found": int(r.found.sum()), "new": r.num_new, "left": r.num_left, "prior": r.prior}


def _round_line(r: NoiseRound) -> str:
    counts = f"found {int(r.found.sum()):,}  new {r.num_new:,}  left {r.num_left:,}"
    return f"  round {r.number}  {counts}  noise share {r.prior:.1%}"
