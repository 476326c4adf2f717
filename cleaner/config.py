"""The settings of each stage and the options of a run, each declared once: type, default, range and help text.

Settings change results and are therefore recorded in `stage.json`; run options (workers, device, progress) do not.
The order of the declarations is that of the record.
"""

import typing
from dataclasses import field
from typing import Annotated, Literal

from msgspec import Meta

from cleaner.progress import Progress, Silent
from cleaner.setting import NamesFile, Shown, read_pairs
from cleaner.settings import Settings, declare

QualityIssue = Literal["blurry", "bright", "dark", "low_information", "odd_aspect", "odd_size"]
QUALITY_ISSUES: tuple[str, ...] = typing.get_args(QualityIssue)
"""What scan can find about the quality of an image that is readable, sorted."""
CopyKind = Literal["near", "leaks"]
COPY_KINDS: tuple[str, ...] = typing.get_args(CopyKind)
"""What scan can drop of copies besides exact ones under one label."""
LearnerName = Literal["probe", "finetune", "auto"]
RELABEL_ABOVE = 0.95
"""Where `--relabel` sets `relabel_above`; suggestions above it are right nine times in ten (docs/experiments.md)."""

LIST_KEYS = ("file", "label", "split", "annotator")
"""The columns of a list of images that `--columns` may name."""

_MODEL = "What the models look through"
_VAL = NamesFile("val")
_CleanSplit = Annotated[tuple[str, ...], Shown(metavar="NAME"), "Splits besides `train` that may lose images."]
_Learner = Annotated[
    LearnerName,
    Shown(panel=_MODEL),
    "What is trained: `probe`, a linear head on cached embeddings; `finetune`, the whole network; "
    "`auto`, finetune on a CUDA GPU, else the probe.",
]
_Tau = Annotated[float, Meta(ge=0), "Strength of the logit adjustment."]


@declare
class RunOptions(Settings):
    """How to run a stage."""

    PANEL = "How to run"

    seed: Annotated[int, Meta(ge=0, lt=2**31), "Seed of every random draw."] = 0
    device: Annotated[str, "`auto` (a GPU where there is one), `cpu`, `cuda`, `cuda:1` or `mps`."] = "auto"
    workers: Annotated[int, Shown("one for each core"), Meta(ge=0), "Processes that decode images."] = 0
    train_workers: Annotated[
        int, Meta(ge=1, le=10_000), "Workers of the Ray cluster that train one network together."
    ] = 1
    engine: Annotated[
        Literal["local", "ray"], "Where tasks run: in processes of this machine, or on a Ray cluster (docs/scaling.md)."
    ] = "local"
    address: Annotated[
        str,
        Shown("one on this machine alone", metavar="HOST:PORT"),
        "The Ray cluster, or `auto`; implies `--engine ray`.",
    ] = ""
    storage: Annotated[
        str,
        Shown("the workspace", metavar="URL"),
        "Folder or URL that all machines reach, for results of tasks and copies of manifests.",
    ] = ""
    force: Annotated[bool, "Run although it is up to date; scan reads every byte anew."] = False
    yes: Annotated[bool, "Drop even for a quality issue that more than a tenth of the set has."] = False
    dry_run: Annotated[bool, "Say what would be done, and why; change no file."] = False
    command_line: tuple[str, ...] = ()
    """Names of the settings given for this run alone; recorded, so that `status` does not report them as changed."""
    progress: Progress = field(default_factory=Silent)
    """Where progress and warnings go."""

    def check(self) -> None:
        """Raise SettingError if values do not go together."""
        if self.engine != "ray":
            self.require(self.train_workers == 1, "train_workers", "1, or more with --engine ray")
            self.require(not self.address, "address", "none, without --engine ray")


