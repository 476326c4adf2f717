"""`cleaner scan`."""

from cleaner.cli import options as o
from cleaner.cli.command_line import CommandLine, keys, takes
from cleaner.cli.session import open_session


@takes(keys("scan"), run=("seed", "workers", "engine", "address", "storage", "force", "yes", "dry_run"))
def scan(line: CommandLine, images: o.Images) -> None:
    """Check every file: readability, label, size, quality, exact and near duplicates, copies across splits.

    Example: `cleaner scan photos/ -C work/`, `cleaner scan photos/ --drop near,leaks,dark`
    """
    session = open_session(line, creates=True, images=images)
    from cleaner.stages.scan import run_scan

    with session.lock():
        result = run_scan(session.workspace, images.absolute(), session.config.scan, session.options_of("scan"))
    session.report(result)
