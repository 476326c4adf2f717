"""Writes `report.html` and `report.json` of a workspace."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cleaner import __version__
from cleaner.config import ScanSettings
from cleaner.dataset.store import utc_now, write_atomic, write_json
from cleaner.dataset.thumbnails import Shrinker
from cleaner.dataset.workspace import Workspace
from cleaner.progress import Progress, Silent
from cleaner.report.audit_section import compute_audit, illustrate_audit
from cleaner.report.classes import compute_classes, illustrate_classes
from cleaner.report.data import ReportData, load_report_data, plain
from cleaner.report.duplicates import compute_duplicates, illustrate_duplicates
from cleaner.report.embedding_map import compute_map, illustrate_map
from cleaner.report.funnel import compute_funnel, illustrate_funnel
from cleaner.report.labels import compute_labels, illustrate_labels
from cleaner.report.limits import compute_limits
from cleaner.report.noise import compute_noise, illustrate_noise
from cleaner.report.provenance import compute_provenance, illustrate_provenance
from cleaner.report.render import render_page
from cleaner.report.thumbnails import Thumbnails
from cleaner.report.verification import compute_verification, illustrate_verification
from cleaner.report.wording import number

REPORT_SCHEMA_VERSION = 1


@dataclass(frozen=True)
class ReportResult:
    """What was written."""

    html: Path
    json: Path
    num_bytes: int
    num_pictures: int
    num_gone: int
    """Images that are no longer there, or have changed; each has a placeholder."""
    stale: str


def write_report(workspace: Workspace, progress: Progress | None = None, out: Path | None = None) -> ReportResult:
    """Write the report of a workspace's last complete stage, and of those that led to it.

    `out`: the page; by default report.html in the workspace. Its figures are written beside it, named .json.

    Raises StaleStageError where no stage is complete, BadInputError where the manifest cannot be read.
    """
    progress = progress or Silent()
    html = out or workspace.root / "report.html"
    data = load_report_data(workspace)
    figures = compute_figures(data)
    limits = {name: data.setting("scan", name, getattr(ScanSettings, name)) for name in ("max_pixels", "file_timeout")}
    shrinker = Shrinker(1, max_pixels=limits["max_pixels"], file_timeout_s=limits["file_timeout"])
    with closing(shrinker):
        thumbnails = Thumbnails(data.images_root, shrinker)
        illustrations = illustrate(figures, data, thumbnails, progress, html.parent)
    warnings = []
    if data.stale:
        warnings.append(f"This result is out of date: {data.stale}.")
    if thumbnails.num_gone:
        warnings.append(f"{number(thumbnails.num_gone)} images are gone or have changed since the scan.")
    page = render_page(figures, illustrations, warnings).encode("utf-8", "backslashreplace")
    document = html.with_suffix(".json")
    write_json(document, figures)
    write_atomic(html, page)
    return ReportResult(html, document, len(page), thumbnails.num_shown, thumbnails.num_gone, data.stale)


def compute_figures(data: ReportData) -> dict[str, Any]:
    """Every number of the report: the content of `report.json`."""
    now = utc_now("seconds")
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
        "map": compute_map(data),
        "audit": compute_audit(data),
        "verify": compute_verification(data),
        "provenance": compute_provenance(data),
    }
    figures["limits"] = compute_limits(figures, data)
    optional = [name for name in ("noise", "labels") if figures[name]]
    mapped, verified = ([name] if figures[name] else [] for name in ("map", "verify"))
    figures["sections"] = ["funnel", *optional, "duplicates", "classes", *mapped, "audit", *verified, "provenance"]
    clean: dict[str, Any] = plain(figures)
    return clean


def illustrate(
    figures: dict[str, Any], data: ReportData, thumbnails: Thumbnails, progress: Progress, folder: Path
) -> dict[str, dict[str, Any]]:
    """The charts and galleries of each section; one for which a figure is absent says so or leaves it out.

    `folder`: where the page will lie.
    """
    illustrations = {}
    with progress.task("report", len(figures["sections"])) as task:
        for name in figures["sections"]:  # in the order of the page: the first sections get their pictures first
            illustrations[name] = _illustrate(name, figures[name], data, thumbnails, folder)
            task.advance()
    return illustrations


def _illustrate(name: str, figures: Any, data: ReportData, thumbnails: Thumbnails, folder: Path) -> dict[str, Any]:
    """The charts and galleries of a section; pictures are decoded on the way."""
    if name == "funnel":
        return illustrate_funnel(figures, data, thumbnails)
    if name == "noise":
        return illustrate_noise(figures, data, thumbnails)
    if name == "labels":
        return illustrate_labels(figures, data, thumbnails)
    if name == "duplicates":
        return illustrate_duplicates(figures, data, thumbnails)
    if name == "classes":
        return illustrate_classes(figures, data, thumbnails)
    if name == "map":
        return illustrate_map(data, folder)
    if name == "audit":
        return illustrate_audit(figures, data)
    if name == "verify":
        return illustrate_verification(figures)
    assert name == "provenance"
    return illustrate_provenance(figures)
