"""Damaged image files of every format that Pillow writes here, and 40 bombs: each has its row, and every command ends.

Files are made in pieces; `scan`, `noise` and `report` run over each with one worker. A file is accounted for if the
manifest has its name with the SHA-256 of its bytes, and it is readable or has a fault. Peak memory is the most that any
worker process held (VmHWM; Linux).

    python benchmarks/holds/mutated_files.py [--files 10000] [--piece 1000] [--seed 0]
"""

from __future__ import annotations

import argparse
import hashlib
import random
import struct
import subprocess
import sys
import tempfile
import threading
import time
import zlib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from cleaner.dataset.pixels import EXTRA_FORMATS, can_decode
from tests.support.odd_files import png16, png_chunk, png_with_size, tiff, tiff_of, webp_with_size
from tests.support.pictures import encoded, picture

COMMANDS: dict[str, tuple[str, ...]] = {
    "scan": ("scan", "{images}", "--workers", "1", "--file-timeout", "{timeout}"),
    "noise": ("noise", "--backbone", "embedded-small", "--image-size", "32", "--workers", "1"),
    "report": ("report",),
}
_EXTREMES = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)

# --- damaged files ----------------------------------------------------------------------------------------------------


def sound_files() -> dict[str, bytes]:
    """Files by name, `FORMAT/what.suffix`: each mode and option that takes another path through a decoder."""
    colour, grey = picture(60, 44, seed=1), picture(60, 44, seed=2).convert("L")
    clear = colour.copy()
    clear.putalpha(grey)
    frames: dict[str, Any] = {"save_all": True, "append_images": [picture(60, 44, seed=i) for i in (3, 4)]}
    made: dict[str, bytes] = {
        "JPEG/plain.jpg": encoded(colour, "JPEG"),
        "JPEG/progressive.jpg": encoded(colour, "JPEG", progressive=True),
        "JPEG/grey.jpg": encoded(grey, "JPEG"),
        "JPEG/cmyk.jpg": encoded(colour.convert("CMYK"), "JPEG"),
        "JPEG/restarts.jpg": encoded(colour, "JPEG", restart_marker_rows=1),
        "PNG/colour.png": encoded(colour, "PNG"),
        "PNG/clear.png": encoded(clear, "PNG"),
        "PNG/palette.png": encoded(colour.quantize(16), "PNG"),
        "PNG/wide.png": png16(np.asarray(colour).astype(np.uint16) * 257),
        "PNG/film.png": encoded(colour, "PNG", **frames),
        "GIF/still.gif": encoded(colour, "GIF"),
        "GIF/film.gif": encoded(colour, "GIF", **frames),
        "BMP/colour.bmp": encoded(colour, "BMP"),
        "BMP/palette.bmp": encoded(colour.quantize(16), "BMP"),
        "TIFF/raw.tif": encoded(colour, "TIFF"),
        "TIFF/lzw.tif": encoded(colour, "TIFF", compression="tiff_lzw"),
        "TIFF/jpeg.tif": encoded(colour, "TIFF", compression="jpeg"),
        "TIFF/packed.tif": encoded(clear, "TIFF", compression="tiff_adobe_deflate"),
        "TIFF/fax.tif": encoded(grey.convert("1"), "TIFF", compression="group4"),
        "TIFF/float.tif": tiff(np.asarray(grey).astype(np.float32)[..., None], 1, packed=True),
        "TIFF/pages.tif": encoded(colour, "TIFF", **frames),
        "WEBP/lossy.webp": encoded(colour, "WEBP"),
        "WEBP/lossless.webp": encoded(clear, "WEBP", lossless=True),
        "WEBP/film.webp": encoded(colour, "WEBP", **frames),
    }
    for kind in EXTRA_FORMATS:
        if can_decode(kind):
            made[f"{kind}/plain.{kind.lower()}"] = encoded(colour, kind)
    Image.init()
    tried = {name.partition("/")[0] for name in made} | set(EXTRA_FORMATS) | {"PDF", "MPO"}
    made |= {f"{name.partition('/')[0]}/again {name.partition('/')[2]}": data for name, data in made.items()}
    for kind in sorted(set(Image.SAVE) & set(Image.OPEN) - tried):  # those that are unsupported_format, half as often
        for image in (colour, grey, grey.convert("1"), grey.convert("F")):
            try:
                made[f"{kind}/plain.{kind.lower()}"] = encoded(image, kind)
            except Exception:  # a mode that this format does not have
                continue
            break
    return made


