"""The tables of a workspace as DataFrames, each read when it is first asked for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from cleaner.dataset.stage_inputs import STAGES
from cleaner.dataset.workspace import MANIFEST, Workspace

if TYPE_CHECKING:
    import pandas as pd

_SUFFIX = ".parquet"


class Frames(Mapping[str, "pd.DataFrame"]):
    """The tables of the complete stages by name: `noise` is a manifest, `noise/rounds` a table beside it.

    A table is read once, and again after its stage has run again. What is handed out is shared: copy it to change it.
    Which columns there are says docs/manifest.md.
    """

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._read: dict[str, tuple[str, pd.DataFrame]] = {}

    def __getitem__(self, name: str) -> pd.DataFrame:
        """The table `name`. Raises KeyError if no complete stage has it, BadInputError if it cannot be read."""
        tables = self._tables()
        if name not in tables:
            raise KeyError(f"no table {name!r}; there are: {', '.join(tables) or 'none, no stage has run'}")
        digest, file = tables[name]
        if name not in self._read or self._read[name][0] != digest:
            self._read[name] = digest, self._load(file)
        return self._read[name][1]

    def __iter__(self) -> Iterator[str]:
        return iter(self._tables())

    def __len__(self) -> int:
        return len(self._tables())

    def __repr__(self) -> str:
        return f"Frames({', '.join(self)})"

    def _tables(self) -> dict[str, tuple[str, PurePosixPath]]:
        """The digest and the file, below the workspace, of each table."""
        found = {}
        for stage in STAGES:
            record = self._workspace.record(stage)
            for output, digest in sorted(record.outputs.items() if record else (), key=lambda o: o[0] != MANIFEST):
                if output.endswith(_SUFFIX):
                    name = stage if output == MANIFEST else f"{stage}/{output.removesuffix(_SUFFIX)}"
                    found[name] = digest, PurePosixPath(stage, output)
        return found

    def _load(self, file: PurePosixPath) -> pd.DataFrame:
        if file.name == MANIFEST:
            return self._workspace.read(file.parts[0])
        import pandas as pd  # takes a quarter of a second

        return pd.read_parquet(self._workspace.root / file)
