from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image, ImageFilter

from cleaner.config import QUALITY_ISSUES, RunOptions, ScanSettings
from cleaner.dataset.image_measures import compute_flat_share, compute_information, compute_sharpness
from cleaner.dataset.images import inspect_image
from cleaner.dataset.workspace import Workspace
from cleaner.errors import UsageError
from cleaner.scoring.image_quality import compute_aspect, compute_size_ratio, find_issues, find_odd_sizes, name_issues
from cleaner.stages.scan import run_scan
from cleaner.stages.scan_quality import judge_quality
from tests.support.places import SAMPLE

PLANTED = {"blurry": "blurry", "dark": "dark", "bright": "bright", "low_information": "flat"}


def scan(root: Path, work: Path, *, yes: bool = False, **settings: object) -> pd.DataFrame:
    run_scan(Workspace(work), root, ScanSettings(**settings), RunOptions(workers=1, yes=yes))  # type: ignore[arg-type]
    return Workspace(work).read("scan").set_index("file_name")


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    """Scanned sample_data with its truth; columns of the truth begin with `true_`."""
    rows = scan(SAMPLE / "images", tmp_path_factory.mktemp("quality"))
    truth = pd.read_csv(SAMPLE / "truth.csv", keep_default_na=False).set_index("file_name").add_prefix("true_")
    return rows.join(truth)[rows["readable"]]


def photo(seed: int, width: int = 160, height: int = 120) -> Image.Image:
    """Patches of colour at several scales: sharp, of full contrast."""
    rng, total = np.random.default_rng(seed), np.zeros((height, width, 3), np.float32)
    for cells in (4, 12, 48):
        patch = Image.fromarray(rng.integers(0, 256, (cells, cells, 3), dtype=np.uint8))
        total += np.asarray(patch.resize((width, height), Image.Resampling.NEAREST), np.float32)
    return Image.fromarray((total / 3).astype(np.uint8))


def stretched(image: Image.Image, factor: float, offset: float) -> Image.Image:
    return image.point(lambda v: v * factor + offset)


ALTER: dict[str, Callable[[Image.Image], Image.Image]] = {
    "": lambda image: image,
    "blurry": lambda image: image.filter(ImageFilter.GaussianBlur(6)),
    "dark": lambda image: stretched(image, 0.2, 0),
    "bright": lambda image: stretched(image, 0.15, 216),
    "low_information": lambda image: stretched(image.convert("L"), 0.1, 110).convert("RGB"),
    "odd_aspect": lambda image: image.crop((0, 0, 160, 30)),
}


def issues_of(path: Path) -> str:
    facts = inspect_image(path, 10**8)
    names = ("sharpness", "brightness_low", "brightness_high", "pixel_std", "information")
    values = {name: np.array([getattr(facts, name)]) for name in names}
    aspect = compute_aspect(np.array([facts.width]), np.array([facts.height]))
    return name_issues(find_issues(**values, aspect=aspect, size_ratio=np.ones(1)))[0]


# ---- planted truth


@pytest.mark.parametrize("issue", list(PLANTED))
def test_planted_faults_of_sample_data_are_found(sample: pd.DataFrame, issue: str) -> None:
    good = sample[sample["true_is_noise_image"].astype(str).str.lower() != "true"]
    found = good["quality"].str.split(",").map(lambda names: issue in names)
    planted = good["true_quality"] == PLANTED[issue]
    hits = (found & planted).sum()
    assert planted.sum() == 8 and hits / planted.sum() >= 0.9 and hits / found.sum() >= 0.9


def test_plain_sample_images_are_not_flagged(sample: pd.DataFrame) -> None:
    plain = sample[(sample["true_is_noise_image"].astype(str).str.lower() != "true") & (sample["true_quality"] == "")]
    assert len(plain) > 1300 and (plain["quality"] != "").sum() <= 3


def test_information_tells_planted_noise_from_good_images(sample: pd.DataFrame) -> None:
    noise = sample["true_is_noise_image"].astype(str).str.lower() == "true"
    least = sample["information"].nsmallest(80).index
    assert noise[least].mean() >= 0.7


