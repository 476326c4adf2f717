"""`cleaner labels` with predictions that people bring."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from cleaner.progress import Silent
from cleaner.scoring.held_out import NUM_OTHERS
from cleaner.scoring.out_of_fold import UNDECIDED, OutOfFold
from cleaner.stages.labels.issue_estimate import judge_predictions
from cleaner.stages.labels.label_set import LabelSet
from cleaner.stages.labels.rule import drop_flagged
from tests.support.cross_training import whole_matrix
from tests.support.program import Program, draw_set


def labels_of(work: Path) -> pd.DataFrame:
    return pd.read_parquet(work / "labels" / "manifest.parquet").set_index("file_name")


def record_of(work: Path) -> dict[str, object]:
    record = json.loads((work / "labels" / "stage.json").read_text())
    assert isinstance(record, dict)
    return record


@dataclass
class Brought:
    """Predictions of cross-trained heads for the images of `small_run`, in files, and what is known of the images."""

    names: list[str]
    classes: list[str]
    given: np.ndarray
    probs: np.ndarray
    folder: Path
    files: list[Path] = field(default_factory=list)

    def save(self, name: str, probs: np.ndarray) -> Path:
        np.save(self.folder / name, probs)
        return self.folder / name

    @property
    def options(self) -> list[object]:
        return ["--pred-probs", self.folder / "p.npy", "--pred-ids", self.folder / "ids.txt"]

    def out_of_fold(self) -> OutOfFold:
        """What the rules look at, reduced by sorting whole rows."""
        line = np.arange(len(self.given))
        order = np.argsort(-self.probs, axis=1, kind="stable")
        rank = (order == self.given[:, None]).argmax(1)
        others = order[order != self.given[:, None]].reshape(len(order), -1)[:, :NUM_OTHERS]
        return OutOfFold(
            self.given,
            rank.astype(np.int32),
            self.probs[line, self.given],
            order[:, 0].astype(np.int32),
            self.probs[line, order[:, 0]],
            others.astype(np.int32),
            np.take_along_axis(self.probs, others, 1),
        )


@pytest.fixture(scope="module")
def brought(small_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Brought:
    folder = tmp_path_factory.mktemp("brought")
    own = labels_of(small_run)
    names = own.index[own["fold"] >= 0].tolist()
    classes = sorted(set(own.loc[names, "label"]))
    given = np.searchsorted(classes, own.loc[names, "label"].to_numpy()).astype(np.int64)
    made = Brought(names, classes, given, whole_matrix(small_run, names, classes), folder)
    shuffled = np.random.default_rng(0).permutation(len(names))
    made.save("p.npy", made.probs[shuffled])
    (folder / "ids.txt").write_text("\n".join(names[i] for i in shuffled) + "\n")
    return made


def test_brought_predictions_alone_decide(small_copy: Path, program: Program, brought: Brought) -> None:
    """Exactly as the estimate does on them; no network is loaded, and what an earlier run trained goes away."""
    shutil.rmtree(small_copy / "cache")
    assert (small_copy / "labels" / "models").exists()
    done = program("labels", *brought.options, "--backbone", "no_such_network", "-C", small_copy, "--json")
    assert done.exit_code == 0, done.err
    assert not list(small_copy.rglob("fold_*.safetensors")) and not list((small_copy / "cache").rglob("*.arrays"))
    num, predictions = len(brought.given), brought.out_of_fold()
    rows = np.arange(num)
    labels = LabelSet(
        targets=brought.given,
        fold=rows,
        groups=rows,
        learns=np.ones(num, bool),
        decided=np.full(num, UNDECIDED),
        num_classes=len(brought.classes),
    )
    estimate = judge_predictions(labels, predictions, Silent())
    expected = drop_flagged(labels, [], estimate)
    after = labels_of(small_copy).loc[brought.names]
    assert np.array_equal(after["label_issue_prob"], estimate.issue_prob)
    assert expected.drops.any()
    dropped = after["drop_reason"].str.startswith("label_issue").to_numpy()
    lost_to_a_copy = (after["drop_reason"] == "label_conflict").to_numpy()
    assert np.array_equal(dropped[~lost_to_a_copy], expected.drops[~lost_to_a_copy])
    document = done.document("stage")
    flagged = estimate.issue_prob[estimate.flagged]
    assert document["counts"]["expected_precision"] == pytest.approx(flagged.mean(), abs=0.001)
    assert document["backbone"] == {} and document["notes"]["learner"] == "predictions"
    assert document["settings"]["pred_probs"] == [str(brought.folder / "p.npy")]


def test_passes_and_classes_are_judged_by_them(small_copy: Path, program: Program, brought: Brought) -> None:
    assert program("labels", *brought.options, "-C", small_copy, "-q").exit_code == 0
    after, rank = labels_of(small_copy).loc[brought.names], brought.out_of_fold().given_rank
    assert np.array_equal(after["given_rank"], rank)
    assert np.array_equal(after["pulled_back_round"], np.where(after["label_issue"] == "", 0, -1))
    assert (after.loc[rank >= 5, "label_issue"] == "coarse").all() and (after["fold"] == 0).all()
    rounds = pd.read_parquet(small_copy / "labels" / "rounds.parquet")
    assert set(rounds["round"]) == {0} and set(rounds["recipe"]) == {"predictions"}
    classes = pd.read_parquet(small_copy / "labels" / "classes.parquet").set_index("label")
    of_class = pd.Series(rank == 0).groupby(brought.given).mean().to_numpy()
    assert classes["recognised"].to_numpy() == pytest.approx(of_class, abs=1e-6)


def test_a_teacher_is_not_to_be_had_and_train_says_why(small_copy: Path, program: Program, brought: Brought) -> None:
    assert program("labels", *brought.options, "-C", small_copy, "-q").exit_code == 0
    for name in ("models", "models/fold_0.safetensors"):
        manifest = small_copy / "labels" / "manifest.parquet"
        refused = program("train", "--teacher", small_copy / "labels" / name, "--from", manifest, "-C", small_copy)
        assert refused.exit_code == 3 and "--pred-probs decided alone" in refused.err, refused.err


def test_no_image_is_read_and_torch_is_not_loaded(program: Program, tmp_path: Path) -> None:
    images, work = draw_set(tmp_path / "images", num=6), tmp_path / "work"
    assert program("scan", images, "-C", work).exit_code == 0
    names = sorted(p.relative_to(images).as_posix() for p in images.rglob("*.png"))
    shutil.rmtree(images)
    (work / "ids.txt").write_text("\n".join(names) + "\n")
    np.save(work / "p.npy", np.repeat([[0.9, 0.1], [0.2, 0.8]], 6, axis=0).astype(np.float16))
    run = ["labels", "--pred-probs", str(work / "p.npy"), "--pred-ids", str(work / "ids.txt"), "-C", str(work)]
    code = (
        f"import sys; from cleaner.cli.app import main; sys.argv = ['cleaner', *{run!r}]\n"
        "try: main()\n"
        "except SystemExit as end: print(end.code, {'torch', 'timm'} & {*sys.modules}, file=sys.__stdout__)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "0 set()", done.stderr
    assert labels_of(work)["keep"].all()


def test_predictions_named_in_the_settings_file(
    program: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They lie beside the file, wherever the command is typed; one name, or a list."""
    images, work, elsewhere = draw_set(tmp_path / "images", num=6), tmp_path / "work", tmp_path / "elsewhere"
    elsewhere.mkdir()
    assert program("scan", images, "-C", work).exit_code == 0
    names = sorted(p.relative_to(images).as_posix() for p in images.rglob("*.png"))
    (work / "ids.txt").write_text("\n".join(names) + "\n")
    monkeypatch.chdir(elsewhere)
    for text, files in (('"probs.npy"', ["probs.npy"]), ('["probs.npy", "more.npy"]', ["probs.npy", "more.npy"])):
        for number, name in enumerate(files):
            np.save(work / name, np.full((12, 2), 0.5, (np.float32, np.float64)[number]))
        (work / "cleaner.toml").write_text(f'[labels]\npred_probs = {text}\npred_ids = "ids.txt"\nfolds = 2\n')
        done = program("labels", "-C", work, "--json")
        assert done.exit_code == 0, done.err
        document = done.document("stage")
        assert document["settings"]["pred_probs"] == [str(work / name) for name in files]
        assert [Path(i["file"]).name for i in document["inputs"] if i["role"] == "pred_probs"] == [*files, "ids.txt"]
        assert program("labels", "-C", work, "--json").document("stage")["was_current"]


