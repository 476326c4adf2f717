"""Speed against peers, each side at its best: one table of ratios, one of how each side was run.

    python benchmarks/speed.py DATA [--only scan labels …] [--images DIR] [--photos 600] [--repeats 5] [--work DIR]

DATA is the folder with the packs (../shared/data). Each side has a process of its own. How it runs fastest (threads of
arithmetic, the BLAS library's kernel, processes, and what else it can be told) is found beforehand on a small part of
the work, each candidate in a fresh process with the environment set before anything is loaded. Then both sides, warmed,
take turns, `--repeats` times; the median of the ratios is shown with the lowest and highest, and `cpu`, the ratio of
core seconds, which other work on the machine disturbs less. Unless `--images` names a folder with class folders, the
photos are pictures of tiny50 enlarged to 533 x 400 as JPEG of quality 90: their files are smaller than real ones.

For each sight, `small` (--backbone embedded-small) and `default`, with the product's own sizes and views:

  embed-…    files to cache, style with it, against a plain timm loop in fp32 of the same networks
  files-…    the same against OpenVINO's networks alone, which read no file
  network-…  our networks alone against OpenVINO's

  scan        the stage with all its checks against cleanvision's find_issues
  duplicates  the same stage against imagededup's perceptual hash and search alone
  labels      50,000 cached embeddings: rule auto and the recipe's fine pass, all their rounds, 5 folds, against
              sklearn's cross_val_predict(LogisticRegression) and cleanlab's find_label_issues, one cross-training;
              F1 of wrong labels beside it. CIFAR-10N random1 if --embeddings holds it, else synthetic rows
"""

from __future__ import annotations

import argparse
import contextlib
import io
import multiprocessing
import os
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pandas as pd
import speed_sides
from PIL import Image

BRIEF = {"photos": 128, "rows": 10_000}
"""How much of the work tells which way of running a side is its fastest."""
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
LEFT_OUT = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE", "OMP_WAIT_POLICY", "OMP_PROC_BIND", "KMP_AFFINITY")
"""Variables that no side shall inherit."""
Options = dict[str, Any]
"""`threads` and `kernel` (OPENBLAS_CORETYPE; "": the library chooses) make the environment, the rest is the side's."""

CORES = ({"threads": 2}, {"threads": 1})
KERNELS = tuple({"kernel": name} for name in ("", "Haswell", "SkylakeX"))


@dataclass(frozen=True)
class Side:
    """One side: a function of speed_sides, and in turn what is chosen about how it runs."""

    name: str
    choices: tuple[tuple[Options, ...], ...] = (CORES,)
    fixed: Options = field(default_factory=dict)


@dataclass(frozen=True)
class Part:
    """A comparison: both sides, and what they work on, photos or rows."""

    ours: Side
    theirs: Side
    source: str = "photos"


OUR_SCAN = Side("our_scan", ((*({"workers": n} for n in (2, 1)),),))
LOADERS = ({"workers": 2}, {"workers": 1})
HINTS = tuple({"hint": hint, "batch": batch} for hint in ("LATENCY", "THROUGHPUT") for batch in (64, 16))
JOBS = ({"threads": 2, "jobs": 1}, {"threads": 1, "jobs": 1}, {"threads": 1, "jobs": 2})
PROCESSES = tuple({"workers": n} for n in (2, 1, 4))


def sight_parts(short: str, sight: str) -> dict[str, Part]:
    own = {"sight": sight}
    ours, openvino = Side("our_embedding", fixed=own), Side("openvino_network", (HINTS, CORES), own)
    return {
        f"embed-{short}": Part(ours, Side("timm_loop", (LOADERS, CORES), own)),
        f"files-{short}": Part(ours, openvino),
        f"network-{short}": Part(Side("our_network", fixed=own), openvino),
    }


PARTS = {
    **sight_parts("small", "embedded-small"),
    **sight_parts("default", "embedded"),
    "scan": Part(OUR_SCAN, Side("cleanvision_scan", (PROCESSES, CORES))),
    "duplicates": Part(OUR_SCAN, Side("imagededup_hash", (PROCESSES,))),
    "labels": Part(
        Side("our_labels"),
        Side("sklearn_and_cleanlab", (KERNELS, JOBS, ({"standardise": True}, {"standardise": False}))),
        "rows",
    ),
}


