"""Every file that people may have touched: how a sound one is made, by which reader it is read, and what holds then."""

from __future__ import annotations

import functools
import json
import math
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pandas as pd
import torch
from safetensors.torch import save_file

from cleaner.config import Config, EmbeddingSettings
from cleaner.config_sources import read_config
from cleaner.dataset.audits import AuditRecord, AuditSample, audit_dir, read_sample, write_sample
from cleaner.dataset.class_names import read_class_names
from cleaner.dataset.decision_files import export_decisions, import_decisions
from cleaner.dataset.decisions import DecisionStore
from cleaner.dataset.digests import DigestCache
from cleaner.dataset.events import VERDICTS
from cleaner.dataset.found_classes import read_findings
from cleaner.dataset.importers import read_seeds
from cleaner.dataset.label_lists import read_labels
from cleaner.dataset.label_studio import read_annotations
from cleaner.dataset.manifest import read_manifest, with_stage_columns, write_manifest, write_table
from cleaner.dataset.manifest_rows import read_pieces
from cleaner.dataset.manifest_schema import contract_columns, stage_fields
from cleaner.dataset.predictions import JudgedImages, read_predictions
from cleaner.dataset.stage_documents import METRICS, VERIFICATION, read_metrics, read_verification
from cleaner.dataset.stage_tables import CLASSES, ROUNDS, VOTES, StageTable, read_stage_table
from cleaner.dataset.store import ArrayStore, write_json
from cleaner.dataset.workspace import Workspace
from cleaner.errors import CleanerError
from cleaner.modeling.backbones import load_backbone
from cleaner.modeling.cards import NetworkCard, ProbeCard, read_card
from cleaner.modeling.checkpoints import load_checkpoint, save_checkpoint
from cleaner.modeling.teachers import load_teachers
from cleaner.scoring.out_of_fold import OutOfFold
from cleaner.stages.labels.last_predictions import FILE, LastPredictions
from cleaner.stages.verify_sets import listed_set
from tests.support.damage_kinds import (
    ANY_FILE,
    ARRAY,
    DATABASE,
    DOCUMENT,
    HOSTILE_TEXTS,
    PTH,
    TABLE,
    TENSORS,
    Damage,
    change_text,
    undo,
)
from tests.support.networks import SIDE, TINY
from tests.support.places import SCHEMAS
from tests.support.records import record_of

NUM = 6
IDS = [f"{i:064x}" for i in range(NUM)]
NAMES = [f"{label}/{i}.png" for i, label in enumerate(("cat", "cat", "dog", "dog", "owl", "owl"))]
LABELS = [name.partition("/")[0] for name in NAMES]
KNOWN = ["cat", "dog", "owl"]


@dataclass(frozen=True)
class Kind:
    """One kind of file."""

    name: str
    file: str
    """The file that is damaged, in a folder of its own."""
    write: Callable[[Path], None]
    """Makes a sound one in an empty folder."""
    read: Callable[[Path], Any]
    """The reader, for that folder."""
    check: Callable[[Any], object]
    """Raises AssertionError, or any error, for what a sound file would not have given."""
    damages: dict[str, Damage] = field(default_factory=dict)
    """By name, besides `ANY_FILE`."""

    @property
    def all_damages(self) -> dict[str, Damage]:
        """Every damage that is tried on it."""
        return ANY_FILE | self.damages


def attempt(kind: Kind, folder: Path) -> str:
    """`right`, `error`, or what is wrong, after reading the file in `folder`."""
    try:
        value = kind.read(folder)
    except CleanerError as error:
        if error.exit_code not in (2, 3):
            return f"exit {error.exit_code}: {error}"
        if not error.next_step or not any(name in str(error) for name in (kind.file.rpartition("/")[2], str(folder))):
            return f"no file or no next step: {error}"
        return "error"
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    try:
        kind.check(value)
    except Exception as error:
        return f"silent: {type(error).__name__}: {error}"
    return "right"


def make_sound(kind: Kind, folder: Path) -> None:
    """A sound file of the kind in `folder`, whatever was there before."""
    undo(folder)
    for name, data in _sound_files(kind.name).items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


