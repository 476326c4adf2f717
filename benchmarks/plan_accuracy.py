"""How near `cleaner plan` comes to what `cleaner run` then takes: one row a set.

    python benchmarks/plan_accuracy.py IMAGES [IMAGES …]

Each folder is planned, then cleaned in a fresh workspace, by the real program. Seconds are those that each stage noted,
and of the whole command; an error of -20 % means that the run took longer than was planned.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import pandas as pd


def main() -> None:
    """Command line entry."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("images", nargs="+", type=Path)
    args = parser.parse_args()
    rows = []
    for images in args.images:
        planned = cleaner("plan", images, "--json")
        with tempfile.TemporaryDirectory() as work:
            started = time.monotonic()
            cleaner("run", images, "-C", work, "--quiet")
            took = time.monotonic() - started
            stages = {
                name: json.loads((Path(work) / name / "stage.json").read_text())["seconds"]
                for name in ("scan", "noise", "labels", "balance")
            }
        plan = planned["seconds"]
        by_stage = plan | {"noise": plan["noise"] + plan["embedding"]}
        rows.append(
            {"images": str(images), "files": planned["num_files"], "planned_s": planned["total_s"], "took_s": took}
            | {"error": f"{planned['total_s'] / took - 1:+.0%}", "trial_s": planned["trial_s"]}
            | {f"{name}_s": f"{by_stage[name]:.0f}/{seconds:.0f}" for name, seconds in stages.items()}
        )
        print(rows[-1], file=sys.stderr, flush=True)
    print(pd.DataFrame(rows).to_string(index=False, float_format="%.1f"))


def cleaner(*arguments: object) -> Any:
    """Run the program; what it printed as JSON, if it did."""
    command = [sys.executable, "-m", "cleaner", *map(str, arguments)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout) if done.stdout.lstrip().startswith("{") else None


if __name__ == "__main__":
    main()