def mutate(data: bytes, other: bytes, rng: random.Random) -> bytes:
    """`data` damaged in one of many ways; `other` is a file to splice with."""
    how = rng.choice(MUTATIONS)
    changed = how(bytearray(data), other, rng)
    if rng.random() < 0.2:
        changed = rng.choice(MUTATIONS)(bytearray(changed), other, rng)
    if changed[:4] == b"\x89PNG" and rng.random() < 0.7:
        changed = with_right_sums(bytes(changed))  # else most damage ends at the first checksum
    return bytes(changed)


def flip_bits(data: bytearray, _: bytes, rng: random.Random) -> bytearray:
    for _ in range(rng.choice((1, 1, 2, 8, 64))):
        if data:
            data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    return data


def flip_header_bytes(data: bytearray, _: bytes, rng: random.Random) -> bytearray:
    for _ in range(rng.randint(1, 4)):
        if data:
            data[rng.randrange(min(len(data), 160))] = rng.randrange(256)
    return data


def lie_in_header(data: bytearray, _: bytes, rng: random.Random) -> bytearray:
    """An extreme number in a field of 1, 2 or 4 bytes, in either order of bytes."""
    length = rng.choice((1, 2, 4))
    at = rng.randrange(max(1, min(len(data), 200) - length))
    value = rng.choice(_EXTREMES) & (1 << 8 * length) - 1
    data[at : at + length] = value.to_bytes(length, rng.choice(("little", "big")))
    return data


def cut(data: bytearray, _: bytes, rng: random.Random) -> bytearray:
    return data[: rng.randrange(len(data) + 1)]


def cut_and_close(data: bytearray, _: bytes, rng: random.Random) -> bytearray:
    """Cut, with the file's own last bytes behind the cut."""
    return data[: rng.randrange(len(data) + 1)] + data[-12:]


def overwrite(data: bytearray, _: bytes, rng: random.Random) -> bytearray:
    at, length = rng.randrange(len(data) + 1), rng.choice((4, 16, 64, 512))
    data[at : at + length] = rng.choice((bytes(length), b"\xff" * length, rng.randbytes(length)))
    return data


def insert(data: bytearray, _: bytes, rng: random.Random) -> bytearray:
    at = rng.randrange(len(data) + 1)
    data[at:at] = rng.randbytes(rng.choice((1, 4, 100)))
    return data


def remove(data: bytearray, _: bytes, rng: random.Random) -> bytearray:
    at = rng.randrange(len(data) + 1)
    del data[at : at + rng.choice((1, 4, 100))]
    return data


def repeat(data: bytearray, _: bytes, rng: random.Random) -> bytearray:
    """A piece of the file, many times."""
    at = rng.randrange(len(data) + 1)
    piece = bytes(data[at : at + rng.choice((8, 64, 400))])
    data[at:at] = piece * rng.choice((1, 3, 50))
    return data


def splice(data: bytearray, other: bytes, rng: random.Random) -> bytearray:
    return data[: rng.randrange(len(data) + 1)] + other[rng.randrange(len(other)) :]


Mutation = Callable[[bytearray, bytes, random.Random], bytearray]
MUTATIONS: tuple[Mutation, ...] = (
    flip_bits,
    flip_bits,
    flip_header_bytes,
    lie_in_header,
    lie_in_header,
    cut,
    cut_and_close,
    overwrite,
    insert,
    remove,
    repeat,
    splice,
)


def with_right_sums(data: bytes) -> bytes:
    """A PNG whose chunks have the checksums of what they hold now, as far as its chunks can be followed."""
    out, at = bytearray(data[:8]), 8
    while at + 12 <= len(data):
        end = at + 8 + struct.unpack_from(">I", data, at)[0]
        if end + 4 > len(data):
            break
        out += data[at:end] + struct.pack(">I", zlib.crc32(data[at + 4 : end]))
        at = end + 4
    return bytes(out + data[at:])


def write_mutated(folder: Path, num: int, rng: random.Random, samples: dict[str, bytes]) -> None:
    """`num` damaged files below `folder`, one class a format."""
    names, all_bytes = list(samples), list(samples.values())
    for i in range(num):
        name = Path(names[i % len(names)])
        path = folder / name.parent / f"{i:05d} {name.name}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(mutate(samples[names[i % len(names)]], rng.choice(all_bytes), rng))


# --- bombs ------------------------------------------------------------------------------------------------------------