@functools.cache
def _sound_files(name: str) -> dict[str, bytes]:
    """What the writer of a kind writes, by name."""
    with tempfile.TemporaryDirectory() as folder:
        next(kind for kind in KINDS if kind.name == name).write(Path(folder))
        files = [path for path in Path(folder).rglob("*") if path.is_file()]
        return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def manifest_frame() -> pd.DataFrame:
    """A manifest of `NUM` images through the noise stage."""
    rows = pd.DataFrame({"file_name": NAMES, "image_id": IDS, "keep": True, "drop_stage": "", "drop_reason": ""})
    rows = with_stage_columns(with_stage_columns(rows.assign(clean_label=LABELS), "scan"), "noise")
    return rows.assign(readable=True, label=LABELS, split="train", width=9, height=7)


def _write_manifest(folder: Path) -> None:
    write_manifest(folder / "manifest.parquet", manifest_frame(), stage="noise", parent_sha256="")


def _is_manifest(found: pd.DataFrame) -> None:
    assert found["file_name"].is_unique
    for name in ("file_name", "image_id", "drop_stage", "label", "fault", "noise_evidence"):
        assert found[name].map(lambda text: isinstance(text, str)).all()
    assert all(name and not name.startswith("/") and ".." not in name.split("/") for name in found["file_name"])
    assert found["noise_prob"].dropna().between(0, 1.001).all()
    assert found["image_id"].str.fullmatch("([0-9a-f]{64})?").all()


def _read_pieces(folder: Path) -> pd.DataFrame:
    names = [*contract_columns(), *(f.name for f in stage_fields("noise"))]
    rows = [row for piece in read_pieces(folder / "manifest.parquet", names) for row in piece.to_pylist()]
    return pd.DataFrame(rows, columns=names).drop_duplicates("file_name")


def _write_record(folder: Path) -> None:
    notes = {"seeds": {"source": "file"}, "calibration": "", "stopped": "stable", "rounds": []}
    counts = {"rows": 6, "kept": 6, "dropped": {"noise_image": 0}, "doubtful": 2, "noise_images": 0}
    settings = Config().noise.as_record()
    _write_manifest(folder / "noise")
    workspace = Workspace(folder)
    workspace.write_record(record_of("noise", notes=notes, counts=counts, settings=settings), ["manifest.parquet"])


def _is_record(record: Any) -> None:
    if record is None:
        return
    assert record.stage == "noise" and isinstance(record.seed, int) and isinstance(record.images_root, str)
    assert all(isinstance(record.counts[name], int) for name in ("rows", "kept"))
    assert isinstance(record.counts.get("doubtful", 0), int)
    assert all(isinstance(v, str) and ".." not in k for k, v in record.outputs.items())
    assert isinstance(record.settings.get("threshold", 0.9), float) and isinstance(record.notes.get("rounds", []), list)


def _write_decisions(folder: Path) -> None:
    store = DecisionStore(folder / "decisions.sqlite")
    first = store.add("image", IDS[0], "label", label="cat", annotator="ann", queue="labels")
    store.add("image", IDS[1], "noise", annotator="bob")
    store.add("class", "owl", "merge", label="dog", annotator="ann")
    store.undo(first, "ann")


def _read_decisions(folder: Path) -> Any:
    store = DecisionStore(folder / "decisions.sqlite")
    return store.events(), store.standing(), store.image_verdicts(), store.class_verdicts()


def _are_decisions(found: Any) -> None:
    events = found[0]
    for event in events.to_dict("records"):
        assert event["kind"] in VERDICTS and event["verdict"] in ("", *VERDICTS[event["kind"]])
        assert all(isinstance(event[n], str) for n in ("key", "queue", "label", "annotator", "time_utc"))
        assert event["kind"] == "class" or len(bytes.fromhex(event["key"])) == 32


def _write_export(suffix: str) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        _write_decisions(folder)
        export_decisions(folder / f"decisions{suffix}", DecisionStore(folder / "decisions.sqlite"))
        (folder / "decisions.sqlite").unlink()

    return write