@declare
class ScanSettings(Settings):
    """Settings of `cleaner scan`."""

    label_from: Annotated[
        Literal["root", "parent"],
        "The label is the first folder below the images root (root), or the file's own (parent).",
    ] = "root"
    labels_file: Annotated[
        str,
        NamesFile("labels"),
        Shown("labels from folders", option="--labels", metavar="FILE"),
        "Table (CSV, TSV, JSON lines or Parquet) with file_name, label and perhaps split; with a column annotator, one "
        "row for each file and annotator. Or lines of a name and a label (.txt), or the manifest of an earlier "
        "run, for what it kept.",
    ] = ""
    columns: Annotated[
        tuple[str, ...],
        Shown("as above", metavar="KEY=NAME,…"),
        "What the table calls its columns `file`, `label`, `split` and `annotator`.",
    ] = ()
    class_names: Annotated[
        str,
        NamesFile("class_names"),
        Shown(metavar="FILE"),
        "Names of classes that are given as numbers or codes: one a line, the first is 0 (or 1, where labels go up to "
        "their number); or a table of the code and its name.",
    ] = ""
    normalize_labels: Annotated[
        bool,
        "Record merges of classes whose names differ in case, blanks or Unicode form alone, as decisions by the "
        "annotator `normalize-labels`.",
    ] = False
    splits: Annotated[
        tuple[str, ...],
        Shown("folders named train, val, test and the like", metavar="NAME=FOLDER,…"),
        "The splits and their folders below the images root; what lies in none of them is left out.",
    ] = ()
    follow_symlinks: Annotated[bool, "Admit links that lead out of the images root."] = False
    max_pixels: Annotated[
        int,
        Meta(ge=1),
        "Images whose header promises more pixels are refused before decoding, and those that take as much memory: "
        "half as many with alpha, a third in 16-bit colours, a quarter as WebP.",
    ] = 100_000_000
    file_timeout: Annotated[
        float, Meta(gt=0), "Seconds of CPU that one image may take; one that takes more has the fault `timeout`."
    ] = 30.0
    near_radius: Annotated[
        int,
        Meta(ge=0, le=24),
        "Images whose perceptual hashes differ in at most this many of 128 bits are compared closely, turned and "
        "mirrored ones too; 0 switches the search for near duplicates off.",
    ] = 18
    drop: Annotated[
        tuple[Literal[QualityIssue, CopyKind], ...],
        Shown("none", metavar="NAMES"),
        f"What is dropped besides: quality issues ({', '.join(QUALITY_ISSUES)}); near: near duplicates of a larger or "
        "less compressed image of the same split and label; leaks: train images with a copy in another split.",
    ] = ()
    clean_split: _CleanSplit = ()
    limit: Annotated[
        int, Shown("all", metavar="N"), Meta(ge=0), "Only the first N files by name, to try things out."
    ] = 0

    def check(self) -> None:
        """Raise SettingError if values do not go together."""
        self.require(all(map(all, read_pairs(self.splits))), "splits", "NAME=FOLDER, such as train=Images,val=Held_out")
        known = all(key in LIST_KEYS and name for key, name in read_pairs(self.columns))
        self.require(known, "columns", f"KEY=NAME, with KEY any of {', '.join(LIST_KEYS)}")


@declare
class EmbeddingSettings(Settings):
    """The frozen network whose embeddings noise, labels, balance and verify use; train starts from its weights."""

    PANEL = _MODEL

    backbone: Annotated[
        str,
        Meta(min_length=1),
        "`embedded` (EfficientNet-Lite0 and -Lite2 with ImageNet weights, no network access needed), `embedded-small` "
        "(Lite0 at 160 px, a third of the time), `strong` (DINOv2, from the model hub), any timm model name, or "
        "several with commas between, whose embeddings are joined.",
    ] = "embedded"
    weights: Annotated[
        str,
        NamesFile("weights"),
        Shown(metavar="FILE"),
        "Checkpoint for the backbone: .safetensors, or .pth, read with weights_only.",
    ] = ""
    image_size: Annotated[
        int,
        Shown("each network's own; 160 where one is trained"),
        Meta(ge=0, le=1024),
        "Side in pixels of the square that a network sees.",
    ] = 0
    precision: Annotated[
        Literal["auto", "fp32", "bf16"], "Arithmetic of the network; auto: bf16 where the chip has it."
    ] = "auto"
    views: Annotated[
        Literal[0, 1, 2],
        Shown("2 with one network, 1 with several"),
        "2: embed each image and its mirror image; 1: the image alone, in half the time and a little less accurate; "
        "0: the default.",
    ] = 0


