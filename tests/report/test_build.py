"""The report: what it says are the manifest's own counts, it stands alone, and other people's names stay text."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jsonschema
import numpy as np
import pandas as pd
import pytest
from jinja2 import UndefinedError

from cleaner.dataset.workspace import StageRecord, Workspace
from cleaner.errors import BadInputError, StaleStageError
from cleaner.report import thumbnails
from cleaner.report.build import write_report
from cleaner.report.galleries import Evidence, make_tile
from cleaner.report.noise_curves import (
    at_threshold,
    compute_average_precision,
    compute_precision_recall,
    compute_reliability,
    seed_weights,
)
from cleaner.report.provenance import make_command
from cleaner.report.render import load_templates
from cleaner.report.thumbnails import Thumbnails
from tests.support.places import REPO, SCHEMAS
from tests.support.program import Program, load_script
from tests.support.review_server import EVIL_LABEL, EVIL_NAME
from tests.support.review_server import make_workspace as make_hostile

NUM_ROWS, NUM_CLASSES = 4000, 60


class Page(HTMLParser):
    """All that could load, run or lead elsewhere, and the text that a reader sees."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.text: list[str] = []
        self.raw: dict[str, str] = {}
        self._inside = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {k: v or "" for k, v in attrs}))
        self._inside = tag

    def handle_endtag(self, tag: str) -> None:
        self._inside = ""

    def handle_data(self, data: str) -> None:
        if self._inside in ("style", "script"):
            self.raw[self._inside] = self.raw.get(self._inside, "") + data
        else:
            self.text.append(data)

    def all(self, name: str) -> list[dict[str, str]]:
        return [attributes for tag, attributes in self.tags if tag == name]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with every kind of finding, its report, and an answered audit."""
    script = load_script(REPO / "benchmarks" / "report_scale.py")
    workspace = script.make_workspace(tmp_path_factory.mktemp("report"), NUM_ROWS, NUM_CLASSES, size=(96, 72))
    script.answer_audit(workspace, np.random.default_rng(0))
    write_report(workspace)
    return Path(workspace.root)


@pytest.fixture(scope="module")
def manifest(made: Path) -> pd.DataFrame:
    return pd.read_parquet(made / "balance" / "manifest.parquet")


@pytest.fixture(scope="module")
def figures(made: Path) -> dict[str, Any]:
    return json.loads((made / "report.json").read_text())  # type: ignore[no-any-return]


@pytest.fixture(scope="module")
def page(made: Path) -> Page:
    return Page((made / "report.html").read_text())


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    workspace = make_hostile(tmp_path_factory.mktemp("hostile"))
    write_report(workspace)
    return workspace.root


# --- the figures ------------------------------------------------------------------------------------------------------


def test_the_json_is_of_the_documented_form(made: Path, figures: dict[str, Any], hostile: Path) -> None:
    rules = json.loads((SCHEMAS / "report-file.schema.json").read_text())
    jsonschema.Draft202012Validator.check_schema(rules)
    for document in (figures, json.loads((hostile / "report.json").read_text())):
        jsonschema.validate(document, rules)


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


def test_noise_labels_and_copies_are_those_of_the_manifest(figures: dict[str, Any], manifest: pd.DataFrame) -> None:
    noise, labels, copies = figures["noise"], figures["labels"], figures["duplicates"]
    assert noise["noise_images"] == manifest["is_noise"].sum()
    band = manifest["keep"] & (manifest["noise_prob"] > 0.5) & ~manifest["is_noise"]
    assert noise["in_doubtful_band"] == band.sum() > 0
    assert sum(noise["histogram"]) == manifest["noise_prob"].notna().sum()
    issues = manifest[manifest["label_issue"] != ""]
    assert labels["issues"] == issues["label_issue"].value_counts().to_dict()
    assert labels["issues_kept"] == issues["keep"].sum()
    pairs = issues.groupby(["label", "predicted_label"]).size()
    assert labels["num_pairs"] == len(pairs)
    for pair in labels["pairs"]:
        assert pair["images"] == pairs[pair["given"], pair["predicted"]]
    assert labels["pairs"][0]["images"] == pairs.max()
    assert copies["near"]["images"] == (manifest["duplicate_kind"] == "near").sum()
    assert copies["conflicts"]["images"] == manifest["label_conflict"].sum()
    assert copies["faults"] == {"truncated": int((~manifest["readable"]).sum())}


def test_the_class_table_is_that_of_the_manifest(figures: dict[str, Any], manifest: pd.DataFrame, page: Page) -> None:
    table = pd.DataFrame(figures["classes"]["table"]).set_index("label")
    pd.testing.assert_series_equal(
        table["before"], manifest["label"].value_counts(), check_names=False, check_dtype=False, check_like=True
    )
    kept = manifest[manifest["keep"]].groupby("clean_label")
    assert table["after"].to_dict() == kept.size().reindex(table.index, fill_value=0).to_dict()
    assert table["sampled"].to_dict() == kept["repeats"].sum().reindex(table.index, fill_value=0).to_dict()
    dropped = table[["noise", "labels", "copies", "other"]].sum(axis=1)
    assert (table["before"] == table["after"] + dropped).all()
    assert {a.get("data-v", "") for a in page.all("td")} >= {str(n) for n in table["noise"]}
    rows = [name for name in page.text if name in table.index]
    assert set(rows) >= set(table.index)


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


# --- one page, alone, safe --------------------------------------------------------------------------------------------


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
    tile = make_tile(row, Evidence([EVIL_LABEL], [name]), Thumbnails(tmp_path, 1))
    page = Page(load_templates().get_template("pictures.html.j2").module.tile(tile))  # type: ignore[attr-defined]
    assert [n for n, _ in page.tags] == ["figure", "button", "span", "figcaption", "b", "wbr", "span", "span"]
    shown = name  # a line break does no harm; scan shows it as \x0a
    assert page.all("span")[-1]["title"] == shown
    assert "".join(page.text).count(shown) == 2 and EVIL_LABEL in "".join(page.text)


def render(source: str, **values: Any) -> str:
    return load_templates().from_string(source).render(values)


@pytest.mark.parametrize(
    "text", ['"><script>alert(1)</script>', "a' onmouseover='x", "\u202egpj.exe", "nul\x00", "\ud800", "&amp;", "<b>"]
)
def test_text_is_escaped_and_what_is_not_seen_is_shown(text: str) -> None:
    made = render('<p title="{{ text }}">{{ text }}</p>', text=text)
    page = Page(made)
    assert [name for name, _ in page.tags] == ["p"]
    assert set(page.all("p")[0]) == {"title"}
    made.encode()  # no lone surrogate is left
    assert not re.search("[\x00\u202e]", made)
    if text.isprintable():
        assert page.all("p")[0]["title"] == "".join(page.text) == text


def test_labels_break_where_words_end() -> None:
    assert render("{{ text|breakable }}", text="a_b/<c>") == "a_<wbr>b/&lt;c&gt;"
    assert render("{{ text|breakable }}", text="\u202e_<c>") == "\\u202e_&lt;c&gt;"


def test_none_is_empty_and_coordinates_are_short() -> None:
    assert render("{{ a }}{{ b }} {{ c }} {{ d }}", a=None, b="<i>", c=1.50, d=3) == "&lt;i&gt; 1.5 3"


def test_a_name_that_a_template_lacks_is_an_error() -> None:
    with pytest.raises(UndefinedError):
        render("{{ figures.nothing }}", figures={})


def test_no_more_pictures_than_fit(hostile: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    shutil.copytree(hostile, tmp_path / "work")
    monkeypatch.setattr(thumbnails, "MAX_PICTURES", 5)
    result = write_report(Workspace(tmp_path / "work"))
    page = Page(result.html.read_text())
    assert result.num_pictures == len(page.all("img")) == 5
    assert "not shown: the page is full" in page.text


def test_images_that_are_gone_or_changed_leave_a_placeholder(tmp_path: Path) -> None:
    workspace = make_hostile(tmp_path, per_class=6)
    for number, path in enumerate(sorted((tmp_path / "images").rglob("*.jpg"))):
        if number % 2:
            path.unlink()
        else:
            path.write_bytes(path.read_bytes() + b"x")
    result = write_report(workspace)
    page = Page(result.html.read_text())
    assert result.num_pictures == 0 and result.num_gone > 5
    assert "image is gone" in page.text and not page.all("img")


# --- workspaces that are not finished, stale or damaged ---------------------------------------------------------------


def test_a_scan_alone_has_a_report(tmp_path: Path) -> None:
    workspace = make_hostile(tmp_path, per_class=6)
    for stage in ("noise", "labels", "balance"):
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


# --- curves and commands ----------------------------------------------------------------------------------------------


def test_average_precision_takes_the_best_precision_to_the_right() -> None:
    prob = np.array([0.9, 0.8, 0.7, 0.6, 0.5])
    truth = np.array([True, False, True, True, False])
    curve = compute_precision_recall(prob, truth, np.ones(5))
    np.testing.assert_allclose(curve[:, 1], [1, 1 / 2, 2 / 3, 3 / 4, 3 / 5])
    np.testing.assert_allclose(curve[:, 2], [1 / 3, 1 / 3, 2 / 3, 1, 1])
    assert compute_average_precision(curve) == pytest.approx((1 + 3 / 4 + 3 / 4) / 3)
    assert at_threshold(prob, truth, np.ones(5), 0.65) == pytest.approx((2 / 3, 2 / 3))
    assert np.isnan(at_threshold(prob, truth, np.ones(5), 0.95)[0])


def test_equal_probabilities_are_one_point() -> None:
    curve = compute_precision_recall(np.array([0.5, 0.5, 0.5]), np.array([True, False, False]), np.ones(3))
    np.testing.assert_allclose(curve, [[0.5, 1 / 3, 1]])


def test_seeds_count_at_the_share_of_noise_in_the_set() -> None:
    truth = np.arange(100) < 50
    weights = seed_weights(truth, 0.1)
    assert weights[truth].sum() / weights.sum() == pytest.approx(0.1)
    prob = np.where(truth, 0.95, 0.05)
    prob[50:60] = 0.95  # a fifth of the normal ones
    precision, recall = at_threshold(prob, truth, weights, 0.9)
    assert (precision, recall) == pytest.approx((0.1 / (0.1 + 0.2 * 0.9), 1.0))
    bins = compute_reliability(prob, truth, weights)
    np.testing.assert_allclose(bins[:, 2], [40, 60])
    np.testing.assert_allclose(bins[:, 0], [0.05, 0.95])
    assert bins[1, 1] == pytest.approx(precision)


@pytest.mark.parametrize(
    ("stage", "settings", "seed", "command", "only_in_file"),
    [
        ("labels", {"folds": 5, "top_k": [5, 1], "drop": None}, 0, "cleaner labels", {}),
        ("labels", {"top_k": [1], "drop": []}, 3, "cleaner labels --top-k 1 --drop none --seed 3", {}),
        (
            "noise",
            {"clean_split": ["val", "te st"], "doubtful": 0.4, "embedding": {"image_size": 64}},
            0,
            "cleaner noise --image-size 64 --clean-split val --clean-split 'te st'",
            {"doubtful": 0.4},
        ),
        (
            "scan",
            {"labels_file": "/a b.csv", "follow_symlinks": True},
            0,
            "cleaner scan '/my images' --labels '/a b.csv' --follow-symlinks",
            {},
        ),
    ],
)
def test_commands_are_those_that_run_it_again(
    stage: str, settings: dict[str, Any], seed: int, command: str, only_in_file: dict[str, Any]
) -> None:
    record = StageRecord(
        stage=stage,
        settings=settings,
        seed=seed,
        images_root="/my images",
        inputs=[],
        outputs={},
        counts={},
        backbone={},
        device="cpu",
        threads=1,
        seconds=0.0,
    )
    assert make_command(record) == (command, only_in_file)