def test_several_are_averaged(small_copy: Path, program: Program, brought: Brought, tmp_path: Path) -> None:
    rng, order = np.random.default_rng(1), np.random.default_rng(2).permutation(len(brought.names))
    noisy = rng.dirichlet(np.full(len(brought.classes), 0.2), len(brought.names))
    np.save(tmp_path / "one.npy", brought.probs)
    np.save(tmp_path / "two.npy", noisy[order])
    np.save(tmp_path / "mean.npy", (brought.probs + noisy) / 2)
    (tmp_path / "ids.txt").write_text("\n".join(brought.names) + "\n")
    (tmp_path / "two.txt").write_text("\n".join(brought.names[i] for i in order) + "\n")
    outcomes = []
    one, two = ["--pred-probs", tmp_path / "one.npy"], ["--pred-probs", tmp_path / "two.npy"]
    ids, its_ids = ["--pred-ids", tmp_path / "ids.txt"], ["--pred-ids", tmp_path / "two.txt"]
    for given in ([*one, *two, *ids, *its_ids], ["--pred-probs", tmp_path / "mean.npy", *ids]):
        done = program("labels", *given, "-C", small_copy, "-q")
        assert done.exit_code == 0, done.err
        outcomes.append(labels_of(small_copy))
    assert outcomes[0]["keep"].equals(outcomes[1]["keep"])
    prob = [o["label_issue_prob"].fillna(0).to_numpy() for o in outcomes]
    assert prob[0] == pytest.approx(prob[1], abs=1e-3)
    # whose rows are whose matters, and not what files there are
    swapped = program("labels", *one, *two, *its_ids, *ids, "-C", small_copy, "--dry-run", "--json")
    assert swapped.document("dry-run")["stages"][0]["would_run"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda p, names: (p[:, :-1] / p[:, :-1].sum(1, keepdims=True), names), "has another shape"),
        (lambda p, names: (p[:-1], names[:-1]), "have no prediction"),
        (lambda p, names: (np.concatenate([p, p[:1]]), [*names, "EXTRA"]), "names other images than"),
    ],
)
def test_a_second_model_with_other_classes_or_rows_is_refused(
    small_copy: Path, program: Program, brought: Brought, tmp_path: Path, change: object, words: str
) -> None:
    probs, names = change(brought.probs, brought.names)  # type: ignore[operator]
    not_judged = labels_of(small_copy).query("fold < 0").index[0]
    np.save(tmp_path / "two.npy", probs)
    (tmp_path / "two.txt").write_text("\n".join(names).replace("EXTRA", not_judged) + "\n")
    more = ["--pred-probs", tmp_path / "two.npy", "--pred-ids", tmp_path / "two.txt"]
    refused = program("labels", *brought.options, *more, "-C", small_copy)
    assert refused.exit_code == 3 and words in refused.err, refused.err
    assert program("labels", *brought.options, *more[:2], *more[:2], *more[2:], "-C", small_copy).exit_code == 2


