"""How time and memory of the stages that read embeddings grow with the number of images.

    python benchmarks/feature_scale.py [--images 100000 1000000] [--dim 256] [--views 2] [--stages noise balance]
        [--labels-options …] [--closed-form] [--same] [--csv FILE]

Makes a workspace: a scan's manifest of so many images in 1,000 classes and 20 small ones, one in fifty a noise image
and one in ten under a wrong label, a table of 400 seeds, and, in the embeddings' cache, shards of `--dim` numbers a
view. No picture is there or decoded. Then the real program runs each stage in a process of its own. Peak memory is what
the process held beside the page cache (RssAnon, read every 20 ms); `mapped` is the most that it had mapped of files,
which the kernel may drop at any time. `per_image` is the time for each image against that of the size before. F1 is of
what the stage found against what was planted. `planned` is what the trial of `cleaner plan` says beforehand of so many
rows, without reading the manifest and the cache. Without noise among the stages the first reads the scan's manifest;
F1 of labels is that of images of a class.
--same runs every stage twice more, with all features in memory and all in files, and compares the manifests.
--closed-form: heads in closed form, as the stage computes them for some 5,000 classes and more.
The folder for it all is TMPDIR (by default /var/tmp): 2 x 2 x dim x views bytes an image.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from memory_watch import MemoryWatch, apart
from scores import precision_recall_f1

from cleaner.config import EmbeddingSettings, ScanSettings
from cleaner.dataset.manifest import NOT_JUDGED
from cleaner.dataset.manifest_schema import BY_STAGE, COMMON, schema_for
from cleaner.dataset.stage_inputs import SCHEMA_VERSION
from cleaner.dataset.store import ArrayStore, sha256_file
from cleaner.dataset.workspace import StageRecord, Workspace

NUM_CLASSES, NUM_SMALL, SMALL_SIZE = 1000, 20, 30
NUM_SEEDS = 200
NOISE_SHARE, WRONG_SHARE = 0.02, 0.1
STYLE_DIM = 64
SHARD = 1024
_PIECE = 512 * SHARD
_RUN = """
import sys
from cleaner.modeling import closed_form, columns
from cleaner.cli.app import main
bound, always_closed = int(sys.argv.pop(1)), sys.argv.pop(1) == "True"
if bound >= 0:
    columns.BYTES_IN_MEMORY = bound
if always_closed:
    closed_form.LARGEST_FOR_STEPS = 0
main()
"""


def main() -> None:
    """Command line entry."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", nargs="+", type=int, default=[100_000, 1_000_000])
    parser.add_argument("--dim", type=int, default=256)
    parser.add_argument("--views", type=int, default=2, choices=[1, 2])
    parser.add_argument("--stages", nargs="+", default=["noise", "balance"], choices=["noise", "labels", "balance"])
    parser.add_argument("--labels-options", default="", help="further options of `cleaner labels`")
    parser.add_argument("--closed-form", action="store_true")
    parser.add_argument("--same", action="store_true")
    parser.add_argument("--csv", type=Path)
    args = parser.parse_args()
    rows: list[dict[str, object]] = []
    for num in args.images:
        with tempfile.TemporaryDirectory(dir=os.environ.get("TMPDIR", "/var/tmp")) as scratch:
            apart(synthesise, Path(scratch), num, args.dim, args.views)
            planned = apart(plan_heads, num, args.dim, args.views, args.closed_form)
            for stage in args.stages:
                further = args.labels_options.split() if stage == "labels" else []
                command = options_of(Path(scratch), stage, args.views) + further
                if stage == args.stages[0] != "noise":  # of a noise stage that did not run there is no manifest
                    command += ["--from", str(Workspace(Path(scratch)).manifest_path("scan"))]
                row = {"images": num, "stage": stage, "planned": planned.get(stage)}
                row |= run_stage(Path(scratch), command, -1, args.closed_form)
                before = next((r for r in reversed(rows) if r["stage"] == stage), None)
                if before is not None:
                    row["per_image"] = (row["seconds"] / num) / (before["seconds"] / before["images"])  # type: ignore[operator]
                row["f1"] = score(Path(scratch), stage)
                if args.same:
                    row["same"] = is_same(Path(scratch), stage, command, args.closed_form)
                rows.append(row)
                print(row, file=sys.stderr, flush=True)
    table = pd.DataFrame(rows)
    print(table.to_string(index=False, float_format="%.3f", na_rep=""))
    if args.csv:
        table.to_csv(args.csv, index=False)