def main() -> None:
    """Command line entry."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--only", nargs="+", choices=list(PARTS), default=list(PARTS))
    parser.add_argument("--images", type=Path)
    parser.add_argument("--photos", type=int, default=600)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--work", type=Path, default=Path("/tmp/cleaner-speed"))
    parser.add_argument("--embeddings", type=Path, default=Path("/tmp/cleaner-label-decisions/cifar10n.npz"))
    args = parser.parse_args()
    print(processor(), flush=True)
    best: dict[str, Options] = {}
    rows: list[Options] = []
    for name in args.only:
        part = PARTS[name]
        brief, whole = sources_of(part, args)
        for side in (part.ours, part.theirs):
            if (key := key_of(side, whole)) not in best:
                best[key] = fastest(side, brief)
        rows.append({"part": name} | compare(part, best, whole, args.repeats))
        print(pd.DataFrame(rows).to_string(index=False, float_format="%.3g", na_rep=""), flush=True)
    for key, options in best.items():
        print(f"{key}: {options}")


def sources_of(part: Part, args: argparse.Namespace) -> tuple[str, str]:
    """What a trial works on, and the whole."""
    if part.source == "rows":
        nums = (BRIEF["rows"], speed_sides.NUM_LABELLED)
        brief, whole = (speed_sides.write_labelled(args.data, args.embeddings, n, args.work) for n in nums)
    else:
        brief = make_photos(args.data, BRIEF["photos"], args.work / f"photos-{BRIEF['photos']}")
        whole = args.images or make_photos(args.data, args.photos, args.work / f"photos-{args.photos}")
    return str(brief), str(whole)


def make_photos(data: Path, num: int, folder: Path) -> Path:
    """Pictures of tiny50 at 533 x 400, in folders by class."""
    if (folder / "done").exists():
        return folder / "images"
    frame = pd.read_parquet(data / "tiny50.parquet").sample(num, random_state=0)
    for i, (content, label) in enumerate(zip(frame["image"], frame["clean"], strict=True)):
        path = folder / "images" / label / f"{i:05}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        big = Image.open(io.BytesIO(content)).convert("RGB").resize((533, 400), Image.Resampling.BICUBIC)
        big.save(path, quality=90)
    (folder / "done").touch()
    return folder / "images"


def key_of(side: Side, source: str) -> str:
    return " ".join([side.name, *map(str, side.fixed.values()), Path(source).parent.name])


def fastest(side: Side, source: str) -> Options:
    """The options under which a side is fastest on a part of the work; chosen in turn, the others kept."""
    options: Options = {"threads": 2, "kernel": ""} | {k: v for group in side.choices for k, v in group[0].items()}
    tried: dict[str, float] = {}
    for group in side.choices:
        for choice in group:
            candidate = options | choice
            if str(candidate) not in tried:
                with worker(side, source, candidate) as run:
                    tried[str(candidate)] = min(run()["seconds"] for _ in range(2))
                print(f"  {side.name} {candidate}: {tried[str(candidate)]:.2f} s", file=sys.stderr, flush=True)
        options |= min(group, key=lambda choice: tried[str(options | choice)])
    return options


def compare(part: Part, best: dict[str, Options], source: str, repeats: int) -> Options:
    """Medians of runs that take turns."""
    sides = (part.ours, part.theirs)
    with (
        worker(sides[0], source, best[key_of(sides[0], source)]) as run_ours,
        worker(sides[1], source, best[key_of(sides[1], source)]) as run_theirs,
    ):
        pairs = [(run_ours(), run_theirs()) for _ in range(repeats)]
    kernels = [[run.pop("kernels") for run in side][-1] for side in zip(*pairs, strict=True)]
    for side, found in zip(sides, kernels, strict=True):
        best[key_of(side, source)]["libraries"] = found
    mine, other = (pd.DataFrame(list(side)) for side in zip(*pairs, strict=True))
    each = [side[["seconds", "core_seconds"]].div(side["num"], axis=0) for side in (mine, other)]
    ratios = each[1]["seconds"] / each[0]["seconds"]
    row = {
        "ours_s": mine["seconds"].median(),
        "theirs_s": other["seconds"].median(),
        "ours_per_s": (mine["num"] / mine["seconds"]).median(),
        "theirs_per_s": (other["num"] / other["seconds"]).median(),
        "ratio": float(ratios.median()),
        "lowest": ratios.min(),
        "highest": ratios.max(),
        "cpu": each[1]["core_seconds"].median() / each[0]["core_seconds"].median(),
        "runs": repeats,
    }
    shown = {"": mine, "theirs_": other}
    usual = ["seconds", "core_seconds", "num"]
    return row | {f"{who}{n}": side[n].median() for who, side in shown.items() for n in side.columns.difference(usual)}


@contextmanager
def worker(side: Side, source: str, options: Options) -> Iterator[Callable[[], Options]]:
    """A process that has prepared a side; calling what comes out runs it once, times included."""
    context = multiprocessing.get_context("spawn")
    near, far = context.Pipe()
    own = {k: v for k, v in options.items() if k not in ("threads", "kernel", "libraries")} | side.fixed
    process = context.Process(target=serve, args=(far, side.name, source, own))
    with environment(options):
        process.start()
    far.close()
    near.recv()

    def run() -> Options:
        near.send("run")
        return near.recv()  # type: ignore[no-any-return]

    try:
        yield run
    finally:
        near.send("stop")
        process.join()


@contextmanager
def environment(options: Options) -> Iterator[None]:
    """What a process that starts in this block inherits."""
    before = os.environ.copy()
    for name in LEFT_OUT:
        os.environ.pop(name, None)
    os.environ |= dict.fromkeys(THREADS, str(options["threads"]))
    if options["kernel"]:
        os.environ["OPENBLAS_CORETYPE"] = options["kernel"]
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def serve(connection: Connection, name: str, source: str, options: Options) -> None:
    """The worker's loop."""
    warnings.simplefilter("ignore")
    os.environ["TQDM_DISABLE"] = "1"
    multiprocessing.set_start_method("fork", force=True)  # Linux' own, for the pools of peers; spawning costs seconds
    run: speed_sides.Run = getattr(speed_sides, name)(source, **options)
    connection.send("ready")
    while connection.recv() == "run":
        before, cores = time.monotonic(), core_seconds()
        notes = run()
        took = {"seconds": time.monotonic() - before, "core_seconds": core_seconds() - cores}
        connection.send(took | notes | {"kernels": libraries()})


