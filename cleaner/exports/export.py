"""One export, whatever its kind: checked, prepared, and written whole or not at all."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from cleaner.dataset.locations import is_remote
from cleaner.errors import UsageError
from cleaner.exports.cleaned import Cleaned
from cleaner.exports.contents import require_contents
from cleaner.exports.files import new_place
from cleaner.exports.kind import ExportOptions, Kind


@dataclass(frozen=True, kw_only=True)
class Exported:
    """What an export wrote."""

    out: Path
    classes: list[str]
    num_files: int
    num_repeats: int
    num_dropped: int
    num_copied: int
    """Files copied because they could not be linked."""
    use: str
    """The lines of Python that load it."""
    warnings: list[str] = field(default_factory=list)


def export(
    cleaned: Cleaned, kind: Kind, out: Path, options: ExportOptions | None = None, *, dry_run: bool = False
) -> Exported:
    """Write the cleaned set to `out`, which appears once everything is written; never with `dry_run`.

    The source images are never changed. A hard link is the same file, so editing the export in place edits the source;
    use another `mode` then. What is copied is compared with its `image_id`; with `verify`, so is every other image.
    Raises UsageError if OUT is taken or lies among the images, BadInputError if an image is missing or changed.
    """
    options = options or ExportOptions()
    _require_free(kind, cleaned.images_root, out)
    prepared = kind.prepare(cleaned, out, options)
    if options.verify:
        require_contents(cleaned.kept, cleaned.images_root, cleaned.progress)
    num_copied = 0
    if not dry_run:
        with new_place(out, is_folder=kind.is_folder) as temporary:
            num_copied = prepared.write(temporary)
    return Exported(
        out=out,
        classes=prepared.classes,
        num_files=prepared.num_files,
        num_repeats=prepared.num_repeats,
        num_dropped=prepared.num_dropped,
        num_copied=num_copied,
        use=prepared.use(out),
        warnings=[*cleaned.warnings, *prepared.warnings],
    )


def _require_free(kind: Kind, images_root: Path, out: Path) -> None:
    if "mode" in kind.options and is_remote(images_root):
        raise UsageError(
            f"{images_root}: images of another machine cannot be linked or copied into a folder",
            next_step="export shards (--to wds) or a list (--to csv …), or fetch the images and scan them here",
        )
    if kind.is_folder and not is_remote(images_root) and out.resolve().is_relative_to(images_root.resolve()):
        raise UsageError(f"{out} lies among the source images in {images_root}", next_step="name another folder")
    taken = out.exists() and not (kind.is_folder and out.is_dir() and not any(out.iterdir()))
    if taken or out.is_symlink():
        rule = "a folder that is empty or does not exist" if kind.is_folder else "a file that does not exist"
        raise UsageError(f"{out}: already exists", expected=rule, next_step="choose another name, or remove it")