def _import(suffix: str) -> Callable[[Path], Any]:
    def read(folder: Path) -> Any:
        undo(folder / "store.sqlite")
        store = DecisionStore(folder / "store.sqlite")
        import_decisions(folder / f"decisions{suffix}", store, manifest_frame())
        return (store.events(),)

    return read


def _write_answers(folder: Path) -> None:
    chosen = {"from_name": "label", "type": "choices", "value": {"choices": ["dog"]}}
    said = {"result": [chosen], "completed_by": {"id": 3, "email": "ann@x"}, "updated_at": "2026-01-01T00:00:00Z"}
    write_json(folder / "answers.json", [{"data": {"image_id": i}, "annotations": [said]} for i in IDS[:4]])


def _import_answers(folder: Path) -> Any:
    undo(folder / "store.sqlite")
    store = DecisionStore(folder / "store.sqlite")
    import_decisions(folder / "answers.json", store, manifest_frame(), read=read_annotations)
    return (store.events(),)


def _write_settings(folder: Path) -> None:
    (folder / "cleaner.toml").write_text(
        '[scan]\nlabels_file = "labels.csv"\nsplits = ["val=b"]\nmax_pixels = 50000000\n[noise]\nthreshold = 0.9\n'
        '[labels]\nfolds = 5\nrule = "auto"\n[balance]\ntau = 1.0\n[embedding]\nviews = 2\nbackbone = "embedded"\n'
    )


_TOML_VALUES = (
    *("views = true", "tau = inf", "tau = nan", "tau = -inf", "threshold = 1e400", "folds = 5.0", "folds = '5'"),
    *(
        "labels_file = 7",
        'labels_file = "a\\u0000b"',
        f'labels_file = "{"a" * 5000}"',
        "labels_file = [1]",
        "splits = {a = 1}",
        "[noise]",
    ),
    *("[other]", "noise = 3", "[[scan]]", "x = 2020-01-01", "folds = 99999999999999999999", "= 3", "a.b.c = 1"),
    *("[" * 2000, "folds = [[[5]]]", 'backbone = ""', "folds = -1", "max_pixels = true", "seeds = false"),
)


def _are_settings(config: Config) -> None:
    for table in config.nested():
        for name, setting in getattr(config, table).declared().items():
            value = getattr(getattr(config, table), name)
            for one in value if isinstance(value, tuple) else [value]:
                assert one is None or type(one) is setting.kind, name
                assert not isinstance(one, float) or math.isfinite(one), name


def _table_writer(table: StageTable, rows: dict[str, Any], name: str) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        write_table(folder / name, pd.DataFrame(rows), table.schema)

    return write


def _table_reader(table: StageTable, name: str) -> Callable[[Path], Any]:
    return lambda folder: read_stage_table(folder / name, table)


def _is_table(found: pd.DataFrame) -> None:
    for name in found:
        column = found[name]
        if column.dtype == object:
            assert column.map(lambda value: isinstance(value, str)).all(), name
        elif column.dtype.kind == "f":
            assert not np.isinf(column).any(), name
        else:
            assert (column >= -1).all(), name
    if "label" in found and "action" in found:
        assert found["label"].is_unique


_CLASS_ROWS: dict[str, Any] = {"label": KNOWN, "nearest": "", "finding": ["", "jumbled", ""], "overlaps_with": ""}
_CLASS_ROWS |= dict.fromkeys(("recognised_with", "spread", "separability", "separability_error", "overlap"), 0.5)
_BALANCED = _CLASS_ROWS | dict.fromkeys(("size_raw", "size_clean", "sum_repeats"), 2) | {"action": "keep"}
_BALANCED |= dict.fromkeys(("oof_accuracy", "share_kept", "coherence_p", "rank_p", "kept_coherence_p"), math.nan)
_BALANCED |= {"evidence": "model"}
_FOUND = _CLASS_ROWS | {"images": 2, "kept": 2, "issue_prob": 0.1, "recognised": 0.9}
_VOTED = {"file_name": NAMES, "label": LABELS, "votes": 2, "share": 1.0}
_NOISE_ROUNDS = {"round": 1, "file_name": NAMES, "noise_prob": 0.25, "found": False}
_LABEL_ROUNDS = {"pass": "coarse", "round": 0, "recipe": "plain", "file_name": NAMES, "given_rank": 0}
_LABEL_ROUNDS |= {"self_confidence": 0.5, "predicted_label": "cat", "positive": True}