def core_seconds() -> float:
    """Seconds of all cores in this process, its living descendants, and what these have waited for (Linux)."""
    parents, ticks = {}, {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # it has ended
            fields = stat.read_text().rpartition(")")[2].split()
            process = int(stat.parent.name)
            parents[process], ticks[process] = int(fields[1]), sum(map(int, fields[11:15]))
    total, family = 0, [os.getpid()]
    while family:
        member = family.pop()
        total += ticks.get(member, 0)
        family += [process for process, parent in parents.items() if parent == member]
    return total / os.sysconf("SC_CLK_TCK")


def libraries() -> str:
    """The arithmetic libraries that this process has loaded, with their kernels and threads."""
    from threadpoolctl import threadpool_info

    found = [f"{i['internal_api']} {i.get('architecture') or ''} x{i['num_threads']}" for i in threadpool_info()]
    if "torch" in sys.modules:
        import torch

        found.append(f"torch {torch.backends.cpu.get_cpu_capability()} x{torch.get_num_threads()}")
    return ", ".join(sorted({" ".join(words.split()) for words in found}))


def processor() -> str:
    """This machine's processor, as far as the system tells."""
    lines = dict(
        line.split(":", 1) for line in Path("/proc/cpuinfo").read_text().split("\n\n")[0].splitlines() if ":" in line
    )
    fields = {name.strip(): value.strip() for name, value in lines.items()}
    flags = [f for f in ("avx2", "avx512f", "avx512_bf16", "amx_bf16") if f in fields.get("flags", "").split()]
    family = f"family {fields.get('cpu family')} model {fields.get('model')}"
    return f"{fields.get('model name', '?')} ({family}; {', '.join(flags)}), {os.cpu_count()} cores"


if __name__ == "__main__":
    main()
