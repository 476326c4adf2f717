"""The declarations: what goes together, and that each says what it is."""

from __future__ import annotations

from typing import Any

import pytest

from cleaner import config
from cleaner.config import Config, RunOptions
from cleaner.config_sources import TABLES
from cleaner.errors import UsageError
from cleaner.setting import Setting
from cleaner.settings import Settings

DECLARED = [s for kind in [*TABLES.values(), RunOptions] for s in kind.declared().values()]


@pytest.mark.parametrize("setting", DECLARED, ids=lambda s: s.name)
def test_each_setting_has_a_help_text_and_a_default_that_it_accepts(setting: Setting) -> None:
    assert setting.help.endswith(".") and setting.checked(setting.default) == setting.default


@pytest.mark.parametrize(
    ("kind", "values", "name"),
    [
        (config.NoiseSettings, {"doubtful": 0.95}, "doubtful"),
        (config.LabelsSettings, {"top_k": (1, 5)}, "top_k"),
        (config.LabelsSettings, {"top_k": ()}, "top_k"),
        (config.LabelsSettings, {"pred_probs": "p.npy"}, "pred_ids"),
        (config.LabelsSettings, {"pred_probs": ("a.npy", "b.npy", "c.npy"), "pred_ids": ("1", "2")}, "pred_ids"),
        (config.LabelsSettings, {"pred_probs_blend": True}, "pred_probs_blend"),
        (config.LabelsSettings, {"drop": ("rough",)}, "drop"),
        (config.BalanceSettings, {"tau": float("inf")}, "tau"),
        (config.EmbeddingSettings, {"views": True}, "views"),
        (config.EmbeddingSettings, {"backbone": ""}, "backbone"),
        (config.TrainSettings, {"crops": 3}, "crops"),
        (config.TrainSettings, {"scales": ()}, "scales"),
        (config.TrainSettings, {"scales": (0.5,)}, "scales"),
        (config.TrainSettings, {"test_size": 31}, "test_size"),
        (config.VerifySettings, {"num_seeds": 1}, "num_seeds"),
        (config.RunOptions, {"seed": -1}, "seed"),
        (config.RunOptions, {"train_workers": 2}, "train_workers"),
        (config.RunOptions, {"address": "auto"}, "address"),
    ],
)
def test_values_that_are_refused(kind: type[Settings], values: dict[str, Any], name: str) -> None:
    with pytest.raises(UsageError, match=name) as error:
        kind(**values)
    assert error.value.expected


def test_stages_that_embed_share_the_backbone() -> None:
    with_embedding = {name for name, kind in TABLES.items() if "embedding" in kind.nested()}
    assert with_embedding == {"noise", "labels", "balance", "train", "verify"}
    assert Config().as_record()["labels"]["embedding"] == Config().embedding.as_record()
