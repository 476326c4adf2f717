"""`cleaner labels` with a model's predictions named in the settings file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.support.program import Program, draw_set


def test_predictions_named_in_the_settings_file(
    program: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They lie beside the file, wherever the command is typed."""
    images, work, elsewhere = draw_set(tmp_path / "images", num=6), tmp_path / "work", tmp_path / "elsewhere"
    elsewhere.mkdir()
    assert program("scan", images, "-C", work).exit_code == 0
    names = sorted(p.relative_to(images).as_posix() for p in images.rglob("*.png"))
    (work / "ids.txt").write_text("\n".join(names) + "\n")
    np.save(work / "probs.npy", np.full((12, 2), 0.5, np.float32))
    (work / "cleaner.toml").write_text('[labels]\npred_probs = "probs.npy"\npred_ids = "ids.txt"\nfolds = 2\n')
    monkeypatch.chdir(elsewhere)
    done = program("labels", "-C", work, "--json")
    assert done.exit_code == 0, done.err
    document = done.document("stage")
    assert document["settings"]["pred_probs"] == str(work / "probs.npy")
    files = [Path(i["file"]).name for i in document["inputs"] if i["role"] == "pred_probs"]
    assert files == ["probs.npy", "ids.txt"]
    assert program("labels", "-C", work, "--json").document("stage")["was_current"]
