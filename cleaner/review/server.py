"""The web server: routes around a `Desk`, behind a `Guard`. docs/review.md."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from importlib import resources
from typing import TYPE_CHECKING, Any, TypeVar

import uvicorn
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from cleaner.dataset.thumbnails import PictureError
from cleaner.dataset.workspace import Workspace
from cleaner.errors import BadInputError, CleanerError, UsageError
from cleaner.review.desk import Desk, UnknownItemError
from cleaner.review.guard import Guard
from cleaner.review.paging import PAGE_SIZES, STATUSES, PageRequest
from cleaner.review.thumbnails import FORMS, Thumbnails

if TYPE_CHECKING:
    from cleaner.review.noise_refit import NoiseRefit

DEFAULT_PORT = 8765
_NUM_PORTS = 20
_STATIC_TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
_MAX_PARAMETER = 500
_T = TypeVar("_T")


class ReviewServer:
    """A server that is bound to its port, and serves when `run` is called."""

    def __init__(
        self,
        workspace: Workspace,
        *,
        annotator: str,
        queue: str = "",
        share: float = 1.0,
        host: str = "127.0.0.1",
        port: int | None = None,
        noise: NoiseRefit | None = None,
    ) -> None:
        self.desk = Desk(workspace, annotator, share, noise)
        self.socket = _bind(host, port)
        self.port: int = self.socket.getsockname()[1]
        self.host = host
        self.guard = Guard(_Endpoints(self.desk, queue).application(), port=self.port, host=host)

    @property
    def url(self) -> str:
        """The link that lets one browser in."""
        shown = {"0.0.0.0": socket.gethostname(), "::": socket.gethostname()}.get(self.host, self.host)
        name = f"[{shown}]" if ":" in shown else shown
        return f"http://{name}:{self.port}/?token={self.guard.token}"

    def run(self) -> None:
        """Serve until interrupted."""
        config = uvicorn.Config(
            self.guard,
            http="h11",
            ws="none",
            lifespan="off",
            log_level="warning",
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_keep_alive=60,
            timeout_graceful_shutdown=2,  # no limit_concurrency: it counts idle connections, and shuts people out
        )
        uvicorn.Server(config).run(sockets=[self.socket])


def _bind(host: str, port: int | None) -> socket.socket:
    """A listening socket: on `port`, or without one on the first free port from the usual one on."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    wanted = [port] if port is not None else [*range(DEFAULT_PORT, DEFAULT_PORT + _NUM_PORTS), 0]
    for number in wanted:
        bound = socket.socket(family, socket.SOCK_STREAM)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            bound.bind((host, number))
            bound.listen(128)
            return bound
        except OSError as error:
            bound.close()
            if number == wanted[-1]:
                raise UsageError(
                    f"{host}:{number} cannot be served on", found=str(error), next_step="name another --port"
                ) from error
    raise AssertionError("the last port is returned or raised about")


_WITHOUT_NAME = {"/": "index.html", "/favicon.ico": "favicon.svg"}
"""Browsers ask for favicon.ico on pages that name no icon, such as those of errors."""


