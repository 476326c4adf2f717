"""What `verify` compares: training sets, and the held-out images that models are tested on."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from cleaner.config import VerifySettings
from cleaner.dataset.audits import AuditSample, find_answered, find_last_sample
from cleaner.dataset.class_folders import TRAIN
from cleaner.dataset.decisions import DecisionStore
from cleaner.dataset.lineage import Parent
from cleaner.dataset.names import image_path, matching_names
from cleaner.dataset.tables import plain_names, read_table, read_truth, refuse, require_columns, with_rows
from cleaner.dataset.workspace import MANIFEST
from cleaner.errors import BadInputError
from cleaner.scoring.groups import duplicate_groups, exact_groups
from cleaner.stages.held_out import inspect_held_out
from cleaner.stages.stage_run import StageRun

MIN_IMAGES = 20
"""The fewest test images: with 20, only differences of 30 points or more can be told from chance."""
_JUDGED = "judged before"


@dataclass(frozen=True)
class TrainingSet:
    """A training set."""

    name: str
    rows: np.ndarray
    """(n,) int64: row numbers in the manifest."""
    labels: np.ndarray
    """(n,) object: the classes to learn."""
    weights: np.ndarray
    """(n,) float64: the weight of each row."""

    def without(self, held_out: np.ndarray) -> TrainingSet:
        """The set without the rows marked in `held_out` (N,) bool."""
        rest = ~held_out[self.rows]
        return TrainingSet(self.name, self.rows[rest], self.labels[rest], self.weights[rest])


@dataclass(frozen=True)
class TestImages:
    """Images with a label that no model learns from."""

    kind: Literal["val", "audit", "split"]
    where: str
    """A description for people."""
    images: pd.DataFrame
    """image_id, path, label ('': audited, but of no class, so no test image), stratum, weight (images of the population
    that it represents)."""
    held_out: np.ndarray
    """(N,) bool: rows of the manifest that no set may hold: test images and their copies."""
    warnings: list[str] = field(default_factory=list)


def raw_set(manifest: pd.DataFrame) -> TrainingSet:
    """The set before cleaning: all readable rows of split train with their given labels."""
    rows = np.flatnonzero(_can_learn(manifest) & (manifest["label"] != "").to_numpy())
    return TrainingSet("raw", rows, manifest["label"].to_numpy()[rows], np.ones(len(rows)))


def cleaned_set(manifest: pd.DataFrame) -> TrainingSet:
    """The cleaned set: the kept rows of split train with their clean labels, repeated as balance says."""
    keep = _can_learn(manifest) & manifest["keep"].to_numpy() & (manifest["clean_label"] != "").to_numpy()
    rows = np.flatnonzero(keep)
    repeats = manifest["repeats"].to_numpy(np.float64)[rows] if "repeats" in manifest else np.ones(len(rows))
    return TrainingSet("cleaned", rows, manifest["clean_label"].to_numpy()[rows], repeats)


def listed_set(path: Path, manifest: pd.DataFrame) -> TrainingSet:
    """A set listed in a table: `file_name` as in the manifest, and optionally `keep` (true/false), `clean_label` or
    `label`, and `repeats`. Any manifest of the same images is such a table, and so is a list of names to keep.

    Only readable rows of split train count. Raises BadInputError, naming the row, for a name that is not in the
    manifest or listed twice, and for a value that cannot be read.
    """
    table = read_table(path)
    require_columns(table, path, ("file_name",))
    names = matching_names(plain_names(table["file_name"]), manifest["file_name"].tolist())
    row_of = pd.Series(np.arange(len(manifest)), index=manifest["file_name"].to_numpy())
    refuse(path, with_rows(names[~names.isin(row_of.index)]), "file names that are not in the manifest")
    refuse(path, with_rows(names[names.duplicated()]), "file names that are listed twice")
    rows = row_of.loc[names.tolist()].to_numpy(np.int64)
    keep = _can_learn(manifest)[rows]
    if "keep" in table:
        keep &= read_truth(table["keep"], path).to_numpy()
    weights = np.ones(len(rows))
    if "repeats" in table:
        weights = pd.to_numeric(table["repeats"], errors="coerce").to_numpy(np.float64)
        wrong = table.loc[keep & ~(weights > 0), "repeats"]
        refuse(path, with_rows(wrong), "values of repeats that are not numbers above 0")
    column = next((name for name in ("clean_label", "label") if name in table), "")
    labels = table[column].to_numpy() if column else manifest["label"].to_numpy()[rows]
    keep &= labels != ""
    order = np.argsort(rows[keep], kind="stable")
    name = f"{path.absolute().parent.name}/{path.name}" if path.name == MANIFEST else path.name
    return TrainingSet(name, rows[keep][order], labels[keep][order], weights[keep][order])


def _can_learn(manifest: pd.DataFrame) -> np.ndarray:
    can: np.ndarray = manifest["readable"].to_numpy() & (manifest["split"] == TRAIN).to_numpy()
    return can


def find_test_images(run: StageRun[VerifySettings], manifest: pd.DataFrame) -> TestImages:
    """The held-out images: those below the setting `val` if it is given, else audited ones, else held-out splits.

    Raises BadInputError if there are too few.
    """
    if run.settings.val:
        test = _from_folder(run, manifest)
        found = f"{len(test.images):,} images below {run.settings.val}"
    else:
        sample = find_last_sample(run.workspace)
        test = _from_splits(run.parent, manifest) if sample is None else _from_audit(run, manifest, sample)
        if test.kind == "audit" and _num_labelled(test) < MIN_IMAGES:
            found = f"{_num_labelled(test):,} audited images with a label"
            test = _from_splits(run.parent, manifest)
        else:
            found = "no audit, and no held-out split"
    if _num_labelled(test) < MIN_IMAGES:
        raise BadInputError(
            "too few held-out images to compare models on",
            expected=f"at least {MIN_IMAGES} with a label, and hundreds to detect a difference of a few points",
            found=found,
            next_step="give --val DIR (class folders that cleaning never saw), or audit images with "
            "`cleaner audit` and `cleaner review audit`",
        )
    return test


def _num_labelled(test: TestImages) -> int:
    return int((test.images["label"] != "").sum())


def _from_folder(run: StageRun[VerifySettings], manifest: pd.DataFrame) -> TestImages:
    val = run.settings.val
    found = inspect_held_out(run.workspace, val, run.options)
    known = manifest.loc[_can_learn(manifest), _identity(manifest)]
    is_copy, is_sound = found[_identity(manifest)].isin(known).to_numpy(), found["sound"].to_numpy()
    num_copies, num_unsound = int((is_sound & is_copy).sum()), int((~is_sound).sum())
    warnings = []
    if num_copies:
        warnings.append(f"{num_copies:,} images below {val} are among the training images: left out of the test")
    if num_unsound:
        warnings.append(f"{num_unsound:,} files below {val} cannot be read, or lie in no class folder")
    images = found.loc[is_sound & ~is_copy, ["image_id", "path", "label"]].reset_index(drop=True)
    images = images.assign(stratum="val", weight=1.0)
    return TestImages("val", val, images, np.zeros(len(manifest), bool), warnings)


def _identity(manifest: pd.DataFrame) -> str:
    """The column that is equal in exact copies: of pixels if the scan recorded them, else of bytes."""
    return "pixel_id" if "pixel_id" in manifest else "image_id"


def _from_splits(parent: Parent, manifest: pd.DataFrame) -> TestImages:
    """All readable images of other splits with their given labels, except copies of training images."""
    groups = exact_groups(manifest)
    learned = np.unique(groups[_can_learn(manifest)])
    other = manifest["readable"].to_numpy() & (manifest["split"] != TRAIN).to_numpy()
    rows = np.flatnonzero(other & (manifest["label"] != "").to_numpy() & ~np.isin(groups, learned))
    images = _rows_as_images(parent, manifest, rows)
    images["stratum"] = manifest["split"].to_numpy()[rows]
    splits = sorted(set(images["stratum"]))
    warning = (
        f"the labels of split {', '.join(splits)} are as given: if they are as noisy as the training labels, all "
        "accuracies and differences come out too small, and if wrong labels follow a pattern, a model that learned "
        "the pattern looks better than it is; use --val DIR with checked labels, or an audit"
    )
    where = f"split {', '.join(splits)} as given" if splits else ""
    return TestImages("split", where, images, np.zeros(len(manifest), bool), [warning] if splits else [])


def _from_audit(run: StageRun[VerifySettings], manifest: pd.DataFrame, sample: AuditSample) -> TestImages:
    """Audited images with the labels that people gave, each weighted by the rows of its stratum that it represents.

    Images that people called noise or unusable represent that share of their stratum, and have no label.
    """
    store = DecisionStore(run.workspace.decisions_path)
    answered = find_answered(store, sample.record.after_seq)
    verdicts = store.image_verdicts()
    drawn = sample.rows[sample.rows["image_id"].isin(answered & set(verdicts.index))].copy()
    said = verdicts.loc[drawn["image_id"]]
    drawn["verdict"], drawn["verdict_label"] = said["verdict"].to_numpy(), said["label"].to_numpy()
    looks = pd.concat([drawn, sample.judged.assign(stratum=_JUDGED)], ignore_index=True)
    looks = looks[looks["verdict"].isin(["label", "noise", "drop"])]  # `unsure` and `normal` do not give a class
    looks = looks[looks["file_name"].isin(manifest["file_name"])]
    row_of = pd.Series(np.arange(len(manifest)), index=manifest["file_name"].to_numpy())
    rows = row_of.loc[looks["file_name"].tolist()].to_numpy(np.int64)
    images = _rows_as_images(run.parent, manifest, rows)
    has_label = (looks["verdict"] == "label").to_numpy()
    images["label"] = np.where(has_label, looks["verdict_label"], "").astype(object)
    images["stratum"] = looks["stratum"].to_numpy()
    sizes = {**sample.record.sizes, _JUDGED: len(sample.judged)}
    num_looks = images["stratum"].value_counts()
    images["weight"] = [sizes[name] / num_looks[name] for name in images["stratum"]]
    held_out = np.zeros(len(manifest), bool)
    held_out[rows[has_label]] = True
    for groups in (duplicate_groups(manifest), exact_groups(manifest)):
        held_out |= np.isin(groups, groups[held_out])
    return TestImages("audit", f"audited images of {sample.record.stage}", images, held_out)


def _rows_as_images(parent: Parent, manifest: pd.DataFrame, rows: np.ndarray) -> pd.DataFrame:
    part = manifest.iloc[rows]
    return pd.DataFrame(
        {
            "image_id": part["image_id"].to_numpy(),
            "path": pd.Series([str(image_path(parent.images_root, name)) for name in part["file_name"]], dtype=object),
            "label": part["label"].to_numpy(),
            "stratum": "",
            "weight": 1.0,
        }
    )
