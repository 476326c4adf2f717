"""The pages: every relative link leads to something, what is generated is up to date, and the site builds."""

from __future__ import annotations

import re
import subprocess
import sys
from collections import Counter
from functools import cache
from pathlib import Path

import pytest

import cleaner
from cleaner.config import Config
from cleaner.dataset.manifest_schema import BY_STAGE, COMMON
from tests.support.places import REPO
from tests.support.program import load_script

PAGES = sorted([*REPO.glob("*.md"), *(REPO / "docs").rglob("*.md"), REPO / "sample_data" / "README.md"])


def without_blocks(page: Path) -> str:
    """A page without its blocks of code."""
    return re.sub(r"^ *```.*?^ *```", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)


def links_of(page: Path) -> list[str]:
    """The relative links of a page."""
    prose = re.sub(r"`[^`\n]*`", "", without_blocks(page))
    links = re.findall(r"\]\(([^)\s]+)[^)]*\)", prose) + re.findall(r"^\[[^]]+\]: +(\S+)", prose, re.M)
    return [link for link in links if not re.match(r"[a-z]+:", link)]


@cache
def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them: equal ones get -1, -2 …"""
    found: set[str] = set()
    seen: Counter[str] = Counter()
    for heading in re.findall(r"^#+ +(.*)$", without_blocks(page), re.M):
        text = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading).lower()
        slug = re.sub(r"[^\w\- ]", "", text).strip().replace(" ", "-")
        found.add(f"{slug}-{seen[slug]}" if seen[slug] else slug)
        seen[slug] += 1
    return found


def why_broken(page: Path, link: str) -> str:
    """What is wrong with a relative link on a page; '' if nothing is."""
    place, _, anchor = link.partition("#")
    target = (page.parent / place).resolve() if place else page
    if not target.exists():
        return f"{link}: no such file"
    if anchor and target.suffix == ".md" and anchor not in anchors(target):
        return f"{link}: no such heading"
    return ""


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(REPO).as_posix())
def test_links(page: Path) -> None:
    assert list(filter(None, (why_broken(page, link) for link in links_of(page)))) == []


def test_a_broken_link_is_found(tmp_path: Path) -> None:
    page, other = tmp_path / "page.md", tmp_path / "other.md"
    other.write_text("# Big `one`: a, b\n\n## Twice\n\n## Twice\n\n```\n# no heading\n```\n")
    page.write_text('# Here\n[a](other.md), [`b`](#here "title")[c](https://x.org)\n```\n[d](no.md)\n```\n`[e](f)`\n')
    assert links_of(page) == ["other.md", "#here"]
    good = ["other.md", "other.md#big-one-a-b", "other.md#twice-1", "#here", "."]
    assert [why_broken(page, link) for link in good] == [""] * len(good)
    bad = ["absent.md", "other.md#no-heading", "other.md#twice-2", "#there"]
    assert all(why_broken(page, link) for link in bad)


def test_the_reference_of_settings_is_up_to_date() -> None:
    generator = load_script(REPO / "docs" / "generate_settings.py")
    page = (REPO / "docs" / "settings.md").read_text(encoding="utf-8")
    assert page == generator.render(), "run: python docs/generate_settings.py"
    names = re.findall(r"^\| `(\w+)` \|", page, re.M)
    assert names == [name for table in Config.nested().values() for name in table.declared()]


def test_the_site_builds(tmp_path: Path) -> None:
    """Strictly: every page is in the navigation, every link leads somewhere, and nothing is fetched by a reader."""
    pytest.importorskip("material", reason="mkdocs-material is not installed: pip install 'cleaner-images[docs]'")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path / "site")]
    done = subprocess.run(command, cwd=REPO, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    pages = {path.relative_to(tmp_path / "site").as_posix() for path in (tmp_path / "site").rglob("*.html")}
    sources = {path.relative_to(REPO / "docs").with_suffix(".html") for path in (REPO / "docs").rglob("*.md")}
    assert pages == {path.as_posix() for path in sources} | {"404.html"}
    for page in pages:
        text = (tmp_path / "site" / page).read_text(encoding="utf-8")
        assert not re.findall(r"<(?:script|img|iframe)[^>]*https?://|<link[^>]*stylesheet[^>]*https?://", text)


def test_the_reference_of_the_manifest_is_complete() -> None:
    """Every column stands there under the stage that writes it, with its type; evidence beyond the contract by name."""
    page = (REPO / "docs" / "manifest.md").read_text(encoding="utf-8")
    table = page.partition("## Columns\n")[2].partition("\n\n`")[0].strip().splitlines()[2:]
    found: dict[str, dict[str, str]] = {}
    stage = ""
    for line in table:
        writer, columns, types, _ = (cell.strip() for cell in line.strip("|").split("|", 3))
        stage = writer or stage
        names, kinds = re.findall(r"`(\w+)`", columns), types.split(", ")
        for i, name in enumerate(names):
            found.setdefault(stage, {})[name] = kinds[min(i, len(kinds) - 1)]
    kind_of = {"string": "str", "float": "float32"}
    for stage, fields in {"all": COMMON, **BY_STAGE}.items():
        types_of = {f.name: kind_of.get(str(f.type), str(f.type)) for f in fields}
        assert found[stage].keys() == types_of.keys()
        assert [name for name, kind in found[stage].items() if kind and kind != types_of[name]] == []


def test_every_public_name_is_in_the_reference() -> None:
    page = (REPO / "docs" / "api.md").read_text(encoding="utf-8")
    guide = (REPO / "docs" / "python-api.md").read_text(encoding="utf-8")
    named = {name: getattr(cleaner, name) for name in dir(cleaner) if not name.startswith("_")}
    public = {name for name, what in named.items() if getattr(what, "__module__", "").startswith("cleaner.")}
    assert {"open_workspace", "Workspace", "NoiseSettings", "CleanerError"} <= public
    assert [name for name in public if not name.endswith("Settings") and not re.search(rf"\b{name}\b", page)] == []
    assert [name for name in public - {"Workspace"} if not re.search(rf"\b{name}\b", guide)] == []
