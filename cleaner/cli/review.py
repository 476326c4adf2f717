"""`cleaner review`."""

import getpass
from pathlib import Path
from typing import Annotated

import typer

from cleaner.cli import options as o
from cleaner.cli.console import write_result
from cleaner.cli.session import one_of, open_session
from cleaner.errors import BadInputError, UsageError

LOOPBACK = ("127.0.0.1", "localhost", "::1")


def review(
    queue: Annotated[
        str | None,
        typer.Argument(
            help="noise-seeds, noise-doubtful, noise-found, labels, calibration, conflicts, low-count, disagreements "
            "or audit.",
            show_default="chosen on the page",
        ),
    ] = None,
    share: Annotated[float, typer.Option(help="Random share of the label issues to look at, 0.05 to 1.")] = 1.0,
    annotator: Annotated[
        str | None, typer.Option(metavar="NAME", help="Who decides.", show_default="your login name")
    ] = None,
    port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="Port to serve on.", show_default="the first free from 8765")
    ] = None,
    host: Annotated[
        str, typer.Option(help="Address to serve on; anything else than this computer's own is a risk.")
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
    workspace: o.WorkspaceDir = Path(),
    quiet: o.Quiet = False,
    verbose: o.Verbose = 0,
    as_json: o.Json = False,
    log_format: o.LogFormat = "text",
    debug: o.Debug = False,
) -> None:
    """Look at pictures and decide, on a web page of this computer; the stages obey when they run next.

    Example: `cleaner review labels --share 0.1`
    """
    if not 0.05 <= share <= 1:
        raise UsageError(f"--share {share}", expected="0.05 to 1")
    if host not in LOOPBACK and not exposed:
        raise UsageError(
            f"--host {host} lets others on that network in, unencrypted",
            next_step="use an SSH tunnel (docs/review.md), or add --i-know-it-is-exposed",
        )
    session = open_session(workspace, quiet=quiet, as_json=as_json, verbose=verbose, log_format=log_format)
    from cleaner.review.queues import QUEUES
    from cleaner.review.server import ReviewServer

    if queue is not None:
        one_of("QUEUE", queue, QUEUES)
    name = (annotator if annotator is not None else getpass.getuser()).strip()
    server = ReviewServer(session.workspace, annotator=name, queue=queue or "", share=share, host=host, port=port)
    if queue is not None:
        absent = server.desk.queue(queue)
        if isinstance(absent, str):
            raise BadInputError(f"the queue {queue} is not there yet", next_step=absent)
    if server.desk.catalogue.warning:
        session.console.warn(server.desk.catalogue.warning)
    if host not in LOOPBACK:
        session.console.warn(f"served on {host}, unencrypted: whoever gets hold of the link decides as {name}")
    session.console.result([f"review  {server.desk.catalogue.stage} · as {name} · Ctrl-C ends it", f"  {server.url}"])
    if quiet and not as_json:
        write_result(server.url)  # without the link there is no way in
    session.console.document({"url": server.url, "annotator": name})
    if open_browser:
        import webbrowser

        webbrowser.open(server.url)
    try:
        server.run()
    except KeyboardInterrupt:
        session.console.say(f"review ended; every decision is saved · next: {session.next_command('status')}")