def test_a_blend_weighs_a_good_model_more_than_a_bad_one(
    small_copy: Path, program: Program, brought: Brought, tmp_path: Path
) -> None:
    truth = 0.9 * np.eye(len(brought.classes))[brought.given] + 0.1 / len(brought.classes)
    chance = np.random.default_rng(0).dirichlet(np.full(len(brought.classes), 0.5), len(brought.names))
    (tmp_path / "ids.txt").write_text("\n".join(brought.names) + "\n")
    weights = []
    for name, probs in (("good", truth), ("bad", chance)):
        np.save(tmp_path / f"{name}.npy", probs)
        given = ["--pred-probs", tmp_path / f"{name}.npy", "--pred-ids", tmp_path / "ids.txt", "--pred-probs-blend"]
        done = program("labels", *given, "-C", small_copy, "--json")
        assert done.exit_code == 0, done.err
        notes = done.document("stage")["notes"]
        weights.append(notes["rule"]["brought_weight"])
        assert notes["learner"] == "probe" and len(notes["rule"]["rounds"]) > 1
        assert (small_copy / "labels" / "models" / "fold_0.safetensors").exists()
    assert weights[0] > 0.5 and weights[1] < 0.1, weights


def test_how_many_wrong_labels_are_to_be_expected(small_copy: Path, program: Program) -> None:
    """The summary, the status and the record say the same, and a look lowers the number."""
    done = program("labels", "--drop", "none", "-C", small_copy)
    after = labels_of(small_copy)
    waiting = after[after["keep"] & (after["label_issue"] != "")]
    expected, num = float(waiting["label_issue_prob"].sum()), len(waiting)
    counts = record_of(small_copy)["counts"]
    assert isinstance(counts, dict)
    assert counts["expected_wrong"]["for_people"] == round(expected, 1) and counts["expected_wrong"]["dropped"] == 0
    assert counts["expected_wrong"]["all"] == pytest.approx(after["label_issue_prob"].sum(), abs=0.06)
    about = round(counts["expected_wrong"]["for_people"])
    words = f"about {about} of them wrong"
    assert f"{num} labels for people to judge" in done.out and f"{about} of the {num} for people" in done.out
    assert f"label issues that are kept, {words}" in program("status", "-C", small_copy, "--no-images").out
    surest = waiting.sort_values("label_issue_prob").iloc[-1]
    assert program("decide", surest.name, "--drop", "-C", small_copy, "-q").exit_code == 0
    document = program("status", "-C", small_copy, "--no-images", "--json").document("status")
    (queue,) = [w for w in document["waiting"] if w["what"].startswith("label issues")]
    assert queue["num"] == num - 1
    assert queue["expected_wrong"] == pytest.approx(expected - surest["label_issue_prob"], abs=0.06)
