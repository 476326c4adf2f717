"""Draw how time and memory grow, from what the scale benchmarks wrote.

    python benchmarks/plot_growth.py scan.csv table.csv labels.csv --out docs/images/growth.svg

Each CSV (--csv of scan_scale.py, table_scale.py, label_scale.py) has the columns rows, command, seconds, peak_mb, and
core_seconds where other programs are measured; those are drawn, because other work on the machine disturbs them less.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import matplotlib as mpl
import pandas as pd
from matplotlib import pyplot as plt


def main() -> None:
    """Command line entry."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tables", nargs="+", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    frame = pd.concat([pd.read_csv(path) for path in args.tables])
    frame["seconds"] = frame["core_seconds"].fillna(frame["seconds"])
    mpl.rcParams["svg.hashsalt"] = "cleaner"  # equal figures, equal bytes
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.5), layout="constrained")
    for name, rows in frame.groupby("command", sort=False):
        grown = rows.sort_values("rows")
        left.plot(grown["rows"], grown["seconds"], marker="o", label=name)
        if grown["peak_mb"].notna().any():
            right.plot(grown["rows"], grown["peak_mb"] / 1024, marker="o", color=left.lines[-1].get_color())
    for axes, title in ((left, "seconds of one core"), (right, "peak memory, GB")):
        axes.set(xscale="log", yscale="log", xlabel="images", title=title)
        axes.grid(alpha=0.3)
    left.legend(fontsize=8)
    figure.savefig(args.out, metadata={"Date": None})


if __name__ == "__main__":
    main()