def packed_png(width: int, height: int, bits: int, colour: int, samples: int) -> bytes:
    """A sound PNG of zeros: a thousandth of its pixels' size."""
    row = 1 + (width * samples * bits + 7) // 8
    pack = zlib.compressobj(9)
    body = b"".join(pack.compress(bytes(row * min(256, height - top))) for top in range(0, height, 256)) + pack.flush()
    header = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    palette = png_chunk(b"PLTE", bytes(768)) if colour == 3 else b""
    chunks = png_chunk(b"IHDR", header) + palette + png_chunk(b"IDAT", body) + png_chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks


def packed_tiff(width: int, height: int, bits: int, kind: int, samples: int, rows: int = 0) -> bytes:
    """A deflated TIFF of zeros in one strip, or one that promises strips of `rows`."""
    data = zlib.compress(bytes(width * height * samples * bits // 8), 9)
    tags: list[tuple[int, int, tuple[int, ...]]] = [
        (256, 4, (width,)),
        (257, 4, (height,)),
        (258, 3, (bits,) * samples),
        (259, 3, (8,)),
        (262, 3, (2 if samples > 1 else 1,)),
        (273, 4, (0,)),
        (277, 3, (samples,)),
        (278, 4, (rows or height,)),
        (279, 4, (len(data),)),
        (339, 3, (kind,) * samples),
    ]
    return tiff_of(tags, data)


def with_sides(data: bytes, at: int, width: bytes, height: bytes) -> bytes:
    """`data` with other sides written at an offset, width first."""
    return data[:at] + width + height + data[at + len(width) + len(height) :]


def endless_jpeg(scans: int) -> bytes:
    """A progressive JPEG whose last scan comes again and again; libjpeg goes over the whole picture for each."""
    whole = encoded(picture(1600, 1200), "JPEG", progressive=True, quality=10)
    start = whole.rfind(b"\xff\xda")
    return whole[:-2] + whole[start:-2] * scans + whole[-2:]


def with_chunks(*chunks: bytes) -> bytes:
    whole = encoded(picture(), "PNG")
    return whole[:33] + b"".join(chunks) + whole[33:]


def bombs() -> dict[str, bytes]:
    """Small files that ask for much, by name."""
    u16, u32 = (lambda n: struct.pack("<H", n)), (lambda n: struct.pack("<I", n))
    jpeg, gif, bmp = (encoded(picture(), kind) for kind in ("JPEG", "GIF", "BMP"))
    frame = jpeg.index(b"\xff\xc0") + 5
    plain = Image.new("RGB", (6000, 6000), (200, 30, 30))
    tiny = [Image.new("L", (2, 2), 255 * (i % 2)) for i in range(3000)]
    film: dict[str, Any] = {"save_all": True, "append_images": tiny[1:]}
    canvas = {"save_all": True, "append_images": [Image.new("RGB", (3000, 3000), (i, 0, 0)) for i in range(1, 30)]}
    long_text = zlib.compress(bytes(200 << 20), 9)
    loop = bytearray(tiff(np.zeros((8, 8, 1), np.uint8), 1))
    loop[8 + 2 + 12 * 10 : 8 + 2 + 12 * 10 + 4] = u32(8)  # the next page is this one
    made = {
        "png side 2^31-1.png": png_with_size(2**31 - 1, 2**31 - 1),
        "png side 2^31.png": png_with_size(2**31, 1),
        "png side 2^32-1.png": png_with_size(1, 2**32 - 1),
        "png side 0.png": png_with_size(0, 5),
        "png 65535 squared.png": png_with_size(65535, 65535, 16, 6),
        "bmp side 2^31-1.bmp": with_sides(bmp, 18, u32(2**31 - 1), u32(2**31 - 1)),
        "bmp side -2^31.bmp": with_sides(bmp, 18, u32(100), u32(2**31)),
        "bmp 60000 squared.bmp": with_sides(bmp, 18, u32(60000), u32(60000)),
        "tiff side 2^32-1.tif": tiff_of([(256, 4, (2**32 - 1,)), (257, 4, (2**32 - 1,)), (273, 4, (0,))], bytes(9)),
        "tiff of itself.tif": bytes(loop),
        "gif 65535 squared.gif": with_sides(gif, 6, u16(65535), u16(65535)),
        "jpeg 65535 squared.jpg": with_sides(jpeg, frame, b"\xff\xff", b"\xff\xff"),
        "webp of 34 bytes.webp": webp_with_size(16383, 16383),
        "webp 9000 squared.webp": webp_with_size(9000, 9000),
        "jpeg of empty scans.jpg": endless_jpeg(30000),
        "jpeg 100 megapixels.jpg": encoded(Image.new("L", (10000, 10000)), "JPEG"),
        "jpeg 64 megapixels progressive.jpg": encoded(Image.new("RGB", (8000, 8000)), "JPEG", progressive=True),
        "jpeg 49 megapixels cmyk.jpg": encoded(Image.new("CMYK", (7000, 7000)), "JPEG", progressive=True),
        "png 100 megapixels.png": packed_png(10000, 10000, 8, 2, 3),
        "png 100 megapixels clear.png": packed_png(10000, 10000, 8, 6, 4),
        "png 64 megapixels wide.png": packed_png(8000, 8000, 16, 2, 3),
        "png 100 megapixels palette.png": packed_png(10000, 10000, 8, 3, 1),
        "png 100 megapixels bits.png": packed_png(10000, 10000, 1, 0, 1),
        "png thread.png": packed_png(100_000_000, 1, 8, 0, 1),
        "png 200 megapixels.png": packed_png(20000, 10000, 8, 0, 1),
        "tiff 25 megapixels float.tif": packed_tiff(5000, 5000, 32, 3, 1),
        "tiff 100 megapixels float.tif": packed_tiff(10000, 10000, 32, 3, 1),
        "tiff 49 megapixels wide.tif": packed_tiff(7000, 7000, 16, 1, 3),
        "tiff 64 megapixels.tif": packed_tiff(8000, 8000, 8, 1, 3),
        "tiff of strips that lie.tif": packed_tiff(8000, 8000, 8, 1, 3, rows=1),
        "png with 200 MB of text.png": with_chunks(png_chunk(b"zTXt", b"Log\0\0" + long_text)),
        "png with 200 MB of profile.png": with_chunks(png_chunk(b"iCCP", b"p\0\0" + long_text)),
        "png of 200,000 chunks.png": with_chunks(png_chunk(b"prIv", b"") * 200_000),
        "gif of 3,000 frames.gif": encoded(tiny[0], "GIF", **film),
        "png of 3,000 frames.png": encoded(tiny[0], "PNG", **film),
        "tiff of 3,000 pages.tif": encoded(tiny[0], "TIFF", **film),
        "webp of 30 large frames.webp": encoded(Image.new("RGB", (3000, 3000)), "WEBP", **canvas),
        "ppm of 10^18 pixels.ppm": b"P6 1000000000 1000000000 255\n" + bytes(100),
        "svg of a billion laughs.svg": b"<svg>" + b"<g>" * 500_000,
    }
    for kind in EXTRA_FORMATS:
        if can_decode(kind):
            made[f"{kind.lower()} 36 megapixels.{kind.lower()}"] = encoded(plain, kind)
    return made


# --- runs that are watched --------------------------------------------------------------------------------------------


@dataclass
class Watched:
    """How a command ended, and the most memory that any of its workers held."""

    code: int
    stderr: str
    worker_mb: float
    seconds: float


def run_watched(arguments: list[str]) -> Watched:
    """Run `cleaner` with these arguments, and look at its workers' memory a hundred times a second."""
    started = time.monotonic()
    with tempfile.TemporaryFile() as stderr:
        process = subprocess.Popen(
            [sys.executable, "-m", "cleaner", *arguments], stdout=subprocess.DEVNULL, stderr=stderr
        )
        most, ended = [0.0], threading.Event()
        watcher = threading.Thread(target=_watch, args=(process.pid, most, ended))
        watcher.start()
        code = process.wait()
        ended.set()
        watcher.join()
        stderr.seek(0)
        return Watched(code, stderr.read().decode(errors="replace"), most[0], time.monotonic() - started)


def _watch(pid: int, most: list[float], ended: threading.Event) -> None:
    while not ended.wait(0.01):
        most[0] = max(most[0], *(_peak_mb(child) for child in _descendants(pid)), 0.0)


def _descendants(pid: int) -> list[int]:
    found: list[int] = []
    try:
        for path in Path(f"/proc/{pid}/task").glob("*/children"):
            for child in map(int, path.read_text().split()):
                found += [child, *_descendants(child)]
    except OSError:  # it has ended
        pass
    return found


def _peak_mb(pid: int) -> float:
    try:
        status = Path(f"/proc/{pid}/status").read_text()
        if "multiprocessing" not in Path(f"/proc/{pid}/cmdline").read_text():
            return 0.0  # forked from the main process, and about to become another program
    except OSError:
        return 0.0
    line = next((row for row in status.splitlines() if row.startswith("VmHWM")), "VmHWM: 0 kB")
    return int(line.split()[1]) / 1e3


# --- the trial --------------------------------------------------------------------------------------------------------


@dataclass
class Trial:
    """What became of some files."""

    num: int = 0
    ends: Counter[str] = field(default_factory=Counter)
    """Files by format and end: `readable`, a fault, or what is wrong."""
    worker_mb: float = 0.0
    seconds: float = 0.0
    wrong: list[str] = field(default_factory=list)

    def add(self, other: Trial) -> None:
        self.num += other.num
        self.ends += other.ends
        self.worker_mb = max(self.worker_mb, other.worker_mb)
        self.seconds += other.seconds
        self.wrong += other.wrong


def try_files(images: Path, work: Path, timeout_s: float) -> Trial:
    """Run all commands over `images`, and account for each file."""
    trial = Trial()
    digests = {
        path.relative_to(images).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in images.rglob("*")
        if path.is_file()
    }
    for title, arguments in COMMANDS.items():
        filled = [a.format(images=images, timeout=timeout_s) for a in arguments]
        run = run_watched([*filled, "-C", str(work)])
        trial.worker_mb, trial.seconds = max(trial.worker_mb, run.worker_mb), trial.seconds + run.seconds
        if run.code or "unexpected" in run.stderr or "Traceback" in run.stderr:
            trial.wrong.append(f"{title}: exit {run.code}: {run.stderr[-400:]}")
        if "decoder crashed" in run.stderr or "blank picture" in run.stderr:
            trial.ends[f"{title}: a blank picture, with a warning"] += 1
    manifest = pd.read_parquet(work / "scan" / "manifest.parquet").set_index("file_name")
    for name, digest in digests.items():
        trial.num += 1
        row = manifest.loc[name] if name in manifest.index else None
        if row is None or row["image_id"] != digest or bool(row["readable"]) != (row["fault"] == ""):
            trial.wrong.append(f"{name}: not accounted for")
            continue
        trial.ends[f"{name.partition('/')[0]:10} {row['fault'] or 'readable'}"] += 1
    after = {path: hashlib.sha256((images / path).read_bytes()).hexdigest() for path in digests}
    if after != digests:
        trial.wrong.append("files changed")
    return trial


def try_mutated(num: int, piece: int, seed: int, timeout_s: float) -> Trial:
    """The trial of `num` damaged files, a piece at a time."""
    total, samples = Trial(), sound_files()
    for start in range(0, num, piece):
        with tempfile.TemporaryDirectory() as folder:
            images = Path(folder) / "images"
            write_mutated(images, min(piece, num - start), random.Random(f"{seed} {start}"), samples)
            trial = try_files(images, Path(folder) / "work", timeout_s)
        total.add(trial)
        print(f"files {start + trial.num:,}: {trial.seconds:.0f} s, {trial.worker_mb:.0f} MB", *trial.wrong, flush=True)
    return total


def try_bombs(timeout_s: float) -> Trial:
    """The trial of the bombs, all in one scan."""
    with tempfile.TemporaryDirectory() as folder:
        images = Path(folder) / "images" / "bombs"
        images.mkdir(parents=True)
        for name, data in bombs().items():
            (images / name).write_bytes(data)
        trial = try_files(images.parent, Path(folder) / "work", timeout_s)
        manifest = pd.read_parquet(Path(folder) / "work" / "scan" / "manifest.parquet")
        for row in manifest.itertuples():
            print(f"{row.file_name:46} {row.file_bytes:>9,} bytes  {row.fault or 'readable'}")
    return trial


def main() -> None:
    """Print what became of each format's files, and of each bomb."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=10000)
    parser.add_argument("--piece", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--file-timeout", type=float, default=5.0, help="seconds of CPU")
    options = parser.parse_args()
    trials = {
        "damaged files": try_mutated(options.files, options.piece, options.seed, options.file_timeout),
        "bombs": try_bombs(options.file_timeout),
    }
    for title, trial in trials.items():
        print(f"\n{title}: {trial.num:,}, {trial.seconds:.0f} s, peak {trial.worker_mb:.0f} MB a worker")
        for end, num in sorted(trial.ends.items()):
            print(f"  {end:40} {num:6,}")
        for fault in trial.wrong:
            print(f"  WRONG {fault}")
    sys.exit(any(trial.wrong for trial in trials.values()))


if __name__ == "__main__":
    main()
