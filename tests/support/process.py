"""The program as a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ENVIRONMENT = {k: v for k, v in os.environ.items() if k not in ("FORCE_COLOR", "PY_COLORS")} | {"COLUMNS": "100"}


def cleaner(*arguments: object, cwd: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run the real program, with environment variables besides the usual ones."""
    command = [sys.executable, "-m", "cleaner", *map(str, arguments)]
    environment = ENVIRONMENT | variables
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False, env=environment)