@declare
class NoiseSettings(Settings):
    """Settings of `cleaner noise`."""

    seeds: Annotated[
        str,
        NamesFile("seeds"),
        Shown("people's decisions, else a cold start", metavar="FILE"),
        "Table with file_name and is_noise, or a folder with `noise/` and `normal/`.",
    ] = ""
    threshold: Annotated[float, Meta(ge=0.5, lt=1), "Images with a noise probability above this are noise images."] = (
        0.9
    )
    doubtful: Annotated[
        float, Shown(option=None), Meta(gt=0, lt=1), "Images between this and the threshold go to people first."
    ] = 0.5
    max_rounds: Annotated[
        int, Meta(ge=1, le=100), "Stop after this many rounds, even if they still find new noise images."
    ] = 10
    clean_split: _CleanSplit = ()
    embedding: EmbeddingSettings = EmbeddingSettings()

    def check(self) -> None:
        """Raise SettingError if values do not go together."""
        self.require(self.doubtful <= self.threshold, "doubtful", "above 0, at most the threshold")


@declare
class LabelsSettings(Settings):
    """Settings of `cleaner labels`."""

    folds: Annotated[int, Meta(ge=2, le=100), "Folds of the cross-training."] = 5
    top_k: Annotated[
        tuple[Annotated[int, Meta(ge=1)], ...],
        Shown(metavar="K,…"),
        "Schedule of passes: the first is the coarse one, those at 1 are the fine one.",
    ] = (5, 1)
    max_rounds: Annotated[int, Meta(ge=0, le=100), "Rounds of pulling back, in each pass."] = 8
    rule: Annotated[
        Literal["auto", "recipe"],
        "What is dropped: `auto`, what is probably wrong (label_issue_prob); `recipe`, coarse label "
        "issues, or fine ones where the coarse pass was skipped.",
    ] = "auto"
    drop: Annotated[
        tuple[Literal["coarse", "fine"], ...] | None,
        Shown("as --rule says"),
        "Drop the label issues of these kinds instead: coarse, fine, coarse,fine or none.",
    ] = None
    relabel_above: Annotated[
        float,
        Shown("never"),
        Meta(gt=0, le=1),
        "An image that would be dropped gets its suggested label and stays if that label is at least "
        "this probable; 1: never.",
    ] = 1.0
    pred_probs: Annotated[
        tuple[str, ...],
        NamesFile("pred_probs"),
        Shown(metavar="FILE.npy"),
        "Out-of-fold class probabilities of your own model, (images, classes): they decide, and nothing is trained. "
        "Those of several models are averaged.",
    ] = ()
    pred_ids: Annotated[
        tuple[str, ...],
        NamesFile("pred_probs"),
        Shown(metavar="FILE"),
        "Text file with the file_name of each row of pred_probs, one per line: one for all, or one for each.",
    ] = ()
    pred_probs_blend: Annotated[
        bool, "Train as usual too, and let both decide, weighed by how likely they make the given labels."
    ] = False
    clean_split: _CleanSplit = ()
    learner: _Learner = "probe"
    embedding: EmbeddingSettings = EmbeddingSettings()

    def check(self) -> None:
        """Raise SettingError if values do not go together."""
        falling = bool(self.top_k) and list(self.top_k) == sorted(set(self.top_k), reverse=True)
        self.require(falling, "top_k", "a falling list of whole numbers such as 5,1")
        numbers = {1, len(self.pred_probs)} if self.pred_probs else {0}
        self.require(len(self.pred_ids) in numbers, "pred_ids", "one for all pred_probs or one for each, else neither")
        useful = bool(self.pred_probs) and self.rule == "auto"
        self.require(useful or not self.pred_probs_blend, "pred_probs_blend", "false, without pred_probs and rule auto")


@declare
class BalanceSettings(Settings):
    """Settings of `cleaner balance`."""

    min_count: Annotated[int, Meta(ge=0), "Classes with fewer kept images than this are judged."] = 50
    low_count: Annotated[
        Literal["auto", "review", "drop", "keep"],
        "What happens to small classes: by their coherence (auto), all to people (review), all dropped, all kept.",
    ] = "auto"
    floor: Annotated[
        float,
        Shown("1/3", metavar="SHARE"),
        Meta(ge=0, le=1),
        "Images are repeated until their class has this share of the largest class.",
    ] = 1 / 3
    max_repeats: Annotated[int, Meta(ge=1, le=10_000), "No image is repeated more often than this."] = 20
    tau: _Tau = 1.0
    clean_split: _CleanSplit = ()
    embedding: EmbeddingSettings = EmbeddingSettings()


