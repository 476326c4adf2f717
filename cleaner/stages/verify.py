"""`cleaner verify`: is a model of the cleaned set better than one of what the user had? docs/verify.md."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from cleaner.config import RunOptions, VerifySettings
from cleaner.dataset.locations import locate
from cleaner.dataset.store import Arrays, ArrayStore, digest_of, sha256_file, write_json
from cleaner.dataset.workspace import Input, Workspace
from cleaner.errors import BadInputError, UsageError
from cleaner.modeling.backbones import num_threads
from cleaner.modeling.crossval import single_job
from cleaner.modeling.finetune import choose_learner
from cleaner.modeling.learner import Learner
from cleaner.modeling.recipes import Recipe
from cleaner.progress import Task
from cleaner.random_streams import Stream, open_stream
from cleaner.scoring.verification import (
    CONFIDENCE,
    ClassDifferences,
    compare_by_class,
    compare_models,
    mean_accuracy,
    spread_over_slots,
)
from cleaner.stages.learners import OpenedLearner, open_learner
from cleaner.stages.stage_run import StageResult, StageRun
from cleaner.stages.verify_sets import TestImages, TrainingSet, cleaned_set, find_test_images, listed_set, raw_set

DOCUMENT = "verify.json"
SCHEMA_VERSION = 1
_NUM_SEEDS = {"probe": 5, "finetune": 3}


@dataclass(frozen=True)
class _Trial:
    """What is learned from and asked about, in numbers."""

    sets: list[TrainingSet]
    """raw, cleaned, and the others."""
    test: TestImages
    classes: list[str]
    targets: np.ndarray
    """(n,) int64: the true class of each test image; -1 for one without."""
    learner: Literal["probe", "finetune"]
    seeds: list[int]

    @property
    def num_slots(self) -> int:
        """Rows of the largest set."""
        return max(len(s.rows) for s in self.sets)

    @property
    def asked(self) -> np.ndarray:
        """(m,) int64: the test images that have a class."""
        return np.flatnonzero(self.targets >= 0)

    @property
    def weights(self) -> np.ndarray:
        """(n,) float64: how many images each test image stands for; 0 for one without a class."""
        return np.where(self.targets >= 0, self.test.images["weight"].to_numpy(np.float64), 0.0)


def run_verify(
    workspace: Workspace,
    settings: VerifySettings,
    options: RunOptions,
    from_file: Path | None = None,
    against: Sequence[Path] = (),
) -> StageResult:
    """Train on the raw and on the cleaned set (and on those that `against` lists), and write `verify/verify.json`.

    Raises StaleStageError without a current manifest, BadInputError where there are too few held-out images, a table
    of `against` cannot be used, or a set has nothing to learn from.
    """
    run = StageRun.open(workspace, "verify", settings, options, from_file)
    manifest = run.read_parent()
    sets = [raw_set(manifest), cleaned_set(manifest), *(listed_set(path, manifest) for path in against)]
    _check_names(sets)
    run = run.reading(*(Input("against", workspace.relative(path), sha256_file(path)) for path in against))
    test = None if settings.val else find_test_images(run, manifest)
    if test is not None and test.kind == "audit":
        run = run.reading(Input("audit", test.where, _test_digest(test)))
    return run.current() or _verify(run, manifest, sets, test or find_test_images(run, manifest))


def _verify(
    run: StageRun[VerifySettings], manifest: pd.DataFrame, sets: list[TrainingSet], test: TestImages
) -> StageResult:
    trial = _prepare(sets, test, run.settings, run.options)
    opened, right = _train_all(run, manifest, trial)
    document = _document(trial, opened.learner.final_recipe, right, run.options.seed)
    write_json(run.begin() / DOCUMENT, document)
    return run.complete_files(
        [DOCUMENT],
        counts={"test_images": len(trial.asked), "classes": len(trial.classes)},
        machine=opened.machine,
        warnings=document["warnings"],
    )


def _check_names(sets: list[TrainingSet]) -> None:
    names = [s.name for s in sets]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise UsageError(f"two sets are named {twice[0]!r}", expected="--against files with different names")


def _test_digest(test: TestImages) -> str:
    columns = test.images.sort_values(["image_id", "path"])
    return digest_of(*(columns[name].tolist() for name in ("image_id", "label", "stratum", "weight")))


def _prepare(sets: list[TrainingSet], test: TestImages, settings: VerifySettings, options: RunOptions) -> _Trial:
    """The sets without what is held out, and the test images whose class some set has."""
    sets = [s.without(test.held_out) for s in sets]
    for one in sets:
        if len(set(one.labels)) < 2:
            raise BadInputError(
                f"set {one.name}: nothing to learn from",
                expected="images of two classes at least, of split train and not held out",
                found=f"{len(one.rows):,} images of {len(set(one.labels)):,} classes",
                next_step="look at drop_reason in its manifest, or at its list",
            )
    classes = sorted(set().union(*(set(s.labels) for s in sets)))
    number = {name: i for i, name in enumerate(classes)}
    targets = test.images["label"].map(number).fillna(-1).to_numpy(np.int64)
    unknown = (targets < 0) & (test.images["label"] != "").to_numpy()
    warnings = list(test.warnings)
    if unknown.any():
        names = sorted(set(test.images.loc[unknown, "label"]))
        warnings.append(
            f"{int(unknown.sum()):,} test images are of classes that no set has ({_some(names)}): they are left out"
        )
    absent = sorted(set(classes) - set(test.images["label"]))
    if absent:
        warnings.append(f"{len(absent):,} classes have no test image and are not judged: {_some(absent)}")
    rest = TestImages(test.kind, test.where, test.images[~unknown].reset_index(drop=True), test.held_out, warnings)
    if (targets >= 0).sum() == 0:
        raise BadInputError(
            f"{test.where}: no test image is of a class that the sets have",
            expected=f"folders named as the classes: {_some(classes)}",
            found=_some(sorted(set(test.images["label"]))),
            next_step="check --val",
        )
    learner = choose_learner(settings.learner, options.device)
    seeds = [options.seed + i for i in range(settings.num_seeds or _NUM_SEEDS[learner])]
    return _Trial(sets, rest, classes, targets[~unknown], learner, seeds)


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")


@dataclass(frozen=True)
class _Course:
    """What the trainings of all sets share."""

    trial: _Trial
    learner: Learner
    identity: str
    """Digest of all that a model depends on besides its set and seed."""
    place: np.ndarray
    """(N,) int64: where the learner has each row of the manifest; -1 for rows that no set holds."""
    asked: np.ndarray
    """(m,) int64: where the learner has the test images."""
    store: ArrayStore

    def predict(self, one: TrainingSet, seed: int, task: Task) -> np.ndarray:
        """The classes that a model of a set predicts for the test images: (m,) int32; stored, so that a kill costs one.

        Every set is spread over as many slots as the largest has rows: same batches and steps, whatever the learner.
        """
        trial = self.trial
        number = {name: i for i, name in enumerate(trial.classes)}
        all_targets = np.array([number[name] for name in one.labels], np.int64)
        slots, weights = spread_over_slots(one.weights, trial.num_slots, open_stream(seed, Stream.VERIFY_SLOTS))
        rows, targets = self.place[one.rows[slots]], all_targets[slots]
        recipe = self.learner.final_recipe
        key = digest_of("verify", self.identity, rows, targets, weights, self.asked, asdict(recipe), seed)
        if self.store.get(key) is not None:
            task.advance(recipe.epochs)

        def compute(checkpoint_dir: Path) -> Arrays:
            job = single_job(
                rows,
                targets,
                len(trial.classes),
                recipe,
                seed=seed,
                weights=weights,
                checkpoint_dir=checkpoint_dir,
                on_epoch=task.advance,
            )
            (model,) = self.learner.fit(job)
            predicted = np.full(len(self.asked), -1, np.int32)
            for part, probs in model.predict(self.asked):
                predicted[part] = probs.argmax(1)
            return {"predicted": predicted}

        return self.store.resume(key, compute)["predicted"]


def _train_all(
    run: StageRun[VerifySettings], manifest: pd.DataFrame, trial: _Trial
) -> tuple[OpenedLearner, dict[str, np.ndarray]]:
    """Whether the models of each set are right about each test image: (S, n) bool by set, seed by seed."""
    used = np.unique(np.concatenate([s.rows for s in trial.sets]))
    images = trial.test.images.iloc[trial.asked]
    outside = [(i, locate(p)) for i, p in zip(images["image_id"], images["path"], strict=True)]
    rows = manifest.iloc[used]
    opened = open_learner(
        run.workspace,
        run.parent.images_root,
        rows,
        len(trial.classes),
        trial.learner,
        run.settings.embedding,
        run.options,
        outside,
    )
    all_ids = [*rows["image_id"], *(i for i, _ in outside)]
    place = np.full(len(manifest), -1, np.int64)
    place[used] = np.arange(len(used))
    course = _Course(
        trial=trial,
        learner=opened.learner,
        identity=digest_of(opened.learner.identity, trial.learner, all_ids, trial.classes, num_threads()),
        place=place,
        asked=len(used) + np.arange(len(outside)),
        store=ArrayStore(opened.cache / "verify"),
    )
    right = {}
    for one in trial.sets:
        right[one.name] = np.zeros((len(trial.seeds), len(trial.targets)), bool)
        with run.options.progress.task(
            f"learning {one.name}", len(trial.seeds) * opened.learner.final_recipe.epochs
        ) as task:
            for i, seed in enumerate(trial.seeds):
                right[one.name][i, trial.asked] = course.predict(one, seed, task) == trial.targets[trial.asked]
    return opened, right


def _document(trial: _Trial, recipe: Recipe, right: dict[str, np.ndarray], seed: int) -> dict[str, Any]:
    """The content of verify.json; see docs/schemas/verify.schema.json."""
    strata = pd.factorize(trial.test.images["stratum"])[0].astype(np.int64)
    pairs = [("raw", "cleaned")]
    for one in trial.sets[2:]:
        pairs += [("raw", one.name), (one.name, "cleaned")]
    comparisons = []
    for before, after in pairs:
        result = compare_models(right[before], right[after], weights=trial.weights, strata=strata, seed=seed)
        comparisons.append({"before": before, "after": after, **asdict(result), "verdict": result.verdict})
    by_class = compare_by_class(
        right["raw"], right["cleaned"], trial.targets, len(trial.classes), weights=trial.weights, seed=seed
    )
    classes = _class_rows(trial, by_class)
    verdicts = {v: [c["label"] for c in classes if c["verdict"] == v] for v in ("helped", "hurt")}
    return {
        "schema_version": SCHEMA_VERSION,
        "verdict": comparisons[0]["verdict"],
        "confidence": CONFIDENCE,
        "learner": trial.learner,
        "recipe": asdict(recipe),
        "seeds": trial.seeds,
        "slots": trial.num_slots,
        "test": _test_part(trial),
        "sets": [_set_part(one, right[one.name], trial, by_class) for one in trial.sets],
        "comparisons": comparisons,
        "classes_helped": verdicts["helped"],
        "classes_hurt": verdicts["hurt"],
        "classes_emptied": [c["label"] for c in classes if c["emptied"]],
        "classes": classes,
        "warnings": trial.test.warnings,
    }


def _class_rows(trial: _Trial, by_class: ClassDifferences) -> list[dict[str, Any]]:
    """One entry a class that raw or cleaned has. A class that cleaning emptied is hurt where raw knew it at all."""
    sizes = [pd.Series(one.labels, dtype=object).value_counts() for one in trial.sets[:2]]
    rows = []
    for k, (label, verdict) in enumerate(zip(trial.classes, by_class.verdicts(), strict=True)):
        num_before, num_after = (int(counts.get(label, 0)) for counts in sizes)
        if not num_before and not num_after:
            continue
        emptied = num_before > 0 and num_after == 0
        rows.append(
            {
                "label": label,
                "learned_before": num_before,
                "learned_after": num_after,
                "emptied": emptied,
                "test_images": int(by_class.num_images[k]),
                "accuracy_before": _plain(by_class.before[k]),
                "accuracy_after": _plain(by_class.after[k]),
                "low": _plain(by_class.low[k]),
                "high": _plain(by_class.high[k]),
                "p_adjusted": _plain(by_class.p_adjusted[k]),
                "verdict": "hurt" if emptied and by_class.before[k] > 0 else verdict,
            }
        )
    return rows


def _plain(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def _test_part(trial: _Trial) -> dict[str, Any]:
    images = trial.test.images.assign(has_class=trial.targets >= 0)
    strata = [
        {
            "name": str(name),
            "looked_at": len(part),
            "test_images": int(part["has_class"].sum()),
            "stands_for": float(part["weight"].sum()),
        }
        for name, part in images.groupby("stratum", sort=True)
    ]
    return {
        "kind": trial.test.kind,
        "where": trial.test.where,
        "noisy_labels": trial.test.kind == "split",
        "images": len(trial.asked),
        "classes": len(np.unique(trial.targets[trial.asked])),
        "strata": strata,
    }


def _set_part(one: TrainingSet, right: np.ndarray, trial: _Trial, by_class: ClassDifferences) -> dict[str, Any]:
    """What a set holds, and how good its models are: over all test images, and as the mean of the classes."""
    by_seed = mean_accuracy(right, trial.weights)
    known = by_class.num_images > 0
    sums = np.bincount(trial.targets[trial.asked], (right.mean(0) * trial.weights)[trial.asked], len(known))
    totals = np.bincount(trial.targets[trial.asked], trial.weights[trial.asked], len(known))
    return {
        "name": one.name,
        "images": len(one.rows),
        "classes": len(set(one.labels)),
        "accuracy": float(by_seed.mean()),
        "accuracy_by_seed": by_seed.tolist(),
        "mean_class_accuracy": float((sums[known] / totals[known]).mean()),
    }
