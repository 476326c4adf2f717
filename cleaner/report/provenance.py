"""Where the result comes from: commands, settings, versions, and the chain of digests."""

from __future__ import annotations

import dataclasses
import shlex
from typing import Any

from cleaner.config import BalanceSettings, EmbeddingSettings, LabelsSettings, NoiseSettings, ScanSettings
from cleaner.dataset.stage_inputs import STAGE_INPUTS
from cleaner.dataset.workspace import StageRecord
from cleaner.report.data import ReportData
from cleaner.report.wording import words

_DEFAULTS: dict[str, Any] = {
    "scan": ScanSettings, "noise": NoiseSettings, "labels": LabelsSettings, "balance": BalanceSettings,
}  # fmt: skip
_OPTION_NAMES = {"labels_file": "labels", "clean_split": "clean-split"}
_ONLY_IN_FILE = ("doubtful",)
"""Settings that have no option; they stand in cleaner.toml."""
_REPEATED = ("clean_split",)


def compute_provenance(data: ReportData) -> dict[str, Any]:
    """The command, settings and record of each stage, people's decisions, and whether anything is stale."""
    events = data.events
    decisions = events[events["verdict"] != ""]
    return {
        "images_root": str(data.images_root),
        "stale": data.stale,
        "stages": [_stage(record, data) for record in data.records.values()],
        "decisions": {
            "events": len(events),
            "in_force": {str(k): int(v) for k, v in data.verdicts["verdict"].value_counts().items()},
            "undecided": int(data.undecided["key"].nunique()),
            "annotators": sorted({str(a) for a in decisions["annotator"]}),
            "by_queue": {str(k) or "(none)": int(v) for k, v in decisions["queue"].value_counts().items()},
        },
    }


def _stage(record: StageRecord, data: ReportData) -> dict[str, Any]:
    command, only_in_file = make_command(record)
    document = dataclasses.asdict(record)
    return {"command": command, "only_in_cleaner_toml": only_in_file} | document


def make_command(record: StageRecord) -> tuple[str, dict[str, Any]]:
    """The command that runs a stage as it ran, and the settings that only a settings file can give."""
    parts, only_in_file = ["cleaner", record.stage], {}
    if record.stage == "scan":
        parts.append(record.images_root)
    default = _DEFAULTS[record.stage]()
    known = dataclasses.asdict(default)
    values = dict(record.settings)
    for name, value in (values.pop("embedding", None) or {}).items():
        if value != dataclasses.asdict(EmbeddingSettings()).get(name):
            parts += _option(name, value)
    for name, value in values.items():
        before = list(known[name]) if isinstance(known.get(name), tuple) else known.get(name)
        if value == before and name in known:
            continue
        if name in _ONLY_IN_FILE:
            only_in_file[name] = value
        else:
            parts += _option(name, value)
    parent = next((i.file for i in record.inputs if i.role == "parent"), "")
    if parent and parent not in [f"{s}/manifest.parquet" for s in STAGE_INPUTS[record.stage].parents]:
        parts += ["--from", parent]
    if record.seed:
        parts += ["--seed", str(record.seed)]
    return shlex.join(parts), only_in_file


def _option(name: str, value: Any) -> list[str]:
    option = "--" + _OPTION_NAMES.get(name, name).replace("_", "-")
    if value is True:
        return [option]
    if value in (None, False):
        return []
    if isinstance(value, list):
        if name in _REPEATED:
            return [part for item in value for part in (option, str(item))]
        return [option, ",".join(map(str, value)) or "none"]
    return [option, str(value)]


def illustrate_provenance(figures: dict[str, Any]) -> dict[str, Any]:
    """The settings of each stage as (name, value) in words, its seed last."""
    return {
        "settings": [
            [(words(name), _shown(value)) for name, value in _flat(stage["settings"])] + [("seed", str(stage["seed"]))]
            for stage in figures["stages"]
        ]
    }


def _flat(settings: dict[str, Any]) -> list[tuple[str, Any]]:
    flat: list[tuple[str, Any]] = []
    for key, value in settings.items():
        flat += list(value.items()) if isinstance(value, dict) else [(key, value)]
    return flat


def _shown(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    return f"{value:.6g}" if isinstance(value, float) else "–" if value in (None, "") else str(value)
