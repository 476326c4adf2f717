"""The report: what it says are the manifest's own counts, it stands alone, and other people's names stay text."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jsonschema
import pandas as pd
import pytest

from cleaner.dataset.stage_inputs import STAGES
from cleaner.dataset.workspace import Workspace
from cleaner.errors import BadInputError, StaleStageError
from cleaner.report.build import write_report
from cleaner.report.data import load_report_data
from cleaner.report.galleries import Evidence, make_tile
from cleaner.report.labels import compute_labels
from cleaner.report.render import load_templates
from cleaner.report.thumbnails import Thumbnails
from tests.support.pictures import NO_PICTURES
from tests.support.places import SCHEMAS
from tests.support.program import Program
from tests.support.report_page import Page
from tests.support.review_server import EVIL_LABEL, EVIL_NAME
from tests.support.review_server import make_workspace as make_hostile


def test_the_json_is_of_the_documented_form(made: Path, figures: dict[str, Any], hostile: Path) -> None:
    rules = json.loads((SCHEMAS / "report-file.schema.json").read_text())
    jsonschema.Draft202012Validator.check_schema(rules)
    for document in (figures, json.loads((hostile / "report.json").read_text())):
        jsonschema.validate(document, rules)


def test_noise_labels_and_copies_are_those_of_the_manifest(figures: dict[str, Any], manifest: pd.DataFrame) -> None:
    noise, labels, copies = figures["noise"], figures["labels"], figures["duplicates"]
    assert noise["noise_images"] == manifest["is_noise"].sum()
    band = manifest["keep"] & (manifest["noise_prob"] > 0.5) & ~manifest["is_noise"]
    assert noise["in_doubtful_band"] == band.sum() > 0
    assert sum(noise["histogram"]) == manifest["noise_prob"].notna().sum()
    issues = manifest[manifest["label_issue"] != ""]
    assert labels["issues"] == issues["label_issue"].value_counts().to_dict()
    assert labels["issues_kept"] == issues["keep"].sum()
    assert labels["expected_wrong"] is None and labels["about_wrong"] == "", "this manifest has no probabilities"
    pairs = issues.groupby(["label", "predicted_label"]).size()
    assert labels["num_pairs"] == len(pairs)
    for pair in labels["pairs"]:
        assert pair["images"] == pairs[pair["given"], pair["predicted"]]
    assert labels["pairs"][0]["images"] == pairs.max()
    assert copies["near"]["images"] == (manifest["duplicate_kind"] == "near").sum()
    assert copies["conflicts"]["images"] == manifest["label_conflict"].sum()
    assert copies["faults"] == {"truncated": int((~manifest["readable"]).sum())}


def test_the_page_says_what_the_json_says(figures: dict[str, Any], page: Page) -> None:
    text = " ".join(page.text)
    for number in (
        figures["funnel"]["kept"],
        figures["noise"]["noise_images"],
        figures["audit"]["sampled"],
        sum(figures["labels"]["issues"].values()),
    ):
        assert f"{number:,}" in text
    assert "cleaner labels" in text and "cleaner noise" in text


def assert_self_contained(page: Page) -> None:
    for name, attributes in page.tags:
        assert name not in ("link", "iframe", "object", "embed", "base")
        assert not [k for k in attributes if k.startswith("on") or k == "style"], (name, attributes)
        for key in ("src", "href", "action", "data", "poster", "srcset", "xlink:href"):
            value = attributes.get(key, "#")
            assert value.startswith("#") or (name == "img" and value.startswith("data:image/jpeg;base64,")), value[:80]
    assert not re.search(r"url\(|@import|https?:|//[a-z]", page.raw["style"])
    assert not re.search(r"fetch\(|XMLHttp|import\(|innerHTML|eval\(|https?:", page.raw["script"])
    assert len(page.all("style")) == len(page.all("script")) == 1
    policy = next(m["content"] for m in page.all("meta") if m.get("http-equiv") == "Content-Security-Policy")
    assert "default-src 'none'" in policy and "unsafe" not in policy
    for kind in ("style", "script"):
        digest = base64.b64encode(hashlib.sha256(page.raw[kind].encode()).digest()).decode()
        assert f"{kind}-src 'sha256-{digest}'" in policy


def test_the_page_stands_alone(page: Page) -> None:
    assert_self_contained(page)
    pictures = page.all("img")
    assert len(pictures) > 100
    assert all(p["src"].startswith("data:") and p["alt"] for p in pictures)


def test_hostile_labels_and_names_stay_text(hostile: Path) -> None:
    html = (hostile / "report.html").read_text()
    page = Page(html)
    assert_self_contained(page)
    assert len(page.all("script")) == 1 and not page.all("b >")
    assert EVIL_LABEL in " ".join(page.text)
    assert "<img src=x" not in html and "<script>window" not in html
    assert all(p["src"].startswith("data:") for p in page.all("img"))


def test_a_hostile_file_name_is_text_in_every_place(tmp_path: Path) -> None:
    name = f"cat/{EVIL_NAME}"
    row = SimpleNamespace(file_name=name, image_id="0" * 64, label=EVIL_LABEL)
    tile = make_tile(row, Evidence([EVIL_LABEL], [name]), Thumbnails(tmp_path, NO_PICTURES))
    page = Page(load_templates().get_template("pictures.html.j2").module.tile(tile))  # type: ignore[attr-defined]
    assert [n for n, _ in page.tags] == ["figure", "button", "span", "figcaption", "b", "wbr", "span", "span"]
    shown = name  # a line break does no harm; scan shows it as \x0a
    assert page.all("span")[-1]["title"] == shown
    assert "".join(page.text).count(shown) == 2 and EVIL_LABEL in "".join(page.text)


def test_a_scan_alone_has_a_report(tmp_path: Path) -> None:
    workspace = make_hostile(tmp_path, per_class=6)
    for stage in STAGES[1:]:
        shutil.rmtree(workspace.stage_dir(stage))
    write_report(workspace)
    document = json.loads((workspace.root / "report.json").read_text())
    assert document["stage"] == "scan" and document["noise"] is None
    assert document["sections"] == ["funnel", "duplicates", "classes", "audit", "provenance"]


def test_a_stale_result_says_so(hostile: Path, tmp_path: Path) -> None:
    shutil.copytree(hostile, tmp_path / "work")
    path = tmp_path / "work" / "noise" / "stage.json"
    path.write_text(re.sub(r'"manifest.parquet": "[0-9a-f]+"', f'"manifest.parquet": "{"0" * 64}"', path.read_text()))
    result = write_report(Workspace(tmp_path / "work"))
    assert result.stale and "out of date" in result.html.read_text()


def test_nothing_to_report_on_and_a_damaged_manifest(hostile: Path, tmp_path: Path) -> None:
    with pytest.raises(StaleStageError, match="nothing to report"):
        write_report(Workspace(tmp_path))
    shutil.copytree(hostile, tmp_path / "work")
    (tmp_path / "work" / "balance" / "manifest.parquet").write_bytes(b"no")
    with pytest.raises(BadInputError, match="not a readable manifest"):
        write_report(Workspace(tmp_path / "work"))


def test_the_command_writes_both_files_and_says_where(hostile: Path, tmp_path: Path, program: Program) -> None:
    shutil.copytree(hostile, tmp_path / "work")
    done = program("report", "-C", "work", "--json").document("report")
    assert Path(done["html"]).stat().st_size == done["bytes"]
    assert Path(done["json"]).exists() and done["warnings"] == []
    assert "report.html" in program("report", "-C", "work").out


def test_no_torch_is_loaded(hostile: Path) -> None:
    code = "import sys; from cleaner.report.build import write_report; import cleaner.audit.results; "
    code += "print([m for m in ('torch', 'timm', 'sklearn', 'starlette') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_expected_wrong_labels_are_those_of_the_labels_stage(small_run: Path) -> None:
    labels = compute_labels(load_report_data(Workspace(small_run)))
    assert labels is not None
    counts = Workspace(small_run).record("labels").counts["expected_wrong"]  # type: ignore[union-attr]
    assert labels["expected_wrong"]["all"] == pytest.approx(counts["all"], abs=0.11)
    assert labels["expected_wrong"]["dropped"] == pytest.approx(counts["dropped"], abs=0.11)
    assert labels["expected_wrong"]["for_people"] <= counts["for_people"] + 0.11, "balance may drop some of them"
    assert labels["about_wrong"].endswith("of them wrong")
