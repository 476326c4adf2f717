"""Settings of each stage: typed, checked at construction, read from `cleaner.toml`.

Everything here changes results and is therefore recorded in `stage.json`; what does not (workers, device,
progress) is in `RunOptions`.
"""

from __future__ import annotations

import dataclasses
import difflib
import tomllib
import types
import typing
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeVar

from cleaner.errors import BadInputError, UsageError
from cleaner.progress import Progress, Silent

FAULTS_OF_LABELS = ("coarse", "fine")
RELABEL_ABOVE = 0.95
"""Where `--relabel` sets `relabel_above`; suggestions above it are right nine times in ten (docs/experiments.md)."""
LearnerName = Literal["probe", "finetune", "auto"]
LEARNERS: tuple[str, ...] = typing.get_args(LearnerName)
QUALITY_ISSUES = ("blurry", "bright", "dark", "low_information", "odd_aspect", "odd_size")
"""What scan can find about the quality of an image that is readable, sorted."""


def _require(condition: bool, name: str, value: object, rule: str) -> None:
    if not condition:
        raise UsageError(f"setting {name} = {value!r} is out of range", expected=rule)


@dataclass(kw_only=True)
class RunOptions:
    """How to run, without influence on the result."""

    seed: int = 0
    """Seed of every random draw, at least 0. (It does change results; it is recorded on its own.)"""
    device: str = "auto"
    """`auto` (a GPU where there is one), `cpu`, `cuda`, `cuda:1`, `mps`."""
    workers: int = 0
    """Decoding workers; 0: one for each core."""
    engine: Literal["local", "ray"] = "local"
    """Where tasks run: in processes of this machine, or on a Ray cluster."""
    address: str = ""
    """The Ray cluster: HOST:PORT or `auto`; '': one on this machine alone."""
    storage: str = ""
    """A folder or URL that all machines reach, for results of tasks and copies of manifests; '': the workspace."""
    train_workers: int = 1
    """Workers of the Ray cluster that train one network together, each on its part of every batch."""
    force: bool = False
    """Run although the stage is up to date."""
    dry_run: bool = False
    """Say whether the stage would run, and why; change nothing."""
    command_line: tuple[str, ...] = ()
    """Names of the settings that were given for this run alone; recorded, so that nobody takes them for stale."""
    progress: Progress = field(default_factory=Silent)
    """Where progress and warnings go."""

    def __post_init__(self) -> None:
        _require(0 <= self.seed < 2**31, "seed", self.seed, "0 .. 2^31 - 1")
        _require(self.workers >= 0, "workers", self.workers, "0 (one for each core) or more")
        _require(self.engine in ("local", "ray"), "engine", self.engine, "local or ray")
        most = 10_000 if self.engine == "ray" else 1
        _require(1 <= self.train_workers <= most, "train_workers", self.train_workers, "1, or more with --engine ray")
        _require(not self.address or self.engine == "ray", "address", self.address, "none, without the engine ray")


@dataclass(frozen=True, kw_only=True)
class ScanSettings:
    """Settings of `cleaner scan`."""

    label_from: Literal["root", "parent"] = "root"
    """The label is the first folder below the images root, or the file's own folder."""
    labels_file: str = ""
    """A CSV, TSV or Parquet with file_name and label (and split, if it has one); empty: labels from folders."""
    follow_symlinks: bool = False
    """Admit links that lead out of the images root."""
    max_pixels: int = 100_000_000
    """Images whose header promises more pixels than this are refused before decoding."""
    near_radius: int = 18
    """Near duplicates differ in at most this many of the 128 bits of the perceptual hash; 0 switches the search off."""
    drop: tuple[str, ...] = ()
    """Quality findings that are dropped: any of blurry, bright, dark, low_information, odd_aspect, odd_size."""
    clean_split: tuple[str, ...] = ()
    """Splits besides `train` that may lose rows to `drop`."""
    limit: int = 0
    """Only the first so many files by name, to try things out; 0: all."""

    def __post_init__(self) -> None:
        _require(self.label_from in ("root", "parent"), "label_from", self.label_from, "root or parent")
        _require(self.max_pixels >= 1, "max_pixels", self.max_pixels, "at least 1")
        _require(self.limit >= 0, "limit", self.limit, "0 (all files) or more")
        _require(0 <= self.near_radius <= 24, "near_radius", self.near_radius, "0 .. 24 bits")
        for name in self.drop:
            _require(name in QUALITY_ISSUES, "drop", name, f"any of {', '.join(QUALITY_ISSUES)}")


