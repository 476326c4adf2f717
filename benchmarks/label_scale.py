"""How time and memory of the label passes grow with the number of images, on one machine or on the nodes of a cluster.

    python benchmarks/label_scale.py [--images 10000 100000 1000000] [--classes 5000] [--dim 256] [--csv FILE]
    python benchmarks/label_scale.py --images 200000 --nodes 0 1 2 [--kill]
    python benchmarks/label_scale.py --images 200000 --classes 200 --similar [--steps]

Synthetic embeddings of so many images in 5,000 classes, in files, 10 % wrong labels, closed-form heads, through the
coarse pass and (without --coarse-only) the fine pass and the rule auto, in a process of its own for each size. One
table: seconds, peak memory without what files back, seconds per image against the smallest size, F1 of what the passes
find and of what auto drops, a digest of all decisions and probabilities. --csv writes seconds and peak memory for
plot_growth.py. --nodes: on a Ray cluster of so many nodes of one core each, all on this machine; the program that asks
shares their cores and takes one thread (Linux). 0: without Ray. --kill: one of several nodes is killed in the midst of
the work. --similar: classes come in pairs that look alike, and one label in five is that of the other of its pair.
--steps: heads by steps, as a stage trains them below 4,900 classes.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from memory_watch import MemoryWatch
from scores import precision_recall_f1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", nargs="+", type=int, default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--classes", type=int, default=5_000)
    parser.add_argument("--dim", type=int, default=256)
    parser.add_argument("--coarse-only", action="store_true")
    parser.add_argument("--csv", type=Path)
    parser.add_argument("--nodes", nargs="+", type=int, default=[0])
    parser.add_argument("--kill", action="store_true")
    parser.add_argument("--similar", action="store_true")
    parser.add_argument("--steps", action="store_true")
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        print(json.dumps(run_labels(args.images[0], args)))
        return
    rows = []
    for size, nodes in itertools.product(args.images, args.nodes):
        numbers = {"images": size, "classes": args.classes, "dim": args.dim, "nodes": nodes}
        command = [sys.executable, __file__, "--one", *(str(v) for k, n in numbers.items() for v in (f"--{k}", n))]
        command += ["--coarse-only"] * args.coarse_only + ["--kill"] * (args.kill and nodes > 1)
        command += ["--similar"] * args.similar + ["--steps"] * args.steps
        env = os.environ | ({"OMP_NUM_THREADS": "1"} if nodes else {})
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=env)
        rows.append({"images": size, "nodes": nodes} | json.loads(done.stdout.splitlines()[-1]))
        print(rows[-1], file=sys.stderr, flush=True)
    table = pd.DataFrame(rows)
    per_image = table["coarse_seconds"] / table["images"]
    table["coarse_growth"] = per_image / per_image[0]
    print(table.to_string(index=False, float_format="%.3f"))
    if args.csv:
        grown = {"rows": table["images"], "seconds": table["coarse_seconds"], "peak_mb": table["peak_gb"] * 1000}
        pd.DataFrame(grown).assign(command="labels, coarse pass").to_csv(args.csv, index=False)


def run_labels(num: int, args: argparse.Namespace) -> dict[str, Any]:
    """The passes, then the rule, over one synthetic set."""
    from cleaner.dataset.store import ArrayStore, digest_of
    from cleaner.modeling.backbones import resolve_device, resolve_precision
    from cleaner.modeling.closed_form import ClosedFormLearner
    from cleaner.modeling.probe import ProbeLearner
    from cleaner.modeling.probe_tasks import ClusterProbeLearner
    from cleaner.progress import Silent
    from cleaner.scoring.groups import assign_folds
    from cleaner.stages.labels.fits import LabelSet, StoredFits
    from cleaner.stages.labels.issue_estimate import estimate_issues
    from cleaner.stages.labels.passes import run_pass

    with (
        tempfile.TemporaryDirectory() as folder,
        engine_of(args.nodes[0], Path(folder), kill=args.kill) as engine_map,
        MemoryWatch(os.getpid()) as memory,
    ):
        scratch = Path(folder)
        views, right, given = synthetic(num, args.classes, args.dim, scratch, similar=args.similar)
        rows = np.arange(num)
        labels = LabelSet(
            targets=given,
            fold=assign_folds(rows, given, 5, np.random.default_rng(0)),
            groups=rows,
            learns=np.ones(num, bool),
            decided=np.full(num, -1),
            num_classes=args.classes,
            identity="scale",
        )
        started = time.monotonic()
        if args.steps:
            precision = resolve_precision("auto", resolve_device("cpu"))
            learner: Any
            if engine_map:
                learner = ClusterProbeLearner(views, args.classes, precision, scratch, engine_map)
            else:
                learner = ProbeLearner(views, args.classes, precision, scratch)
        else:
            learner = ClosedFormLearner(views, args.classes, engine_map, scratch if engine_map else None)
        fits = StoredFits(labels, learner, 0, ArrayStore(scratch / "fits"), Silent())
        coarse = run_pass(fits, rows, top_k=5, max_rounds=8)
        row: dict[str, Any] = {"coarse_seconds": time.monotonic() - started}
        wrong, outcome = given != right, [coarse.positive]
        row["coarse_f1"] = precision_recall_f1(~coarse.positive, wrong)[2]
        if not args.coarse_only:
            started = time.monotonic()
            fine = run_pass(fits, np.flatnonzero(coarse.positive), top_k=1, max_rounds=8)
            row["fine_seconds"] = time.monotonic() - started
            estimate = estimate_issues(fits, coarse.rounds[0].predictions)
            row["rule_seconds"] = time.monotonic() - started - row["fine_seconds"]
            row["fine_f1"] = precision_recall_f1(~fine.positive, wrong)[2]
            row["auto_f1"] = precision_recall_f1(estimate.flagged, wrong)[2]
            row["rounds"] = len(coarse.rounds) + len(fine.rounds) + len(estimate.rounds)
            outcome += [fine.positive, estimate.issue_prob]
    return row | {"peak_gb": memory.own_mb / 1000, "decisions": digest_of(*outcome)[:12]}


@contextmanager
def engine_of(num_nodes: int, marks: Path, *, kill: bool) -> Iterator[Any]:
    """`Engine.map` of a Ray cluster of so many nodes of one core, for a block; None for 0 nodes.

    `kill`: the last node is killed once 10 marks of tasks lie below `marks`.
    """
    if not num_nodes:
        yield None
        return
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:num_nodes])
    os.environ |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "0" * 32, "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}
    import ray
    from ray.cluster_utils import Cluster

    from cleaner.engine.ray import RayEngine

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    engine = RayEngine(cluster.address, 0)  # joined before there is a node that may be killed
    nodes = [cluster.add_node(num_cpus=1) for _ in range(num_nodes)]
    cluster.wait_for_nodes()
    over = threading.Event()

    def count_marks() -> int:
        try:
            return len(list(marks.glob("fits/unfinished/*/*.arrays")))
        except FileNotFoundError:  # a folder that went while it was listed
            return 0

    def kill_one() -> None:
        while count_marks() < 10:
            if over.wait(0.05):
                return
        cluster.remove_node(nodes[-1], allow_graceful=False)
        print("a node was killed", file=sys.stderr)

    watching = threading.Thread(target=kill_one)
    if kill:
        watching.start()
    try:
        yield engine.map
    finally:
        over.set()
        if kill:
            watching.join()
        ray.shutdown()
        cluster.shutdown()


def synthetic(
    num: int, num_classes: int, dim: int, scratch: Path, *, similar: bool = False
) -> tuple[Any, np.ndarray, np.ndarray]:
    """Embeddings in clusters, in files as those of a stage, right and given labels, 10 % wrong; or see --similar."""
    from cleaner.modeling.columns import new_table
    from cleaner.modeling.embedding_views import Embeddings

    rng = np.random.default_rng(0)
    centres = rng.normal(size=(num_classes, dim)).astype(np.float32)
    right = rng.integers(0, num_classes, num)
    given = np.where(rng.random(num) < 0.1, rng.integers(0, num_classes, num), right)
    if similar:
        centres[1::2] = centres[: num_classes // 2 * 2 : 2] + 0.4 * centres[1::2]
        given = np.where(rng.random(num) < 0.2, np.minimum(right ^ 1, num_classes - 1), right)
    views = [new_table(num, dim, np.float16, scratch, in_file=True) for _ in range(2)]
    for start in range(0, num, 65_536):
        part = slice(start, start + 65_536)
        base = centres[right[part]] + 1.5 * rng.normal(size=(len(right[part]), dim)).astype(np.float32)
        for view in views:
            view[part] = base + 0.3 * rng.normal(size=base.shape).astype(np.float32)
    return Embeddings(*views), right, given


if __name__ == "__main__":
    main()