class _Endpoints:
    """What the routes answer with."""

    def __init__(self, desk: Desk, queue: str) -> None:
        self.desk = desk
        self.queue = queue
        """The queue that the page opens with, or ''."""
        catalogue = desk.catalogue
        self.thumbnails = Thumbnails(
            desk.workspace.cache / "thumbnails", catalogue.max_pixels, catalogue.file_timeout_s
        )
        self.files = _static_files()

    def application(self) -> Starlette:
        """The routes. Handlers of `/api` and `/picture` run in threads."""
        return Starlette(
            routes=[
                Route("/", self.static),
                Route("/favicon.ico", self.static),
                Route("/static/{name}", self.static),
                Route("/api/state", _reading(self.state)),
                Route("/api/page", _reading(self.page)),
                Route("/api/typical", _reading(self.typical)),
                Route("/api/class", _reading(self.of_class)),
                Route("/api/news", _reading(self.news)),
                Route("/api/decide", _writing(self.decide), methods=["POST"]),
                Route("/api/undo", _writing(self.undo), methods=["POST"]),
                Route("/picture/{image_id}/{size}", self.picture),
            ]
        )

    async def static(self, request: Request) -> Response:
        name = request.path_params.get("name", _WITHOUT_NAME.get(request.url.path, ""))
        if name not in self.files:
            return _failure(404, "no such file")
        data, kind = self.files[name]
        return Response(data, headers={"content-type": f"{kind}; charset=utf-8", "cache-control": "no-cache"})

    def state(self, request: Request) -> dict[str, Any]:
        return self.desk.state() | {"queue": self.queue}

    def page(self, request: Request) -> dict[str, Any]:
        given = request.query_params
        wanted = PageRequest(
            start=_integer(given.get("start", "0"), "start"),
            limit=_one_of(_integer(given.get("limit", "24"), "limit"), PAGE_SIZES, "limit"),
            status=_one_of(given.get("status", "todo"), STATUSES, "status"),
            label=_short(given.get("label", "")),
            reason=_short(given.get("reason", "")),
            lowest=_decimal(given.get("lowest"), float("-inf")),
            highest=_decimal(given.get("highest"), float("inf")),
            search=_short(given.get("search", "")),
            turned=given.get("turned", "") == "1",
        )
        return self.desk.page(given.get("queue", ""), wanted)

    def typical(self, request: Request) -> dict[str, Any]:
        label = _short(request.query_params.get("label", ""))
        return {"label": label, "pictures": self.desk.catalogue.typical(label)}

    def of_class(self, request: Request) -> dict[str, Any]:
        return self.desk.describe_class(_short(request.query_params.get("label", "")))

    def news(self, request: Request) -> dict[str, Any]:
        return self.desk.news(_integer(request.query_params.get("after", "0"), "after"))

    def picture(self, request: Request) -> Response:
        image_id, size = request.path_params["image_id"], request.path_params["size"]
        catalogue = self.desk.catalogue
        row = catalogue.row_of.get(image_id)
        path = catalogue.path(row) if row is not None else None
        if path is None or size not in FORMS:
            return _failure(404, "no such picture")
        try:
            data = self.thumbnails.get(image_id, size, path)
        except PictureError as error:
            return _failure(410, f"this picture cannot be shown: {error}")
        headers = {"content-type": "image/jpeg", "cache-control": "private, max-age=86400, immutable"}
        return Response(data, headers=headers)

    def decide(self, document: dict[str, Any]) -> dict[str, Any]:
        decisions = document.get("decisions")
        if not isinstance(decisions, list) or not all(isinstance(d, dict) for d in decisions):
            raise BadInputError("decisions are missing", expected="a list of kind, key, verdict, label")
        return self.desk.decide(_text(document, "queue"), _text(document, "request_id"), decisions)

    def undo(self, document: dict[str, Any]) -> dict[str, Any]:
        return self.desk.undo(_text(document, "queue"), _text(document, "request_id"), _text(document, "target"))


def _reading(handle: Callable[[Request], dict[str, Any]]) -> Callable[[Request], Response]:
    def endpoint(request: Request) -> Response:
        return _guarded(lambda: handle(request))

    return endpoint


def _writing(handle: Callable[[dict[str, Any]], dict[str, Any]]) -> Any:
    async def endpoint(request: Request) -> Response:
        try:
            document = json.loads(await request.body())
        except (ValueError, RecursionError):
            return _failure(400, "not JSON")
        if not isinstance(document, dict):
            return _failure(400, "not a JSON object")
        return await run_in_threadpool(_guarded, lambda: handle(document))

    return endpoint


def _guarded(work: Callable[[], dict[str, Any]]) -> Response:
    """The answer of `work` as JSON, or its error. ensure_ascii: a file name need not be Unicode."""
    try:
        body = json.dumps(work(), ensure_ascii=True, separators=(",", ":"))
    except UnknownItemError as error:
        return _failure(404, str(error))
    except BadInputError as error:
        return _failure(422, str(error))
    except CleanerError as error:
        return _failure(503, str(error))  # the store is busy or the disk full: the page tries again
    return Response(body, headers={"content-type": "application/json", "cache-control": "no-store"})


def _failure(status: int, what: str) -> Response:
    headers = {"content-type": "application/json", "cache-control": "no-store"}
    return Response(json.dumps({"error": what}), status_code=status, headers=headers)


def _static_files() -> dict[str, tuple[bytes, str]]:
    """The page's own files, read once: nothing of a request ever becomes part of a path."""
    folder = resources.files("cleaner.review") / "static"
    return {
        f.name: (f.read_bytes(), _STATIC_TYPES[suffix])
        for f in folder.iterdir()
        if (suffix := "." + f.name.rsplit(".", 1)[-1]) in _STATIC_TYPES
    }


def _text(document: dict[str, Any], name: str) -> str:
    value = document.get(name, "")
    if not isinstance(value, str):
        raise BadInputError(f"{name} is not text")
    return _short(value)


def _short(value: str) -> str:
    if len(value) > _MAX_PARAMETER:
        raise BadInputError("a parameter is too long", expected=f"at most {_MAX_PARAMETER} characters")
    return value


def _integer(value: str, name: str) -> int:
    if not (value.isascii() and value.isdigit() and len(value) < 12):
        raise BadInputError(f"{name} {value[:40]!r}", expected="a whole number")
    return int(value)


def _decimal(value: str | None, default: float) -> float:
    if not value:
        return default
    try:
        return float(value)
    except ValueError as error:
        raise BadInputError(f"{value[:40]!r}", expected="a number") from error


def _one_of(value: _T, allowed: tuple[_T, ...], name: str) -> _T:
    if value not in allowed:
        raise BadInputError(f"{name} {str(value)[:40]!r}", expected=", ".join(map(str, allowed)))
    return value
