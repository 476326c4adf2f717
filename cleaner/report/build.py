"""Writes `report.html` and `report.json` of a workspace."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from cleaner import __version__
from cleaner.dataset.store import write_atomic, write_json
from cleaner.dataset.workspace import Workspace
from cleaner.progress import Progress, Silent
from cleaner.report.audit_section import compute_audit, render_audit
from cleaner.report.classes import compute_classes, render_classes
from cleaner.report.data import ReportData, load_report_data, plain
from cleaner.report.duplicates import compute_duplicates, render_duplicates
from cleaner.report.funnel import compute_funnel, render_funnel
from cleaner.report.galleries import PER_ROW, Evidence, gallery, pick_rows
from cleaner.report.labels import compute_labels, render_labels
from cleaner.report.markup import Safe, number
from cleaner.report.noise import compute_noise, render_noise
from cleaner.report.page import render_page
from cleaner.report.provenance import compute_provenance, render_provenance
from cleaner.report.thumbnails import Thumbnails
from cleaner.report.verification import compute_verification, render_verification

REPORT_SCHEMA_VERSION = 1


@dataclass(frozen=True)
class ReportResult:
    """What was written."""

    html: Path
    json: Path
    num_bytes: int
    num_pictures: int
    num_gone: int
    """Images that are no longer there, or have changed: a placeholder stands for each."""
    stale: str


def write_report(workspace: Workspace, progress: Progress | None = None) -> ReportResult:
    """Write the report of a workspace's last complete stage, and of those that led to it.

    Raises StaleStageError where no stage is complete, BadInputError where the manifest cannot be read.
    """
    progress = progress or Silent()
    data = load_report_data(workspace)
    figures = compute_figures(data)
    thumbnails = Thumbnails(data.images_root, int(data.setting("scan", "max_pixels", 100_000_000)))
    sections = _render(figures, data, thumbnails, progress)
    warnings = []
    if data.stale:
        warnings.append(f"This result is out of date: {data.stale}.")
    if thumbnails.num_gone:
        warnings.append(f"{number(thumbnails.num_gone)} images are gone or have changed since the scan.")
    page = render_page(figures, sections, warnings).encode("utf-8", "backslashreplace")
    html, document = workspace.root / "report.html", workspace.root / "report.json"
    write_json(document, figures)
    write_atomic(html, page)
    return ReportResult(html, document, len(page), thumbnails.num_shown, thumbnails.num_gone, data.stale)


def compute_figures(data: ReportData) -> dict[str, Any]:
    """Everything that the report says in numbers: the content of `report.json`."""
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    figures: dict[str, Any] = {
        "schema_version": REPORT_SCHEMA_VERSION,
        "cleaner_version": __version__,
        "created_utc": now,
        "stage": data.stage,
        "finished_utc": data.records[data.stage].created_utc,
        "manifest_sha256": data.records[data.stage].outputs.get("manifest.parquet", ""),
        "funnel": compute_funnel(data),
        "noise": compute_noise(data),
        "labels": compute_labels(data),
        "duplicates": compute_duplicates(data),
        "classes": compute_classes(data),
        "audit": compute_audit(data),
        "verify": compute_verification(data),
        "provenance": compute_provenance(data),
    }
    optional = [name for name in ("noise", "labels") if figures[name]]
    verified = ["verify"] if figures["verify"] else []
    figures["sections"] = ["funnel", *optional, "duplicates", "classes", "audit", *verified, "provenance"]
    clean: dict[str, Any] = plain(figures)
    return clean


def _render(figures: dict[str, Any], data: ReportData, thumbnails: Thumbnails, progress: Progress) -> list[Safe]:
    """The sections, in their order; pictures are decoded on the way."""
    makers: dict[str, Callable[[], Safe]] = {
        "funnel": lambda: render_funnel(figures["funnel"], _kept_sample(data, thumbnails)),
        "noise": lambda: render_noise(figures["noise"], data, thumbnails),
        "labels": lambda: render_labels(figures["labels"], data, thumbnails),
        "duplicates": lambda: render_duplicates(figures["duplicates"], data, thumbnails),
        "classes": lambda: render_classes(figures["classes"], data, thumbnails),
        "audit": lambda: render_audit(data),
        "verify": lambda: render_verification(figures["verify"]),
        "provenance": lambda: render_provenance(figures["provenance"]),
    }
    sections = []
    with progress.task("report", len(figures["sections"])) as task:
        for name in figures["sections"]:
            sections.append(makers[name]())
            task.advance()
    return sections


def _kept_sample(data: ReportData, thumbnails: Thumbnails) -> Safe | None:
    """Some of what stays, at random: the first thing to look at."""
    kept: pd.DataFrame = data.rows[data.rows["keep"]]
    groups = pick_rows(kept, None, 2 * PER_ROW)
    return gallery("Some of what stays, at random", None, groups, _plain, thumbnails)


def _plain(row: Any) -> Evidence:
    return Evidence(row.clean_label, [])