def options_of(root: Path, stage: str, views: int) -> list[str]:
    """The command of a stage."""
    command = [stage, "-C", str(root), "--json", "--quiet", "--backbone", "embedded-small", "--views", str(views)]
    return command + (["--seeds", str(root / "seeds.csv")] if stage == "noise" else [])


def run_stage(root: Path, command: list[str], bound: int, closed_form: bool) -> dict[str, object]:
    """Seconds of wall clock and of processor, and peak memory in GB, of a command that is run anew."""
    process = subprocess.Popen(
        [sys.executable, "-c", _RUN, str(bound), str(closed_form), *command, "--force"],
        stdout=subprocess.DEVNULL,
        cwd=root,
    )
    started = time.monotonic()
    with MemoryWatch(process.pid) as memory:
        _, status, usage = os.wait4(process.pid, 0)
    assert status == 0, f"{command} ended with {status}"
    return {
        "seconds": time.monotonic() - started,
        "core_seconds": usage.ru_utime + usage.ru_stime,
        "peak_gb": memory.own_mb / 1000,
        "mapped_gb": memory.mapped_mb / 1000,
    }


def plan_heads(num: int, dim: int, views: int, closed_form: bool) -> dict[str, float]:
    """Seconds that a plan's trial says of the noise and labels stages over `num` rows with cached embeddings."""
    from cleaner.config import Config
    from cleaner.modeling import closed_form as heads
    from cleaner.modeling.embedding_views import Embeddings
    from cleaner.stages import plan_trial

    if closed_form:
        heads.LARGEST_FOR_STEPS = 0
    rng = np.random.default_rng(0)
    style = np.abs(rng.normal(size=(384, STYLE_DIM))).astype(np.float16)
    sample = Embeddings.of_views([rng.normal(size=(384, dim)).astype(np.float16) for _ in range(views)], style)
    times = plan_trial.try_heads(sample, num, NUM_CLASSES + NUM_SMALL, Config(), rng)
    return {"noise": times.noise_s, "labels": times.labels_s}


def is_same(root: Path, stage: str, command: list[str], closed_form: bool) -> bool:
    """Whether features in memory and features in files lead to the same manifest."""
    found = []
    for bound in (1 << 60, 0):
        for kept in root.glob("cache/labels*"):
            subprocess.run(["rm", "-r", str(kept)], check=True)
        run_stage(root, command, bound, closed_form)
        found.append(sha256_file(Workspace(root).manifest_path(stage)))
    return found[0] == found[1]


def score(root: Path, stage: str) -> float:
    """F1 of what a stage found against what was planted; NaN for balance."""
    truth = np.load(root / "truth.npz")
    if stage == "balance":
        return float("nan")
    column = {"noise": "is_noise", "labels": "drop_stage"}[stage]
    found = pq.read_table(Workspace(root).manifest_path(stage), columns=[column])[column].to_numpy()
    if stage == "noise":
        return precision_recall_f1(found, truth["noise"])[2]
    of_a_class = ~truth["noise"]
    return precision_recall_f1(found[of_a_class] == "labels", truth["labels"][of_a_class])[2]