@declare
class TrainSettings(Settings):
    """Settings of `cleaner train`."""

    val: Annotated[
        str, _VAL, Shown("the splits besides train", metavar="DIR"), "Folder of class folders to measure on."
    ] = ""
    recipe: Annotated[str, "Optimisation and augmentation, one of those that `cleaner recipes` lists."] = "final"
    epochs: Annotated[
        int, Shown("the recipe's"), Meta(ge=0, le=10_000), "Passes over the training images, repeats included."
    ] = 0
    batch_size: Annotated[
        int,
        Shown("the recipe's"),
        Meta(ge=0, le=65_536),
        "Images per step; where memory does not hold them at once, a step is done in parts.",
    ] = 0
    learning_rate: Annotated[float, Shown("the recipe's"), Meta(ge=0, lt=100), "Peak learning rate."] = 0.0
    prior: Annotated[
        Literal["bias", "loss", "none"],
        "Logit adjustment: log prior as the last layer's frozen bias, added in the loss, or none.",
    ] = "bias"
    tau: _Tau = 1.0
    flood: Annotated[
        float, Shown("no flooding", metavar="B"), Meta(ge=0), "Level around which the training loss is kept."
    ] = 0.0
    teacher: Annotated[
        tuple[str, ...],
        NamesFile("teacher"),
        Shown(metavar="FILE"),
        "Checkpoints whose mean prediction is learned from too: files, or folders of them such as labels/models.",
    ] = ()
    teacher_share: Annotated[float, Meta(ge=0, le=1), "Weight of the teachers against the labels."] = 0.5
    temperature: Annotated[
        float, Shown(option=None), Meta(gt=0), "Both sides' logits are divided by this for distillation."
    ] = 2.0
    norm_momentum: Annotated[
        float, Meta(ge=0, lt=1), "Share of a batch norm's running statistics that a step keeps."
    ] = 0.9
    freeze_norm: Annotated[bool, "Leave the running statistics of batch norm as the pre-training left them."] = False
    patience: Annotated[
        int,
        Shown("never"),
        Meta(ge=0),
        "Stop after this many epochs without better validation accuracy, and take the best epoch.",
    ] = 0
    scratch: Annotated[bool, "Begin with random weights instead of pre-trained ones."] = False
    compile: Annotated[
        bool, "Compile the network with torch.compile: minutes at first, faster steps on a GPU, other last bits."
    ] = False
    test_size: Annotated[
        int,
        Shown("as in training"),
        Meta(ge=0, le=1024),
        "Side in pixels of what the network sees when it predicts, 32 or more.",
    ] = 0
    scales: Annotated[
        tuple[Annotated[float, Meta(ge=1, le=4)], ...],
        Shown(metavar="S,…"),
        Meta(min_length=1),
        "Scales of prediction: 1 is the whole image, 1.25 parts of 1/1.25 of its side; all are averaged.",
    ] = (1.0,)
    crops: Annotated[Literal[1, 5], "Parts at each scale above 1: the middle (1), or the corners too (5)."] = 1
    embedding: EmbeddingSettings = EmbeddingSettings()

    def check(self) -> None:
        """Raise SettingError if values do not go together."""
        self.require(self.test_size == 0 or self.test_size >= 32, "test_size", "0, or 32 .. 1024 px")


@declare
class VerifySettings(Settings):
    """Settings of `cleaner verify`."""

    val: Annotated[
        str,
        _VAL,
        Shown("audited images, else held-out splits", metavar="DIR"),
        "Folder of class folders with images that cleaning never saw.",
    ] = ""
    num_seeds: Annotated[
        int,
        Shown("5; finetune 3"),
        Meta(ge=0, le=100),
        "How often each set is learned, with the seeds 0, 1, … after the run's own; at least 2.",
    ] = 0
    learner: _Learner = "probe"
    embedding: EmbeddingSettings = EmbeddingSettings()

    def check(self) -> None:
        """Raise SettingError if values do not go together."""
        self.require(self.num_seeds != 1, "num_seeds", "0 (the learner's), or 2 .. 100")


@declare
class Config(Settings):
    """The settings of all stages, one table of `cleaner.toml` each; all that embed have those of `[embedding]`."""

    scan: ScanSettings = ScanSettings()
    embedding: EmbeddingSettings = EmbeddingSettings()
    noise: NoiseSettings = NoiseSettings()
    labels: LabelsSettings = LabelsSettings()
    balance: BalanceSettings = BalanceSettings()
    train: TrainSettings = TrainSettings()
    verify: VerifySettings = VerifySettings()
