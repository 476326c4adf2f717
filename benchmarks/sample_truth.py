"""What the pipeline found on sample_data, against what was planted: `python benchmarks/sample_truth.py WORK TRUTH`.

WORK is a workspace in which all stages ran, TRUTH the truth.csv beside the images. Prints one table.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pandas as pd

from cleaner.dataset.names import to_file_name

# The two low-count classes that sample_data/plan.py draws: one kind of thing, and a bit of everything.
COHERENT_CLASS, JUMBLED_CLASS = "lighthouse", "misc"


def read_both(workspace: Path, truth_file: Path) -> pd.DataFrame:
    """Manifest and truth side by side, by file_name; the truth's columns with `true_` before their names."""
    manifest = pd.read_parquet(workspace / "balance" / "manifest.parquet").set_index("file_name")
    truth = pd.read_csv(truth_file, dtype=str, keep_default_na=False).set_index("file_name").add_prefix("true_")
    # a manifest escapes the names that cannot be printed
    truth.index = truth.index.map(to_file_name)
    absent = sorted(set(truth.index) ^ set(manifest.index))
    if absent:
        raise SystemExit(f"{workspace} and {truth_file} are not about the same files, for example {absent[0]!r}")
    return manifest.join(truth)


def score(workspace: Path, truth_file: Path) -> pd.DataFrame:
    """One row for each kind of fault: planted, found, right (found and planted), precision, recall.

    Where only a part of the planted ones counts there is no number found, and no precision (NaN).
    """
    both = read_both(workspace, truth_file)
    rows = [*_noise_rows(both), *_label_rows(both), *_file_rows(both), *_class_rows(workspace)]
    table = pd.DataFrame(rows, columns=["what", "planted", "found", "right"])
    table["precision"] = table["right"] / table["found"].where(table["found"] > 0)
    table["recall"] = table["right"] / table["planted"].where(table["planted"] > 0)
    return table


def _row(what: str, planted: pd.Series, found: pd.Series) -> tuple[str, int, float, int]:
    return what, int(planted.sum()), int(found.sum()), int((planted & found).sum())


def _share(what: str, planted: pd.Series, found: pd.Series) -> tuple[str, int, float, int]:
    """A row for a part of what was planted: nobody can say which part a wrong find was meant for."""
    return what, int(planted.sum()), np.nan, int((planted & found).sum())


def _noise_rows(both: pd.DataFrame) -> list[tuple[str, int, float, int]]:
    readable = both[both["readable"]]
    planted, found = readable["true_is_noise_image"] == "true", readable["is_noise"]
    own = readable["noise_evidence"] != "seed"
    return [_row("noise images", planted, found), _row("  without the seeds", planted & own, found & own)]


def _label_rows(both: pd.DataFrame) -> list[tuple[str, int, float, int]]:
    seen = both[(both["drop_stage"] != "scan") & (both["true_is_noise_image"] != "true")]
    kind, issue = seen["true_label_error"], seen["label_issue"]
    return [
        _row("wrong labels, dropped", kind != "", seen["drop_reason"].str.startswith("label_issue")),
        _row("  any issue, dropped or not", kind != "", issue != ""),
        _row("  coarse issues", kind != "", issue == "coarse"),
        _row("  fine issues", kind != "", issue == "fine"),
        _share("  those to any class", kind == "any", issue != ""),
        _share("  those to the look-alike", kind == "lookalike", issue != ""),
    ]


def _file_rows(both: pd.DataFrame) -> list[tuple[str, int, float, int]]:
    planted, found = both["true_fault"] != "", both["fault"] != ""
    right = planted & (both["fault"] == both["true_fault"])
    rows: list[tuple[str, int, float, int]] = [
        ("file faults, named rightly", int(planted.sum()), int(found.sum()), int(right.sum()))
    ]
    group = both["duplicate_group"]
    group_of_original = both["true_duplicate_of"].map(group).fillna(-2).astype("int64")
    for kind in ("exact", "near"):
        planted, of_kind = both["true_duplicate_kind"] == kind, both["duplicate_kind"] == kind
        right = planted & of_kind & (group == group_of_original)
        # every member of a group but its first counts as one copy found
        num_found = int((of_kind & group.duplicated()).sum())
        rows.append((f"{kind} duplicates", int(planted.sum()), num_found, int(right.sum())))
    return [*rows, _row("copies under two labels", both["true_conflict"] == "true", both["label_conflict"])]


def _class_rows(workspace: Path) -> list[tuple[str, int, float, int]]:
    classes = pd.read_parquet(workspace / "balance" / "classes.parquet").set_index("label")["action"]
    kept, named = classes[COHERENT_CLASS] == "keep", classes[JUMBLED_CLASS] in ("drop", "review")
    return [
        (f"low-count class kept ({COHERENT_CLASS})", 1, int(kept), int(kept)),
        (f"jumbled class named ({JUMBLED_CLASS}: {classes[JUMBLED_CLASS]})", 1, int(named), int(named)),
    ]


def main() -> None:
    """Command line entry."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("workspace", type=Path)
    parser.add_argument("truth", type=Path)
    options = parser.parse_args()
    table = score(options.workspace, options.truth)
    width = table["what"].str.len().max()
    print(f"{'found against planted':<{width}}  planted  found  right  precision  recall")
    for what, planted, found, right, precision, recall in table.itertuples(index=False):
        shares = "".join(f"{'' if np.isnan(x) else f'{x:.3f}':>{w}}" for x, w in ((precision, 11), (recall, 8)))
        print(f"{what:<{width}}{planted:>9,}{'' if np.isnan(found) else f'{found:,.0f}':>7}{right:>7,}{shares}")


if __name__ == "__main__":
    main()
