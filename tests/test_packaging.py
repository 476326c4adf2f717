"""What pyproject.toml says of the package, against what the program and the pages say of it."""

from __future__ import annotations

import re
import tomllib

import cleaner
from cleaner.cli.app import main
from tests.support.places import REPO

PROJECT = tomllib.loads((REPO / "pyproject.toml").read_text(encoding="utf-8"))


def test_the_name_and_what_keeps_its_own() -> None:
    assert PROJECT["project"]["name"] == "cleaner-images"  # `cleaner` is taken on the index
    assert PROJECT["project"]["scripts"] == {"cleaner": f"{main.__module__}:main"}
    version = (REPO / PROJECT["tool"]["hatch"]["version"]["path"]).read_text(encoding="utf-8")
    assert f'\n__version__ = "{cleaner.__version__}"\n' in version


def test_every_hint_names_an_extra_that_exists() -> None:
    extras = set(PROJECT["project"]["optional-dependencies"])
    files = [*REPO.glob("*.md"), REPO / "pyproject.toml"]
    files += [p for f in ("cleaner", "docs", "tests") for p in (REPO / f).rglob("*") if p.suffix in (".py", ".md")]
    text = "\n".join(path.read_text(encoding="utf-8") for path in files)
    assert not re.findall(r"[\"' ]cleaner\[\w+", text)
    named = [name for found in re.findall(r"cleaner-images\[([\w,]+)\]", text) for name in found.split(",")]
    assert {"formats", "ray", "map"} <= set(named) <= extras
