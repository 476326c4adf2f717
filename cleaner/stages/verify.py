"""`cleaner verify`: is a model trained on the cleaned set better than one trained on the raw set? docs/verify.md."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from cleaner.config import RunOptions, VerifySettings
from cleaner.dataset.stage_documents import VERIFICATION
from cleaner.dataset.store import digest_of, sha256_file, write_json
from cleaner.dataset.workspace import Input, Workspace
from cleaner.errors import BadInputError, UsageError, first_few
from cleaner.modeling.finetune import choose_learner
from cleaner.stages.stage_run import StageResult, StageRun
from cleaner.stages.verify_document import make_document
from cleaner.stages.verify_sets import TestImages, TrainingSet, cleaned_set, find_test_images, listed_set, raw_set
from cleaner.stages.verify_trial import Trial, train_all

_NUM_SEEDS = {"probe": 5, "finetune": 3}


def run_verify(
    workspace: Workspace,
    settings: VerifySettings,
    options: RunOptions,
    from_file: Path | None = None,
    against: Sequence[Path] = (),
) -> StageResult:
    """Train on the raw set, the cleaned set and those that `against` lists, and write `verify/verify.json`.

    Raises StaleStageError without a current manifest, BadInputError if there are too few held-out images, a table of
    `against` cannot be used, or a set is too small to learn from.
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
    opened, right = train_all(run, manifest, trial)
    document = make_document(trial, opened.learner.final_recipe, right, run.options.seed)
    write_json(run.begin() / VERIFICATION, document)
    return run.complete_files(
        [VERIFICATION],
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


def _prepare(sets: list[TrainingSet], test: TestImages, settings: VerifySettings, options: RunOptions) -> Trial:
    """The sets without held-out rows, and the test images whose class is in some set."""
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
            f"{int(unknown.sum()):,} test images are of classes that no set has ({first_few(names)}), and are left out"
        )
    absent = sorted(set(classes) - set(test.images["label"]))
    if absent:
        warnings.append(f"{len(absent):,} classes have no test image and are not judged: {first_few(absent)}")
    rest = TestImages(test.kind, test.where, test.images[~unknown].reset_index(drop=True), test.held_out, warnings)
    if (targets >= 0).sum() == 0:
        raise BadInputError(
            f"{test.where}: no test image is of a class that the sets have",
            expected=f"folders named as the classes: {first_few(classes)}",
            found=first_few(sorted(set(test.images["label"]))),
            next_step="check --val",
        )
    learner = choose_learner(settings.learner, options.device)
    seeds = [options.seed + i for i in range(settings.num_seeds or _NUM_SEEDS[learner])]
    return Trial(sets, rest, classes, targets[~unknown], learner, seeds)