@pytest.mark.parametrize("issue", list(ALTER))
@pytest.mark.parametrize("size", [(160, 120), (800, 600)])
def test_altered_pictures_get_their_own_finding_alone(tmp_path: Path, issue: str, size: tuple[int, int]) -> None:
    for seed in range(4):
        altered = ALTER[issue](photo(seed))
        path = tmp_path / f"{seed}.jpg"
        altered.resize((altered.width * size[0] // 160, altered.height * size[1] // 120)).save(path, quality=90)
        assert issues_of(path) == issue


@pytest.mark.parametrize("side", [32, 48, 64])
def test_small_thumbnails_and_low_contrast_are_not_blurry(tmp_path: Path, side: int) -> None:
    for seed in range(6):
        small = photo(seed).resize((side, side), Image.Resampling.LANCZOS)
        small.save(tmp_path / "small.jpg", quality=90)
        assert issues_of(tmp_path / "small.jpg") == ""
        stretched(small, 0.35, 80).save(tmp_path / "pale.png")
        assert "blurry" not in issues_of(tmp_path / "pale.png")


@pytest.mark.parametrize(
    ("color", "expected"),
    [
        ("white", "bright,low_information"),
        ("black", "dark,low_information"),
        ("grey", "low_information"),
    ],
)
def test_blank_pictures_are_low_in_information_and_not_blurry(tmp_path: Path, color: str, expected: str) -> None:
    for size in ((1, 1), (2, 2), (200, 100)):
        Image.new("RGB", size, color).save(tmp_path / "blank.png")
        assert issues_of(tmp_path / "blank.png") == expected


# ---- arrays


def test_sharpness_does_not_depend_on_contrast_and_falls_with_blur() -> None:
    grey = photo(1, 64, 64).convert("L")
    values = [compute_sharpness(np.asarray(grey.filter(ImageFilter.GaussianBlur(r)), np.float32)) for r in (0, 1, 2, 4)]
    assert values == sorted(values, reverse=True) and values[0] > 4 * values[2]
    array = np.asarray(grey, np.float32)
    assert compute_sharpness(array / 5 + 30) == pytest.approx(values[0], rel=1e-4)
    assert np.isnan(compute_sharpness(np.full((9, 9), 7, np.float32))) and np.isnan(compute_sharpness(array[:2]))


def test_information_and_flat_share_of_known_pictures() -> None:
    half = np.zeros((8, 8, 3), np.uint8)
    half[:, 4:] = 255
    assert compute_information(half) == pytest.approx(1.0)
    assert compute_information(half[:, :4]) == 0.0
    assert compute_flat_share(half[..., 0].astype(np.float32)) == pytest.approx(1 - 8 / 112)
    assert compute_flat_share(np.zeros((1, 1), np.float32)) == 1.0


def test_odd_sizes_lie_far_from_the_median_and_from_the_quartiles() -> None:
    same = np.array([100] * 20 + [30, 400, 60, 180])
    ratio = compute_size_ratio(same, same, np.ones(24, bool))
    assert np.flatnonzero(find_odd_sizes(ratio)).tolist() == [20, 21]
    various = np.geomspace(50, 5000, 50).astype(int)
    assert not find_odd_sizes(compute_size_ratio(various, various, np.ones(50, bool))).any()
    assert not find_odd_sizes(np.full(3, np.nan)).any()
    assert compute_aspect(np.array([100, 50, 0]), np.array([50, 100, 0]))[:2].tolist() == [0.5, 0.5]


def test_nan_is_never_a_finding() -> None:
    nothing = np.full(2, np.nan)
    names = ("sharpness", "brightness_low", "brightness_high", "pixel_std", "information", "aspect", "size_ratio")
    found = find_issues(**dict.fromkeys(names, nothing))
    assert sorted(found) == list(QUALITY_ISSUES) and name_issues(found).tolist() == ["", ""]


# ---- limits that are a property of the set

MEASURES = ("sharpness", "brightness_low", "brightness_high", "pixel_std", "information", "aspect", "size_ratio")
USUAL = {"sharpness": 0.7, "brightness_low": 0.2, "brightness_high": 0.9, "pixel_std": 0.2, "information": 7.0}


def issues_in(name: str, values: np.ndarray, *, in_set: bool = True) -> dict[str, np.ndarray]:
    """The issues of a set that is usual in all measures but one."""
    num = len(values)
    rest = {key: np.full(num, USUAL.get(key, 1.0), np.float32) for key in MEASURES}
    return find_issues(**rest | {name: values.astype(np.float32)}, in_set=in_set)


SOFT_SETS = {  # a measure, its values in a set of that kind, values that stand out of it, and the issue
    "X-rays": ("sharpness", (0.25, 0.03), (0.06, 0.07), "blurry"),
    "drawings": ("information", (3.2, 0.4), (0.4, 0.9), "low_information"),
    "night": ("brightness_high", (0.33, 0.04), (0.05, 0.09), "dark"),
    "white pages": ("brightness_low", (0.82, 0.03), (0.995, 0.999), "bright"),
    "faint scans": ("pixel_std", (0.04, 0.004), (0.006, 0.009), "low_information"),
    "panoramas": ("aspect", (0.32, 0.03), (0.08, 0.12), "odd_aspect"),
}


@pytest.mark.parametrize("kind", SOFT_SETS)
def test_of_a_set_beyond_a_limit_only_what_stands_out_is_flagged(kind: str) -> None:
    name, (centre, spread), odd, issue = SOFT_SETS[kind]
    values = np.concatenate([np.random.default_rng(0).normal(centre, spread, 300), odd])
    found = issues_in(name, values)[issue]
    assert issues_in(name, values, in_set=False)[issue].mean() > 0.25
    assert found[-2:].all() and found.mean() < 0.03


@pytest.mark.parametrize("share", [0.05, 0.15, 0.3])
def test_bad_images_are_found_though_they_are_many(share: float) -> None:
    rng = np.random.default_rng(1)
    num_bad = int(400 * share)
    values = np.concatenate([rng.lognormal(np.log(0.6), 0.3, 400 - num_bad), rng.uniform(0.05, 0.15, num_bad)])
    found = issues_in("sharpness", values)["blurry"]
    assert found[-num_bad:].mean() > 0.95 and found[:-num_bad].mean() < 0.01


def test_a_property_of_the_set_is_told() -> None:
    values = np.concatenate([np.linspace(0.2, 0.3, 200), [0.05]]).astype(np.float32)
    num = len(values)
    frame = pd.DataFrame({key: np.full(num, USUAL.get(key, 1.0), np.float32) for key in MEASURES[:5]})
    frame = frame.assign(sharpness=values, width=100, height=80, readable=True)
    quality = judge_quality(frame)
    (warning,) = quality.warnings
    assert warning.startswith("blurry: 81 of 201 images (40%) are beyond the limit") and "; 1 that" in warning
    assert frame["quality"].tolist() == [""] * 200 + ["blurry"] and quality.beyond == {"blurry": 81}
    with pytest.raises(UsageError, match="--drop blurry: 81 of 201"):
        quality.require_rare(["dark", "blurry"])
    quality.require_rare(["dark"])


def test_a_few_images_are_no_set() -> None:
    assert issues_in("sharpness", np.full(20, 0.2))["blurry"].all()
    assert not issues_in("sharpness", np.full(200, 0.2))["blurry"].any()


# ---- the stage


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """12 plain pictures, a dark and a blurry one in train, and a dark one in test."""
    images = tmp_path / "images"
    for i in range(12):
        save(images / f"{('train', 'test')[i % 2]}/{'ab'[i % 3 % 2]}/{i:02d}.png", photo(i))
    save(images / "train/a/dark.png", ALTER["dark"](photo(20)))
    save(images / "train/b/blurry.png", ALTER["blurry"](photo(21)))
    save(images / "test/a/dark.png", ALTER["dark"](photo(22)))
    (images / "train/a/empty.jpg").write_bytes(b"")
    return images


def save(path: Path, image: Image.Image) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path)


def test_nothing_is_dropped_by_default(root: Path, tmp_path: Path) -> None:
    rows = scan(root, tmp_path / "work")
    found = rows["quality"][rows["quality"] != ""].to_dict()
    assert found == {"train/a/dark.png": "dark", "train/b/blurry.png": "blurry", "test/a/dark.png": "dark"}
    assert rows.loc[rows["readable"], "keep"].all()
    empty = rows.loc["train/a/empty.jpg"]
    assert (
        empty["quality"] == ""
        and np.isnan(empty[["sharpness", "information", "aspect", "size_ratio"]].astype(float)).all()
    )


def test_drop_rules_take_from_train_alone_unless_told(root: Path, tmp_path: Path) -> None:
    work = tmp_path / "work"
    rows = scan(root, work, drop=("dark",), yes=True)
    gone = rows[rows["drop_reason"] == "low_quality"]
    assert list(gone.index) == ["train/a/dark.png"] and (gone["drop_stage"] == "scan").all() and not gone["keep"].any()
    rows = scan(root, work, drop=("blurry", "dark"), clean_split=("test",), yes=True)
    gone = rows[rows["drop_reason"] == "low_quality"]
    assert list(gone.index) == ["test/a/dark.png", "train/a/dark.png", "train/b/blurry.png"]


def test_an_issue_that_many_images_have_is_dropped_only_if_confirmed(root: Path, tmp_path: Path) -> None:
    work = tmp_path / "work"
    scan(root, work)
    record = Workspace(work).record("scan")
    assert record is not None and record.counts["beyond_quality_limit"] == {"dark": 2}
    with pytest.raises(UsageError, match=r"--drop dark: 2 of 15") as failure:
        scan(root, work, drop=("blurry", "dark"))
    assert "--yes" in failure.value.next_step and failure.value.exit_code == 2
    assert Workspace(work).record("scan") == record, "the earlier scan stays"
    rows = scan(root, work, drop=("blurry",))
    assert list(rows.index[rows["drop_reason"] == "low_quality"]) == ["train/b/blurry.png"]


def test_an_unknown_drop_rule_is_refused() -> None:
    with pytest.raises(UsageError, match="ugly"):
        ScanSettings(drop=("ugly",))
