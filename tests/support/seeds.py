"""Seeds of tests."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pandas as pd


def content_id(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def manifest() -> pd.DataFrame:
    contents = {
        "cat/1.jpg": b"one",
        "cat/1_copy.jpg": b"one",
        "dog/2.png": b"two",
        "dog/3.gif": b"three",
        "bad.jpg": b"",
    }
    return pd.DataFrame(
        {
            "file_name": pd.Series(sorted(contents), dtype=object),
            "image_id": pd.Series([content_id(contents[name]) for name in sorted(contents)], dtype=object),
            "readable": [bool(contents[name]) for name in sorted(contents)],
        }
    )


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path
