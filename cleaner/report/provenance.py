"""Where the result comes from: commands, settings, versions, and the chain of digests."""

from __future__ import annotations

import dataclasses
import shlex
from typing import Any

from cleaner.config_sources import TABLES
from cleaner.dataset.stage_inputs import STAGE_INPUTS
from cleaner.dataset.staleness import flat_settings
from cleaner.dataset.workspace import StageRecord
from cleaner.report.data import ReportData
from cleaner.report.wording import words


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
    parts: list[str] = ["cleaner", record.stage]
    if record.stage == "scan":
        parts.append(record.images_root)
    only_in_file = {}
    values, defaults = flat_settings(record.settings), flat_settings(TABLES[record.stage]().as_record())
    for name, setting in sorted(TABLES[record.stage].flat().items(), key=lambda item: "." not in item[0]):
        value = values.get(name)
        if value != defaults[name] and setting.option:
            parts += setting.as_options(value)
        elif value != defaults[name]:
            only_in_file[name] = value
    parent = next((i.file for i in record.inputs if i.role == "parent"), "")
    if parent and parent not in [f"{s}/manifest.parquet" for s in STAGE_INPUTS[record.stage].parents]:
        parts += ["--from", parent]
    if record.seed:
        parts += ["--seed", str(record.seed)]
    return shlex.join(parts), only_in_file


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
