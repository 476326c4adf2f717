"""Flooding, distillation and the floor of the learning rate (recipe.md section 4) on real photographs: one table.

    python benchmarks/recipe_rows.py DATA [--sets grocery objects] [--seeds 0 1 2] [--only NAME …] [--work DIR]
        [--backbone NAME] [--image-size 64] [--epochs 8] [--per-class 16]

DATA is the folder with lay_out.py and the packs (../shared/data). Small, for two cores: 16 images a class, 20 % of the
labels wrong (symmetric); accuracy is on the clean test images. Every row differs from the first, `base`, in one thing;
training and table are those of training.py. The teachers of "probes distilled" are what `cleaner labels` leaves: the
five fold probes of a cross-training on the same wrong labels. A run that is in WORK/rows.jsonl is not made again.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import pandas as pd
from training import VARIANTS, lay_out, measure, open_bench, tabulate

ROWS = ["base", "flooding 0.6", "flooding 1.0", "probes distilled", "floor 0", "floor 0.1", "floor 0.3"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--sets", nargs="+", default=["grocery", "objects"], choices=["grocery", "objects", "trash"])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--only", nargs="+", choices=list(VARIANTS), default=ROWS)
    parser.add_argument("--work", type=Path, default=Path("/tmp/cleaner-recipe-rows"))
    parser.add_argument("--backbone", default="embedded-small")
    parser.add_argument("--image-size", type=int, default=64)
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--per-class", type=int, default=16)
    parser.add_argument("--device", default="auto")
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    file = args.work / "rows.jsonl"
    key = [args.backbone, args.image_size, args.epochs, args.per_class]
    done = [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
    done = [row for row in done if row["key"] == key]
    for seed in args.seeds:
        for name in args.sets:
            made = {row["name"] for row in done if (row["set"], row["seed"]) == (name, seed)}
            missing = [variant for variant in dict.fromkeys(["base", *args.only]) if variant not in made]
            if not missing:
                continue
            options = ["--flip", "0.2", "--flip-kind", "symmetric", "--per-class", str(args.per_class)]
            paths = lay_out(
                args.data, f"realphotos:{name}", options, args.work / f"{name}-{args.per_class}-{seed}", seed
            )
            bench = open_bench(args, paths, seed)
            for variant in missing:
                row = {"key": key, "set": name, "name": variant, "seed": seed} | measure(bench, VARIANTS[variant])
                done.append(row)
                with file.open("a") as out:
                    out.write(json.dumps(row) + "\n")
                figures = f"{row['accuracy']:.3f}  loss {row['last_loss']:.2f}  {row['seconds']:.0f} s"
                print(f"{name} {variant:<14} seed {seed}  {figures}", file=sys.stderr, flush=True)
    for name in args.sets:
        print(f"\n{name}\n{tabulate(pd.DataFrame([row for row in done if row['set'] == name]), args.seeds)}")


if __name__ == "__main__":
    main()