def _read_findings(folder: Path) -> Any:
    return read_findings(folder / "classes.parquet", KNOWN, {})


def _write_audit(folder: Path) -> None:
    record = AuditRecord(
        stage="noise",
        manifest_sha256="ab" * 32,
        seed=0,
        created_utc="2026-01-01T00:00:00+00:00",
        after_seq=0,
        splits=["train"],
        sizes={"kept": 4},
        judged_sizes={"kept": 2},
    )
    rows = pd.DataFrame({"image_id": IDS, "file_name": NAMES, "label": LABELS, "stratum": "kept"})
    judged = rows.assign(verdict="label", verdict_label="cat")
    write_sample(Workspace(folder), AuditSample(record, rows.iloc[:4], judged.iloc[4:]))


_AUDIT = audit_dir(Workspace(Path()), "ab" * 32).as_posix()


def _is_audit(sample: AuditSample | None) -> None:
    if sample is not None:
        _is_table(sample.rows)
        assert set(sample.rows["stratum"]) <= sample.record.sizes.keys()
        assert all(isinstance(n, int) for n in sample.record.sizes.values())
        assert set(sample.judged["verdict"]) <= {"label", "noise", "normal", "drop", "unsure"}


def _write_seeds(folder: Path) -> None:
    rows = "\n".join(f"{name},{i < 2}" for i, name in enumerate(NAMES))
    (folder / "seeds.csv").write_text(f"file_name,is_noise\n{rows}\n")


def _write_table_of(columns: dict[str, Any], name: str) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        frame = pd.DataFrame(columns)
        if name.endswith(".parquet"):
            frame.to_parquet(folder / name, index=False)
        elif name.endswith(".jsonl"):
            frame.to_json(folder / name, orient="records", lines=True)
        else:
            frame.to_csv(folder / name, index=False)

    return write


def _are_seeds(seeds: pd.DataFrame) -> None:
    assert set(seeds["image_id"]) <= set(IDS) and set(seeds["is_noise"]) == {True, False}


def _are_labels(listed: Any) -> None:
    for name in listed.table["file_name"]:
        assert isinstance(name, str) and name and not name.startswith("/") and ".." not in name.split("/")
    assert listed.table["label"].map(lambda text: isinstance(text, str) and text != "").all()
    assert listed.table["file_name"].is_unique


def _write_predictions(folder: Path) -> None:
    probs = np.random.default_rng(0).dirichlet(np.ones(3), NUM).astype(np.float32)
    np.save(folder / "probs.npy", probs)
    (folder / "ids.txt").write_text("\n".join(NAMES))


def _read_predictions(folder: Path) -> Any:
    images = JudgedImages(file_names=NAMES, known_names=NAMES, classes=KNOWN, learned=KNOWN)
    brought = read_predictions([folder / "probs.npy"], [folder / "ids.txt"], images)
    return np.concatenate([values for _, values in brought.predict(np.arange(NUM))])


def _are_probabilities(probs: np.ndarray) -> None:
    assert probs.shape == (NUM, 3) and (probs >= 0).all() and np.allclose(probs.sum(1), 1, atol=0.02)


def tiny_state() -> dict[str, torch.Tensor]:
    """The weights of a tiny network of three classes."""
    import timm

    torch.manual_seed(0)
    state: dict[str, torch.Tensor] = timm.create_model(TINY, num_classes=3).state_dict()
    return state


def _write_weights(suffix: str) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        state = tiny_state()
        if suffix == ".pth":
            torch.save(state, folder / "weights.pth")
        else:
            save_file(state, folder / "weights.safetensors")

    return write


def _read_weights(suffix: str) -> Callable[[Path], Any]:
    def read(folder: Path) -> Any:
        weights = str(folder / f"weights{suffix}")
        settings = EmbeddingSettings(backbone=TINY, image_size=SIDE, precision="fp32", weights=weights)
        network = load_backbone(settings, "cpu").network
        with torch.no_grad():
            return network(torch.rand(2, 3, SIDE, SIDE))

    return read


