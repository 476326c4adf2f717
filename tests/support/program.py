"""The program run by its entry point in the tests' own process, and what its tests share."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import logging
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
from PIL import Image

from cleaner.cli.app import main
from tests.support.places import SCHEMAS


@dataclass(frozen=True)
class Outcome:
    exit_code: int
    out: str
    err: str

    def document(self, schema: str) -> Any:
        """What stdout holds: one JSON document that fits the schema, and nothing else."""
        document = json.loads(self.out)
        rules = json.loads((SCHEMAS / f"{schema}.schema.json").read_text())
        jsonschema.Draft202012Validator.check_schema(rules)
        jsonschema.validate(document, rules)
        return document


class Program:
    """`program("scan", "images")` in a directory of its own, with no CLEANER_* variable but the tests' backbone."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], cwd: Path) -> None:
        self._monkeypatch, self._capsys = monkeypatch, capsys
        monkeypatch.chdir(cwd)
        for name in [n for n in os.environ if n.startswith("CLEANER_") and n != "CLEANER_EMBEDDING_BACKBONE"]:
            monkeypatch.delenv(name)

    def __call__(self, *arguments: object) -> Outcome:
        self._monkeypatch.setattr(sys, "argv", ["cleaner", *map(str, arguments)])
        self._capsys.readouterr()
        with pytest.raises(SystemExit) as end:
            main()
        output = self._capsys.readouterr()
        return Outcome(int(end.value.code or 0), output.out, output.err)


@pytest.fixture
def program(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Iterator[Program]:
    before = logging.getLogger().handlers[:]
    yield Program(monkeypatch, capsys, tmp_path)
    logging.getLogger().handlers[:] = before  # the program's own writes to a stderr that ends with this test


def draw_set(folder: Path, num: int = 3, side: int = 40) -> Path:
    """Two classes of `num` random pictures each, below `folder`."""
    rng = np.random.default_rng(0)
    for label in ("cat", "dog"):
        (folder / label).mkdir(parents=True)
        for i in range(num):
            pixels = rng.integers(0, 256, (side, side, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / label / f"{i}.png")
    return folder


def tree_digest(folder: Path) -> str:
    """A digest of every name, content and time below a folder."""
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        status = path.lstat()
        content = path.read_bytes() if path.is_file() and not path.is_symlink() else b""
        digest.update(
            f"{path.relative_to(folder)} {status.st_mode} {status.st_mtime_ns}".encode("utf-8", "surrogateescape")
            + content
        )
    return digest.hexdigest()


def load_script(path: Path) -> Any:
    """A script outside the package as a module; it may import what lies beside it, as when it is run."""
    if str(path.parent) not in sys.path:
        sys.path.append(str(path.parent))
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return module