def synthesise(root: Path, num: int, dim: int, views: int) -> None:
    """A scanned workspace with embeddings in its cache, seeds, and what is planted."""
    from cleaner.modeling.backbones import load_backbones  # for the cache's key

    (backbone,) = load_backbones(EmbeddingSettings(backbone="embedded-small", views=views), "cpu")
    workspace, rng = Workspace(root), np.random.default_rng(0)
    num_classes = NUM_CLASSES + NUM_SMALL
    given = np.sort(rng.integers(0, NUM_CLASSES, num - NUM_SMALL * SMALL_SIZE).astype(np.int32))
    given = np.concatenate([given, np.repeat(np.arange(NUM_CLASSES, num_classes, dtype=np.int32), SMALL_SIZE)])
    right = np.where(rng.random(num) < WRONG_SHARE, rng.integers(0, NUM_CLASSES, num), given).astype(np.int32)
    is_noise = rng.random(num) < NOISE_SHARE
    np.savez(root / "truth.npz", noise=is_noise, labels=(right != given) & ~is_noise)
    centres = rng.normal(size=(num_classes, dim)).astype(np.float32)
    noise_centres = rng.normal(size=(20, dim)).astype(np.float32)
    style = rng.normal(size=(2, STYLE_DIM)).astype(np.float32)
    store = ArrayStore(workspace.cache / "embeddings" / backbone.key[:20])
    workspace.begin("scan")
    schema = schema_for([f.name for f in [*COMMON, *BY_STAGE["scan"]]]).with_metadata(
        {"cleaner.stage": "scan", "cleaner.schema_version": str(SCHEMA_VERSION), "cleaner.parent_sha256": ""}
    )
    seeds = [np.zeros(0, np.int64)] * 2
    with pq.ParquetWriter(workspace.manifest_path("scan"), schema, compression="zstd") as writer:
        for start in range(0, num, _PIECE):
            rows = np.arange(start, min(start + _PIECE, num))
            raw = np.frombuffer(rng.bytes(32 * len(rows)), np.uint8).reshape(-1, 32)
            writer.write_table(pa.table(describe(rows, given[rows], is_noise[rows], raw, rng), schema=schema))
            for first in range(0, len(rows), SHARD):
                mine = rows[first : first + SHARD]
                base = np.where(
                    is_noise[mine, None], noise_centres[mine % len(noise_centres)], centres[right[mine]]
                ) + 1.2 * rng.normal(size=(len(mine), dim)).astype(np.float32)
                arrays = {"image_id": raw[first : first + SHARD]}
                for view in ("plain", "mirrored")[:views]:
                    arrays[view] = (base + 0.3 * rng.normal(size=base.shape)).astype(np.float16)
                look = 1.5 * style[is_noise[mine].astype(int)] + rng.normal(size=(len(mine), STYLE_DIM))
                arrays["style"] = np.abs(look).astype(np.float16)
                store.put(f"{start + first:024d}", arrays)
            for kind in (0, 1):
                seeds[kind] = np.concatenate([seeds[kind], rows[is_noise[rows] == kind]])[:NUM_SEEDS]
    chosen = np.concatenate(seeds)
    pd.DataFrame({"file_name": file_names(chosen, given[chosen]), "is_noise": is_noise[chosen].astype(int)}).to_csv(
        root / "seeds.csv", index=False
    )
    record = StageRecord(
        stage="scan",
        settings=ScanSettings().as_record(),
        seed=0,
        images_root="/absent",
        inputs=[],
        outputs={},
        counts={"rows": num, "kept": num, "dropped": {}, "label_conflicts": 0},
        backbone={},
        device="cpu",
        threads=1,
        seconds=1.0,
    )
    workspace.write_record(record, ["manifest.parquet"])


def file_names(rows: np.ndarray, given: np.ndarray) -> list[str]:
    """The names of rows, in the manifest's order."""
    return [f"class_{k:04d}/{row:08d}.jpg" for row, k in zip(rows.tolist(), given.tolist(), strict=True)]


def describe(
    rows: np.ndarray, given: np.ndarray, is_noise: np.ndarray, raw: np.ndarray, rng: np.random.Generator
) -> dict[str, object]:
    """The columns of some rows of the scan's manifest."""
    num, digits = len(rows), raw.tobytes().hex()
    ids = [digits[64 * i : 64 * i + 64] for i in range(num)]
    labels = [f"class_{k:04d}" for k in given.tolist()]
    columns: dict[str, object] = {
        f.name: np.full(num, NOT_JUDGED[str(f.type)], dtype=object if str(f.type) == "string" else None)
        for f in [*COMMON, *BY_STAGE["scan"]]
    }
    shift = is_noise.astype(np.float32)
    columns |= {
        "file_name": file_names(rows, given),
        "image_id": ids,
        "pixel_id": ids,
        "keep": np.ones(num, bool),
        "readable": np.ones(num, bool),
        "clean_label": labels,
        "label": labels,
        "split": ["train"] * num,
        "mode": ["RGB"] * num,
        "format": ["JPEG"] * num,
        "width": rng.integers(200, 2000, num).astype(np.int32),
        "height": rng.integers(200, 2000, num).astype(np.int32),
        "file_bytes": rng.integers(10_000, 1_000_000, num),
        "num_colors": rng.integers(100, 9000, num).astype(np.int32),
        "information": (7 - 2 * shift + rng.normal(size=num)).astype(np.float32),
        "flat_share": (rng.random(num) * (0.5 + 0.5 * shift)).astype(np.float32),
        "aspect": np.exp(0.3 * rng.normal(size=num)).astype(np.float32),
    }
    return columns


if __name__ == "__main__":
    main()