@dataclass(frozen=True, kw_only=True)
class EmbeddingSettings:
    """The frozen network that noise, labels and balance look through."""

    backbone: str = "embedded"
    """`embedded` (EfficientNet-Lite0 with ImageNet weights, no network needed) or any timm model name."""
    weights: str = ""
    """A checkpoint for the backbone: safetensors, or pth read with weights_only."""
    image_size: int = 160
    """Side in pixels of the square that the network sees."""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """Arithmetic of the network; auto: bf16 where the chip has it."""
    views: Literal[1, 2] = 2
    """2: the image and its mirror image; 1: the image alone, in half the time, for judgements a little worse."""

    def __post_init__(self) -> None:
        _require(bool(self.backbone), "backbone", self.backbone, "`embedded` or a timm model name")
        _require(32 <= self.image_size <= 1024, "image_size", self.image_size, "32 .. 1024 px")
        _require(self.precision in ("auto", "fp32", "bf16"), "precision", self.precision, "auto, fp32 or bf16")
        _require(self.views in (1, 2), "views", self.views, "1 or 2")


@dataclass(frozen=True, kw_only=True)
class NoiseSettings:
    """Settings of `cleaner noise`."""

    seeds: str = ""
    """A table (file_name, is_noise) or a folder with `noise/` and `normal/`; empty: decisions, else a cold start."""
    threshold: float = 0.9
    """Images with a noise probability above this are noise images."""
    doubtful: float = 0.5
    """Images between this and the threshold go to people first."""
    max_rounds: int = 10
    """Stop after this many rounds even if new noise images still come out."""
    clean_split: tuple[str, ...] = ()
    """Splits besides `train` that may lose rows."""
    embedding: EmbeddingSettings = field(default_factory=EmbeddingSettings)

    def __post_init__(self) -> None:
        _require(0.5 <= self.threshold < 1, "threshold", self.threshold, "0.5 .. 1 (1 excluded)")
        _require(0 < self.doubtful <= self.threshold, "doubtful", self.doubtful, "above 0, at most the threshold")
        _require(1 <= self.max_rounds <= 100, "max_rounds", self.max_rounds, "1 .. 100")


@dataclass(frozen=True, kw_only=True)
class LabelsSettings:
    """Settings of `cleaner labels`."""

    folds: int = 5
    """Folds of the cross-training."""
    top_k: tuple[int, ...] = (5, 1)
    """Schedule of passes: the first is the coarse one, those at 1 are the fine one."""
    max_rounds: int = 8
    """Rounds of pulling back, in each pass."""
    rule: Literal["auto", "recipe"] = "auto"
    """What is dropped: `auto`, what is probably wrong (label_issue_prob); `recipe`, coarse label issues, or fine ones
    where the coarse pass was skipped."""
    drop: tuple[str, ...] | None = None
    """Drop label issues of these kinds whatever the rule says: any of coarse, fine; None: as the rule says."""
    relabel_above: float = 1.0
    """What would be dropped gets its suggested label and stays if that is at least this probable; 1: never."""
    pred_probs: str = ""
    """Out-of-fold class probabilities of your own model, a .npy (images, classes), in place of round 0."""
    pred_ids: str = ""
    """A text with the file_name of each of its rows."""
    clean_split: tuple[str, ...] = ()
    """Splits besides `train` that are judged and may lose rows."""
    learner: LearnerName = "probe"
    """What is trained in each fold and round: `probe`, a linear head on cached embeddings; `finetune`, the whole
    network; `auto`, finetune on a CUDA GPU, else the probe."""
    embedding: EmbeddingSettings = field(default_factory=EmbeddingSettings)

    def __post_init__(self) -> None:
        _require(2 <= self.folds <= 100, "folds", self.folds, "2 .. 100")
        _require(
            min(self.top_k, default=0) >= 1 and list(self.top_k) == sorted(set(self.top_k))[::-1],
            "top_k", self.top_k, "a falling list of whole numbers such as 5,1",
        )  # fmt: skip
        _require(0 <= self.max_rounds <= 100, "max_rounds", self.max_rounds, "0 .. 100")
        for name in self.drop or ():
            _require(name in FAULTS_OF_LABELS, "drop", name, "coarse, fine, both with a comma between, or none")
        _require(0 < self.relabel_above <= 1, "relabel_above", self.relabel_above, "above 0, at most 1 (never)")
        _require(self.rule in ("auto", "recipe"), "rule", self.rule, "auto or recipe")
        _require(self.learner in LEARNERS, "learner", self.learner, "probe, finetune or auto")
        _require(bool(self.pred_probs) == bool(self.pred_ids), "pred_ids", self.pred_ids, "with pred_probs, or neither")