def _is_finite(values: torch.Tensor) -> None:
    assert torch.isfinite(values).all()


def _write_teacher(folder: Path) -> None:
    save_file(tiny_state(), folder / "model.safetensors")
    card = {"learner": "finetune", "architecture": TINY, "image_size": SIDE, "classes": KNOWN, "num_classes": 3}
    write_json(folder / "class_map.json", card | {"mean": [127.0] * 3, "std": [128.0] * 3, "precision": "fp32"})


def _read_teacher(folder: Path) -> Any:
    ensemble = load_teachers([folder / "model.safetensors"], KNOWN, EmbeddingSettings(), "cpu")
    return ensemble.probs(torch.full((2, 3, SIDE, SIDE), 99.0))


def _write_probe_card(folder: Path) -> None:
    network = {"name": TINY, "weights_sha256": "a" * 64, "image_size": SIDE, "precision": "fp32", "views": 2}
    write_json(
        folder / "fold_0.json", {"learner": "probe", "backbone": network, "backbones": [network], "classes": KNOWN}
    )


def _is_card(card: NetworkCard | ProbeCard) -> None:
    assert all(isinstance(name, str) for name in card.classes) and len(set(card.classes)) == len(card.classes) > 0
    if isinstance(card, ProbeCard):
        assert all(8 <= network.image_size <= 8192 for network in card.networks)


def _write_last(folder: Path) -> None:
    given = np.array([0, 0, 1, 1, 2, 2])
    floats = np.full(NUM, 0.5, np.float32)
    others, confidence = np.array([[1, 2]] * NUM, np.int32), np.full((NUM, 2), 0.25, np.float32)
    found = OutOfFold(given, np.zeros(NUM, np.int32), floats, given.astype(np.int32), floats, others, confidence)
    features = np.ones((NUM, 4), np.float16)
    LastPredictions(np.arange(NUM), found, np.arange(NUM), features, KNOWN, {}, False).write(folder)


def _are_last(last: LastPredictions | None) -> None:
    if last is not None:
        num, found = len(last.rows), last.predictions
        assert all(len(a) == num for a in (*found.arrays().values(), found.given, last.features, last.groups))
        assert ((found.predicted >= -1) & (found.predicted < len(last.classes))).all()
        assert all(isinstance(name, str) for name in last.classes) and isinstance(last.trusted, bool)
        assert np.isfinite(last.features).all() and not (found.predicted_confidence > 1.01).any()


def _write_verification(folder: Path) -> None:
    one = {"mean": 0.1, "low": -0.1, "high": 0.2, "verdict": "cannot_tell"}
    size = {"images": 6, "classes": 3}
    sets = [
        {"name": name, **size, "accuracy": 0.5, "accuracy_by_seed": [0.5], "mean_class_accuracy": 0.5}
        for name in ("raw", "cleaned")
    ]
    row = {"label": "cat", "learned_before": 2, "learned_after": 2, "emptied": False, "test_images": 2}
    row |= {"accuracy_before": 0.5, "accuracy_after": None, "low": -0.1, "high": 0.1, "p_adjusted": 1.0}
    strata = [{"name": "val", "looked_at": 6, "test_images": 6, "stands_for": 6.0}]
    test = {"kind": "val", "where": "val", "noisy_labels": False, **size, "strata": strata}
    document = {"schema_version": 1, "verdict": "cannot_tell", "confidence": 0.95, "learner": "probe"}
    document |= {"recipe": {"name": "plain"}, "seeds": [0], "slots": 6, "test": test, "sets": sets}
    document |= {"comparisons": [{"before": "raw", "after": "cleaned", "p_value": 0.5, **one}], "warnings": []}
    document |= {"classes_helped": [], "classes_hurt": [], "classes_emptied": []}
    write_json(folder / VERIFICATION, document | {"classes": [row | {"verdict": "cannot_tell"}]})


def _is_verification(document: Any) -> None:
    rules = json.loads((SCHEMAS / "verify.schema.json").read_text())
    for name in ("verdict", "comparisons", "sets", "classes", "seeds", "warnings"):
        jsonschema.validate(document[name], rules["properties"][name])


