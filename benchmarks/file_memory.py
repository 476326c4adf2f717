"""The most memory that a scan's worker takes for one file: the largest allowed picture of each costly kind.

    python benchmarks/file_memory.py

Makes pictures just below what `--max-pixels` (100 megapixels by default) and the room for decoding allow, and looks at
each in a process of its own, as a worker does: `peak_mb` is all that the process held, the interpreter with it. The
last row is one process that looks at all of them in turn, as freed memory may lie in pieces.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from cleaner.config import ScanSettings

_LOOK = """
import re, sys
from pathlib import Path
from threadpoolctl import threadpool_limits
from cleaner import worker_pool
from cleaner.dataset.images import inspect_image
worker_pool.keep_freed_memory(worker_pool._KEPT_BYTES)
with threadpool_limits(1, "blas"):
    faults = {inspect_image(name, int(sys.argv[1])).fault for name in sys.argv[2:]}
# not ru_maxrss, which a child inherits
peak_kb = int(re.search(r"VmHWM:\\s*(\\d+)", Path("/proc/self/status").read_text())[1])
print(peak_kb / 1000, *faults)
"""
_MEGAPIXELS = ScanSettings.max_pixels / 1e6


def main() -> None:
    """Command line entry."""
    rows = []
    with tempfile.TemporaryDirectory() as scratch:
        for name, (megapixels, write) in KINDS.items():
            side = int((megapixels * 1e6) ** 0.5) // 8 * 8
            path = Path(scratch) / name.replace(" ", "_")
            write(path, side)
            rows.append({"kind": name, "side_px": side, "file_mb": path.stat().st_size / 1e6, **look(path)})
        rows.append({"kind": "all in turn", **look(*sorted(Path(scratch).iterdir()))})
    print(pd.DataFrame(rows).to_string(index=False, float_format="%.1f", na_rep=""))


def look(*paths: Path) -> dict[str, object]:
    """Seconds and peak memory of a process that looks at files; all of them have to be sound."""
    before = time.monotonic()
    command = [sys.executable, "-c", _LOOK, str(ScanSettings.max_pixels), *map(str, paths)]
    peak_mb, *faults = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.split()
    assert not faults, f"{[(p.name, p.stat().st_size) for p in paths]}: {faults}"
    return {"peak_mb": float(peak_mb), "seconds": time.monotonic() - before}


def picture(side: int, mode: str = "RGB") -> Image.Image:
    """A smooth picture with some noise."""
    rng = np.random.default_rng(0)
    num = len(Image.new(mode, (1, 1)).getbands())
    small = Image.fromarray(rng.integers(0, 256, (64, 64, 4), dtype=np.uint8)[..., :num].squeeze())
    return small.resize((side, side), Image.Resampling.BILINEAR)


def write_wide_png(path: Path, side: int) -> None:
    """A PNG of 16-bit colours, which Pillow does not write."""
    row = np.linspace(0, 255, side * 6).astype(np.uint8)
    packer = zlib.compressobj(1)
    data = b"".join(packer.compress(b"\0" + np.roll(row, i).tobytes()) for i in range(side))  # 0: no filter
    header = side.to_bytes(4, "big") * 2 + bytes([16, 2, 0, 0, 0])
    chunks = ((b"IHDR", header), (b"IDAT", data + packer.flush()), (b"IEND", b""))
    sealed = (
        len(body).to_bytes(4, "big") + name + body + zlib.crc32(name + body).to_bytes(4, "big") for name, body in chunks
    )
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(sealed))


def write_float_tiff(path: Path, side: int) -> None:
    """A packed TIFF of floats between 0 and 1."""
    grey = np.asarray(picture(side, "L"), dtype=np.float32) / np.float32(255)
    Image.fromarray(grey).save(path, "TIFF", compression="tiff_adobe_deflate")


def saved(kind: str, mode: str = "RGB", **options: object) -> Callable[[Path, int], None]:
    """Writes a picture with Pillow."""
    return lambda path, side: picture(side, mode).save(path, kind, **options)


KINDS: dict[str, tuple[float, Callable[[Path, int], None]]] = {
    "JPEG": (0.999 * _MEGAPIXELS, saved("JPEG", quality=85)),
    "JPEG, progressive": (0.45 * _MEGAPIXELS, saved("JPEG", quality=85, progressive=True)),
    "PNG": (0.9 * _MEGAPIXELS, saved("PNG", compress_level=1)),
    "PNG, alpha": (0.48 * _MEGAPIXELS, saved("PNG", "RGBA", compress_level=1)),
    "PNG, 16-bit colours": (0.36 * _MEGAPIXELS, write_wide_png),
    "PNG, grey": (0.999 * _MEGAPIXELS, saved("PNG", "L", compress_level=1)),
    "TIFF, floats": (0.75 * _MEGAPIXELS, write_float_tiff),
    "WEBP": (0.26 * _MEGAPIXELS, saved("WEBP", quality=60, method=0)),
    "GIF": (0.999 * _MEGAPIXELS, saved("GIF", "L")),
}
"""Megapixels, close to the most that is allowed, and what writes the file."""

if __name__ == "__main__":
    main()
