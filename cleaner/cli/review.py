"""`cleaner review`."""

from __future__ import annotations

import getpass
import html
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cleaner.cli import options as o
from cleaner.cli.command_line import CommandLine, keys, takes
from cleaner.cli.console import write_result
from cleaner.cli.session import Session, open_session
from cleaner.errors import BadInputError, UsageError

if TYPE_CHECKING:
    from cleaner.review.noise_refit import NoiseRefit
    from cleaner.review.server import ReviewServer

LOOPBACK = ("127.0.0.1", "localhost", "::1")

LOOKS = (keys("noise", "seeds"), keys("embedding"))
"""Settings of the queue `noise`: its model uses the same embeddings and seeds as the noise stage."""


@takes(*LOOKS, run=("device", "workers"))
def review(
    line: CommandLine,
    queue: Annotated[
        str | None,
        typer.Argument(
            **o.choice(*o.QUEUES) | {"metavar": "[QUEUE]"},
            help=o.QUEUES_HELP,
            show_default="chosen on the page",
        ),
    ] = None,
    share: Annotated[float, typer.Option(help="Random share of the label issues to review, 0.05 to 1.")] = 1.0,
    annotator: Annotated[
        str | None, typer.Option(metavar="NAME", help="Who decides.", show_default="your login name")
    ] = None,
    port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="Port to serve on.", show_default="the first free from 8765")
    ] = None,
    host: Annotated[
        str, typer.Option(help="Address to serve on. Any other than this computer's own is a risk.")
    ] = "127.0.0.1",
    exposed: Annotated[
        bool,
        typer.Option(
            "--i-know-it-is-exposed",
            help="With another --host: anyone on that network who sees the link or the unencrypted traffic can look at "
            "the pictures and decide in your name. An SSH tunnel is better: docs/review.md.",
        ),
    ] = False,
    open_browser: Annotated[bool, typer.Option("--open", help="Open the page in a browser.")] = False,
) -> None:
    """Review images and record verdicts, on a web page on this computer. The stages apply them when they next run.

    `cleaner review noise` asks about the images that help most to find noise, and shows how much noise is likely left.
    It computes the embeddings first if no stage has.

    Example: `cleaner review labels --share 0.1`
    """
    if not 0.05 <= share <= 1:
        raise UsageError(f"--share {share}", expected="0.05 to 1")
    _check_exposure(host, exposed)
    session = open_session(line)
    from cleaner.review.server import ReviewServer

    noise = open_noise_model(session) if queue == "noise" else None
    name = (getpass.getuser() if annotator is None else annotator).strip()
    server = ReviewServer(
        session.workspace, annotator=name, queue=queue or "", share=share, host=host, port=port, noise=noise
    )
    absent = server.desk.queue(queue).absent if queue else ""
    if absent:
        raise BadInputError(f"there is no queue {queue} yet", next_step=absent)
    if host not in LOOPBACK:
        session.console.warn(f"served on {host}, unencrypted: anyone who gets the link decides as {name}")
    _announce(session, server, name)
    _serve(session, server, open_browser)


def _check_exposure(host: str, exposed: bool) -> None:
    if host not in LOOPBACK and not exposed:
        raise UsageError(
            f"--host {host} lets others on that network in, unencrypted",
            next_step="use an SSH tunnel (docs/review.md), or add --i-know-it-is-exposed",
        )


def _serve(session: Session, server: ReviewServer, open_browser: bool) -> None:
    """Serve until Ctrl-C."""
    try:
        with _opened(server.url) if open_browser else nullcontext():
            server.run()
    except KeyboardInterrupt:
        session.console.say(f"review ended; what was decided is saved · next: {session.next_command('status')}")


@contextmanager
def _opened(url: str) -> Iterator[None]:
    """Open a browser at `url` by a private file: everybody on this computer can see a browser's command line."""
    import webbrowser

    handle, name = tempfile.mkstemp(prefix="cleaner-review-", suffix=".html")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(f'<!doctype html><meta http-equiv="refresh" content="0;url={html.escape(url)}">')
        webbrowser.open(Path(name).as_uri())
        yield
    finally:
        Path(name).unlink(missing_ok=True)


def open_noise_model(session: Session) -> NoiseRefit:
    """The noise model that follows the decisions, with the features it is fitted on."""
    from cleaner.review.noise_refit import NoiseRefit

    return NoiseRefit.open(session.workspace, session.config.noise, session.options)


def _announce(session: Session, server: ReviewServer, annotator: str) -> None:
    console, catalogue = session.console, server.desk.catalogue
    if catalogue.warning:
        console.warn(catalogue.warning)
    console.result([f"review  {catalogue.stage} · as {annotator} · Ctrl-C ends it", f"  {server.url}"])
    if console.quiet and not console.as_json:
        write_result(server.url)  # without the link there is no way in
    console.document({"url": server.url, "annotator": annotator})
