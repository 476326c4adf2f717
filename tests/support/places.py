"""Where things are in this repository."""

from __future__ import annotations

from pathlib import Path

REPO = Path(__file__).resolve().parents[2]
SAMPLE = REPO / "sample_data"
SCHEMAS = REPO / "docs" / "schemas"