@dataclass(frozen=True, kw_only=True)
class BalanceSettings:
    """Settings of `cleaner balance`."""

    min_count: int = 50
    """Classes with fewer kept images than this are looked at."""
    low_count: Literal["auto", "review", "drop", "keep"] = "auto"
    """What happens to them: by coherence (auto), all to people, all dropped, all kept."""
    floor: float = 1 / 3
    """Every class is repeated up to this share of the largest class."""
    max_repeats: int = 20
    """No image is repeated more often than this."""
    tau: float = 1.0
    """Strength of the logit adjustment that class_priors.json is written for."""
    clean_split: tuple[str, ...] = ()
    """Splits besides `train` that may lose rows."""
    embedding: EmbeddingSettings = field(default_factory=EmbeddingSettings)

    def __post_init__(self) -> None:
        _require(self.min_count >= 0, "min_count", self.min_count, "0 or more")
        _require(
            self.low_count in ("auto", "review", "drop", "keep"),
            "low_count",
            self.low_count,
            "auto, review, drop, keep",
        )
        _require(0 <= self.floor <= 1, "floor", self.floor, "0 .. 1")
        _require(1 <= self.max_repeats <= 10_000, "max_repeats", self.max_repeats, "1 .. 10000")
        _require(self.tau >= 0, "tau", self.tau, "0 or more")


@dataclass(frozen=True, kw_only=True)
class TrainSettings:
    """Settings of `cleaner train`."""

    val: str = ""
    """A folder of class folders to measure on; empty: the splits of the manifest besides train."""
    recipe: str = "final"
    """Optimisation and augmentation, one of those that `cleaner recipes` lists."""
    epochs: int = 0
    """Passes over the training images, repeats counted; 0: as many as the recipe says."""
    batch_size: int = 0
    """Images a step; 0: as many as the recipe says. It stays where memory allows less at once."""
    learning_rate: float = 0.0
    """Peak learning rate; 0: the recipe's."""
    prior: Literal["bias", "loss", "none"] = "bias"
    """Logit adjustment: log prior as the last layer's frozen bias, added in the loss, or none."""
    tau: float = 1.0
    """Strength of the logit adjustment."""
    flood: float = 0.0
    """Level about which the training loss is kept; 0: no flooding."""
    teacher: tuple[str, ...] = ()
    """Checkpoints whose mean prediction is learned from too: files, or folders of them such as labels/models."""
    teacher_share: float = 0.5
    """Weight of the teachers against the labels."""
    temperature: float = 2.0
    """Both sides' logits are divided by this for distillation."""
    norm_momentum: float = 0.9
    """Share of a batch norm's running statistics that a step keeps."""
    freeze_norm: bool = False
    """Leave the running statistics of batch norm as the pre-training left them."""
    patience: int = 0
    """Stop after so many epochs without better validation accuracy, and take the best; 0: the last epoch counts."""
    scratch: bool = False
    """Begin with random weights instead of pre-trained ones."""
    compile: bool = False
    """Compile the network with torch.compile: minutes at first, faster steps on a GPU, other last bits."""
    test_size: int = 0
    """Side in pixels of what the network sees when it predicts; 0: as in training."""
    scales: tuple[float, ...] = (1.0,)
    """Scales of prediction: 1 is the whole image, 1.25 parts of 1/1.25 of its side; all are averaged."""
    crops: int = 1
    """Parts at each scale above 1: the middle, or the corners too."""
    embedding: EmbeddingSettings = field(default_factory=EmbeddingSettings)

    def __post_init__(self) -> None:
        _require(0 <= self.epochs <= 10_000, "epochs", self.epochs, "0 (the recipe's) .. 10000")
        _require(0 <= self.batch_size <= 65_536, "batch_size", self.batch_size, "0 (the recipe's) .. 65536")
        _require(0 <= self.learning_rate < 100, "learning_rate", self.learning_rate, "0 (the recipe's) .. 100")
        _require(self.prior in ("bias", "loss", "none"), "prior", self.prior, "bias, loss or none")
        _require(self.tau >= 0, "tau", self.tau, "0 or more")
        _require(self.flood >= 0, "flood", self.flood, "0 (none) or more")
        _require(0 <= self.teacher_share <= 1, "teacher_share", self.teacher_share, "0 .. 1")
        _require(self.temperature > 0, "temperature", self.temperature, "above 0")
        _require(0 <= self.norm_momentum < 1, "norm_momentum", self.norm_momentum, "0 .. 1 (1 excluded)")
        _require(self.patience >= 0, "patience", self.patience, "0 (never) or more")
        _require(self.test_size in (0, *range(32, 1025)), "test_size", self.test_size, "0, or 32 .. 1024 px")
        _require(bool(self.scales) and all(1 <= s <= 4 for s in self.scales), "scales", self.scales, "numbers 1 .. 4")
        _require(self.crops in (1, 5), "crops", self.crops, "1 or 5")