def _write_metrics(folder: Path) -> None:
    document = {"val": "val", "val_images": 6, "accuracy": 0.5, "mean_recall": 0.5, "epochs": 2, "batch_norm": None}
    document |= {"recall_by_class_size": {"many": 0.5, "few": None}, "training_loss": [1.0, 0.5]}
    write_json(folder / METRICS, document | {"average_precision": 0.5, "mean_average_precision": None})


def _are_metrics(metrics: Any) -> None:
    for name in ("accuracy", "mean_recall", "average_precision"):
        assert metrics[name] is None or 0 <= metrics[name] <= 1
    assert isinstance(metrics["val_images"], int) and isinstance(metrics["val"], str)


_STORED = {"plain": np.ones((NUM, 4), np.float16), "image_id": np.zeros((NUM, 32), np.uint8)}


def _is_stored(arrays: Any) -> None:
    assert arrays is None or all(np.array_equal(arrays[name], values) for name, values in _STORED.items())


def _is_checkpoint(found: Any) -> None:
    if found is not None:
        tensors, document = found
        assert torch.equal(tensors["a"], torch.ones(3)) and document["key"] == "k"


def _write_digests(folder: Path) -> None:
    cache = DigestCache(folder / "digests.json", folder)
    (folder / "a.txt").write_text("a")
    cache.sha256(folder / "a.txt")
    cache.save()


def _read_names(folder: Path) -> Any:
    return read_class_names(next(iter(folder.iterdir())), ["0", "1", "2"])


def _are_names(names: Any) -> None:
    assert names.keys() == {"0", "1", "2"} and all(isinstance(n, str) and n for n in names.values())


_HOSTILE = change_text(HOSTILE_TEXTS)
_KEPT = {"file_name": NAMES, "keep": [True] * NUM, "clean_label": LABELS, "repeats": [1] * NUM}


def _table_kind(name: str, table: StageTable, rows: dict[str, Any], file: str) -> Kind:
    return Kind(name, file, _table_writer(table, rows, file), _table_reader(table, file), _is_table, TABLE)


