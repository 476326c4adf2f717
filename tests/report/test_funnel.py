"""The funnel of a report."""

from __future__ import annotations

from typing import Any

import pandas as pd

from tests.support.report_page import NUM_ROWS


def test_the_funnel_is_that_of_the_manifest(figures: dict[str, Any], manifest: pd.DataFrame) -> None:
    funnel = figures["funnel"]
    assert (funnel["found"], funnel["kept"]) == (NUM_ROWS, int(manifest["keep"].sum()))
    counted = {(s["stage"], r): n for s in funnel["stages"] for r, n in s["dropped"].items()}
    dropped = manifest[~manifest["keep"]]
    assert counted == dropped.groupby(["drop_stage", "drop_reason"]).size().to_dict()
    assert len(counted) == 6
    left = NUM_ROWS
    for stage in funnel["stages"]:
        assert stage["rows_in"] == left
        left -= sum(stage["dropped"].values())
        assert stage["kept"] == left
    assert left == funnel["kept"]