@dataclass(frozen=True, kw_only=True)
class VerifySettings:
    """Settings of `cleaner verify`."""

    val: str = ""
    """A folder of class folders that cleaning never saw; empty: audited images, else the set's own held-out splits."""
    num_seeds: int = 0
    """Each set is learned this often, with the seeds 0, 1, … after the run's own; 0: five times by the probe, three
    times by fine-tuning."""
    learner: LearnerName = "probe"
    """What is trained on each set: `probe`, a linear head on cached embeddings; `finetune`, the whole network;
    `auto`, finetune on a CUDA GPU, else the probe."""
    embedding: EmbeddingSettings = field(default_factory=EmbeddingSettings)

    def __post_init__(self) -> None:
        _require(self.num_seeds in (0, *range(2, 101)), "num_seeds", self.num_seeds, "0 (the learner's), or 2 .. 100")
        _require(self.learner in LEARNERS, "learner", self.learner, "probe, finetune or auto")


@dataclass(frozen=True, kw_only=True)
class Config:
    """All stages' settings, as `cleaner.toml` holds them: one table a stage, `[embedding]` for all that embed."""

    scan: ScanSettings = field(default_factory=ScanSettings)
    embedding: EmbeddingSettings = field(default_factory=EmbeddingSettings)
    noise: NoiseSettings = field(default_factory=NoiseSettings)
    labels: LabelsSettings = field(default_factory=LabelsSettings)
    balance: BalanceSettings = field(default_factory=BalanceSettings)
    train: TrainSettings = field(default_factory=TrainSettings)
    verify: VerifySettings = field(default_factory=VerifySettings)


Settings = TypeVar("Settings")


def with_values(settings: Settings, values: dict[str, Any], *, where: str) -> Settings:
    """A copy of `settings` with `values` put in; None values are passed over.

    Raises UsageError for an unknown key or a value of another type, naming `where` it stood.
    """
    hints = typing.get_type_hints(type(settings))
    checked: dict[str, Any] = {}
    for key, value in values.items():
        if key not in hints or key == "embedding":
            raise UsageError(f"{where}: unknown setting {key!r}", expected=nearest(key, set(hints) - {"embedding"}))
        if value is not None:
            checked[key] = _checked(value, hints[key], f"{where}: {key}")
    try:
        return dataclasses.replace(settings, **checked)  # type: ignore[type-var]
    except UsageError as error:
        raise UsageError(f"{where}: {error.what}", expected=error.expected, next_step=error.next_step) from error


def nearest(name: str, known: Iterable[str]) -> str:
    """What to expect in place of an unknown `name`: the known one that looks most like it, else all of them."""
    listed = sorted(known)
    close = difflib.get_close_matches(name.lower(), listed, n=1, cutoff=0.6)
    return f"{close[0]}, perhaps?" if close else f"one of {', '.join(listed)}"


def _checked(value: Any, hint: Any, where: str) -> Any:
    origin, options = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return _checked(value, next(h for h in options if h is not type(None)), where)
    if origin is tuple:
        items = value if isinstance(value, list | tuple) else [value]
        return tuple(_checked(item, options[0], where) for item in items)
    if origin is Literal:
        if value not in options:
            raise UsageError(f"{where} = {value!r}", expected=" or ".join(map(str, options)))
        return value
    if hint is float and type(value) is int:
        return float(value)
    if type(value) is not hint:
        raise UsageError(f"{where} = {value!r}", expected=f"a {hint.__name__}", found=f"a {type(value).__name__}")
    return value


def read_config(path: Path) -> Config:
    """The settings of a `cleaner.toml`; defaults where the file does not exist or is silent.

    Raises BadInputError if the file is no TOML or holds an unknown table or key.
    """
    if not path.exists():
        return Config()
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadInputError(
            f"{path}: not valid TOML", found=str(error), next_step=f"mend {path} and run again"
        ) from error
    names = [f.name for f in dataclasses.fields(Config)]
    parts: dict[str, Any] = {}
    for name, table in tables.items():
        if name not in names or not isinstance(table, dict):
            raise BadInputError(
                f"{path}: unknown table [{name}]",
                expected=nearest(name, names),
                next_step=f"mend {path}; `cleaner init` writes one with every setting in it",
            )
    for name in names:
        try:
            parts[name] = with_values(getattr(Config(), name), tables.get(name, {}), where=f"{path} [{name}]")
        except UsageError as error:
            raise BadInputError(
                error.what, expected=error.expected, found=error.found, next_step=f"mend {path} and run again"
            ) from error
    for stage in ("noise", "labels", "balance", "train", "verify"):
        parts[stage] = dataclasses.replace(parts[stage], embedding=parts["embedding"])
    return Config(**parts)