KINDS = [
    Kind(
        "manifest",
        "manifest.parquet",
        _write_manifest,
        lambda f: read_manifest(f / "manifest.parquet"),
        _is_manifest,
        TABLE,
    ),
    Kind("manifest in pieces", "manifest.parquet", _write_manifest, _read_pieces, _is_manifest, TABLE),
    Kind(
        "stage record", "noise/stage.json", _write_record, lambda f: Workspace(f).record("noise"), _is_record, DOCUMENT
    ),
    Kind("decisions", "decisions.sqlite", _write_decisions, _read_decisions, _are_decisions, DATABASE),
    Kind("decisions.csv", "decisions.csv", _write_export(".csv"), _import(".csv"), _are_decisions, _HOSTILE),
    Kind(
        "decisions.parquet", "decisions.parquet", _write_export(".parquet"), _import(".parquet"), _are_decisions, TABLE
    ),
    Kind("answers of Label Studio", "answers.json", _write_answers, _import_answers, _are_decisions, DOCUMENT),
    Kind(
        "settings",
        "cleaner.toml",
        _write_settings,
        lambda f: read_config(f / "cleaner.toml"),
        _are_settings,
        change_text(_TOML_VALUES),
    ),
    _table_kind("votes", VOTES, _VOTED, "votes.parquet"),
    _table_kind("rounds of noise", ROUNDS["noise"], _NOISE_ROUNDS, "rounds.parquet"),
    _table_kind("rounds of labels", ROUNDS["labels"], _LABEL_ROUNDS, "rounds.parquet"),
    _table_kind("classes of balance", CLASSES["balance"], _BALANCED, "classes.parquet"),
    Kind(
        "classes of labels",
        "classes.parquet",
        _table_writer(CLASSES["labels"], _FOUND, "classes.parquet"),
        _read_findings,
        _is_table,
        TABLE,
    ),
    Kind(
        "audit",
        f"{_AUDIT}/sample.parquet",
        _write_audit,
        lambda f: read_sample(Workspace(f), "ab" * 32),
        _is_audit,
        TABLE,
    ),
    Kind(
        "audit record",
        f"{_AUDIT}/sample.json",
        _write_audit,
        lambda f: read_sample(Workspace(f), "ab" * 32),
        _is_audit,
        DOCUMENT,
    ),
    Kind(
        "seeds",
        "seeds.csv",
        _write_seeds,
        lambda f: read_seeds(f / "seeds.csv", manifest_frame()),
        _are_seeds,
        _HOSTILE,
    ),
    Kind(
        "list of labels",
        "labels.csv",
        _write_table_of({"file_name": NAMES, "label": LABELS}, "labels.csv"),
        lambda f: read_labels(f / "labels.csv", f, NAMES),
        _are_labels,
        _HOSTILE,
    ),
    Kind(
        "list of labels, Parquet",
        "labels.parquet",
        _write_table_of({"file_name": NAMES, "label": LABELS}, "labels.parquet"),
        lambda f: read_labels(f / "labels.parquet", f, NAMES),
        _are_labels,
        TABLE,
    ),
    Kind(
        "list of labels, JSON",
        "labels.jsonl",
        _write_table_of({"file_name": NAMES, "label": LABELS}, "labels.jsonl"),
        lambda f: read_labels(f / "labels.jsonl", f, NAMES),
        _are_labels,
        _HOSTILE,
    ),
    Kind(
        "keep-list",
        "kept.csv",
        _write_table_of(_KEPT, "kept.csv"),
        lambda f: listed_set(f / "kept.csv", manifest_frame()),
        lambda found: _is_table(pd.DataFrame({"weight": found.weights, "rows": found.rows})),
        _HOSTILE,
    ),
    Kind("class names", "names.json", lambda f: write_json(f / "names.json", KNOWN), _read_names, _are_names, DOCUMENT),
    Kind(
        "class names, object",
        "names.json",
        lambda f: write_json(f / "names.json", dict(zip("012", KNOWN, strict=True))),
        _read_names,
        _are_names,
        DOCUMENT,
    ),
    Kind("predictions", "probs.npy", _write_predictions, _read_predictions, _are_probabilities, ARRAY),
    Kind("names of predictions", "ids.txt", _write_predictions, _read_predictions, _are_probabilities, _HOSTILE),
    Kind(
        "weights",
        "weights.safetensors",
        _write_weights(".safetensors"),
        _read_weights(".safetensors"),
        _is_finite,
        TENSORS,
    ),
    Kind("weights, pth", "weights.pth", _write_weights(".pth"), _read_weights(".pth"), _is_finite, PTH),
    Kind("teacher", "model.safetensors", _write_teacher, _read_teacher, _is_finite, TENSORS),
    Kind("class map", "class_map.json", _write_teacher, _read_teacher, _is_finite, DOCUMENT),
    Kind(
        "card of a probe",
        "fold_0.json",
        _write_probe_card,
        lambda f: read_card(f / "fold_0.safetensors"),
        _is_card,
        DOCUMENT,
    ),
    Kind("last predictions", FILE, _write_last, LastPredictions.read, _are_last, TENSORS),
    Kind("verify.json", VERIFICATION, _write_verification, read_verification, _is_verification, DOCUMENT),
    Kind("metrics.json", METRICS, _write_metrics, read_metrics, _are_metrics, DOCUMENT),
    Kind(
        "cached arrays",
        "embeddings/k.arrays",
        lambda f: ArrayStore(f / "embeddings").put("k", _STORED),
        lambda f: ArrayStore(f / "embeddings").get("k"),
        _is_stored,
    ),
    Kind(
        "checkpoint",
        "state.json",
        lambda f: save_checkpoint(f, {"a": torch.ones(3)}, {"key": "k"}, step=1),
        lambda f: load_checkpoint(f, "k"),
        _is_checkpoint,
        DOCUMENT,
    ),
    Kind(
        "cached digests",
        "digests.json",
        _write_digests,
        lambda f: DigestCache(f / "digests.json", f).sha256(f / "a.txt"),
        lambda digest: bytes.fromhex(digest),
        DOCUMENT,
    ),
]
