"""Every command on a disk that is full, or fills up on the way: a clear word, nothing lost, and the same result later.

The workspace and the export lie on a small file system in memory (mount -t tmpfs, which takes root). A file fills it
but for a few kB: so few that nothing can be written, or half of what the command writes. Then the file is removed and
the command runs again.

    python benchmarks/holds/full_disk.py
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks.holds.walk import COMMANDS, Place, differences, leftovers, make_set, results, words_amiss
from tests.support.launcher import Launcher

_DISK_MB = 64
SHARES = (0.0, 0.5)
"""Of the bytes that a command writes, those for which there is room."""


@contextmanager
def small_disk(folder: Path) -> Iterator[Path]:
    """A file system of 64 MB, mounted at `folder`."""
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={_DISK_MB}m", "holds", str(folder)], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(disk: Path, room: int) -> Path:
    """Fill a disk but for `room` bytes."""
    ballast = disk / "ballast"
    with ballast.open("wb") as file:
        for _ in range(max(0, shutil.disk_usage(disk).free - room) // 4096):
            file.write(bytes(4096))
    return ballast


def try_command(launcher: Launcher, title: str, before: Place, after: Place, share: float, disk: Path) -> list[str]:
    """What is wrong with a command that finds room for `share` of what it writes."""
    place, faults = before.copy(disk / "run"), []
    was, expected = results(place), results(after)
    ballast = fill(disk, int(max(0, size_of(after.root) - size_of(before.root)) * share))
    full = launcher.start(*place.arguments(title))
    if full["code"] == 0:
        faults += differences(results(place), expected)  # it needed less: then all of it must be there
    else:
        if words_amiss(full["stderr"]) or "no space left" not in full["stderr"] or "next:" not in full["stderr"]:
            faults.append(f"exit {full['code']}: {full['stderr'].strip()[-300:]}")
        found = results(place)
        faults += [
            f"lost or half-written: {n}" for n in was | found if found.get(n) not in (was.get(n), expected.get(n))
        ]
    ballast.unlink()
    again = launcher.start(*place.arguments(title)) if full["code"] else full
    if again["code"]:
        faults.append(f"with room again, exit {again['code']}: {again['stderr'].strip()[-300:]}")
    faults += [f"differs: {name}" for name in differences(results(place), expected)] + leftovers(place)
    shutil.rmtree(place.root)
    print(f"{title:18} {share:4.0%} {'done' if full['code'] == 0 else 'no space left':14} {faults or ''}", flush=True)
    return faults


def size_of(root: Path) -> int:
    """Bytes of all files below a folder, each in whole blocks of the disk."""
    return sum(-(-p.stat().st_size // 4096) * 4096 for p in root.rglob("*") if p.is_file())


def main() -> None:
    """Print a line for each command and share."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="+", choices=COMMANDS, default=list(COMMANDS))
    options = parser.parse_args()
    launcher, num_wrong, num_checks = Launcher(Path()), 0, 0
    with tempfile.TemporaryDirectory() as name, small_disk(Path(name) / "disk") as disk:
        folder = Path(name)
        make_set(folder / "set")
        place = Place(folder / "set", folder / "before")
        place.work.mkdir(parents=True)
        for title in COMMANDS:
            after = place.copy(folder / "after")
            assert launcher.start(*after.arguments(title))["code"] == 0, title
            for share in SHARES if title in options.only else ():
                num_wrong += bool(try_command(launcher, title, place, after, share, disk))
                num_checks += 1
            shutil.rmtree(place.root)
            after.root.rename(place.root)
    launcher.close()
    print(f"{num_checks} checks, {num_wrong} wrong")
    sys.exit(num_wrong > 0)


if __name__ == "__main__":
    main()
