"""`cleaner audit`: the gate, JSON, bad options."""

from __future__ import annotations

from pathlib import Path

import pytest

from cleaner.dataset.workspace import Workspace
from tests.support.audited import answer, make_workspace
from tests.support.program import Program


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return make_workspace(tmp_path / "work")


def test_the_gate_passes_after_the_looks_of_the_plan(workspace: Workspace, program: Program) -> None:
    planned = program("audit", "-C", workspace.root, "--json").document("audit")["goal"]["plan"]
    looks = [p["looks"] for p in planned]
    assert looks == sorted(looks) and looks[0] > 200
    gate = ["audit", "-C", workspace.root, "--fail-over"]
    undone = program(*gate, "0.01")
    assert undone.exit_code == 4 and "not fully reviewed" in undone.err and "cleaner review" in undone.err
    answer(workspace)
    passed = program(*gate, "0.01")
    assert passed.exit_code == 0 and "reached" in passed.out, passed.err
    missed = program(*gate, "0.002")
    assert missed.exit_code == 4 and "--sample" in missed.err
    assert program("audit", "-C", workspace.root).exit_code == 0  # without a gate it only says


def test_json_is_one_document_of_the_known_form(workspace: Workspace, program: Program) -> None:
    first = program("audit", "-C", workspace.root, "--json").document("audit")
    assert (first["did"], first["complete"], first["gate"]) == ("drawn", False, None)
    failed = program("audit", "-C", workspace.root, "--json", "--fail-over", "0.01")
    assert failed.exit_code == 4
    assert failed.document("audit")["gate"] == {"fail_over": 0.01, "passed": False}
    answer(workspace)
    done = program("audit", "-C", workspace.root, "--json", "--fail-over", "0.01").document("audit")
    assert done["gate"]["passed"] and done["kept"]["noise"]["upper"] == pytest.approx(9 / 900)


@pytest.mark.parametrize("arguments", [["--fail-over", "1.5"], ["--stage", "nothing"], ["--sample", "0"]])
def test_bad_options_end_with_2(workspace: Workspace, program: Program, arguments: list[str]) -> None:
    assert program("audit", "-C", workspace.root, *arguments).exit_code == 2


def test_a_stage_that_did_not_run_ends_with_3(workspace: Workspace, program: Program) -> None:
    done = program("audit", "-C", workspace.root, "--stage", "labels")
    assert done.exit_code == 3 and "cleaner labels" in done.err
