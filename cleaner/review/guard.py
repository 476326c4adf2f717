"""Access control around the application; docs/review.md says what it protects from.

Every request needs a Host that no foreign name can imitate (DNS rebinding), the server's own Origin if it has one, and
the session's cookie, which only the one-time link gives. Everything else is refused before it reaches a handler. No
header ever allows another origin to read an answer.
"""

from __future__ import annotations

import asyncio
import hmac
import ipaddress
import secrets
from collections.abc import Awaitable, Callable, MutableMapping
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import parse_qs, urlsplit

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Asgi = Callable[[Scope, Receive, Send], Awaitable[None]]

MAX_BODY_BYTES = 256 << 10
"""A whole page of 60 decisions takes about 10 kB."""
_MAX_DRAINED_BYTES = 64 << 20  # read and discarded, so that the sender gets the refusal
_BODY_TIMEOUT_S = 20
_LOOPBACK = ("127.0.0.1", "localhost", "::1")
_HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
        "require-trusted-types-for 'script'; trusted-types 'none'"
    ),
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
}
_ENTER = (
    b"<!doctype html><title>cleaner review</title><meta http-equiv=refresh content='0;url=/'><p><a href='/'>go on</a>"
)


class Guard:
    """An ASGI application that passes allowed requests on to `app`."""

    def __init__(self, app: Asgi, *, port: int, host: str = "127.0.0.1") -> None:
        self.app = app
        self.token = secrets.token_urlsafe(32)
        """What the printed link carries; good for one use."""
        self._session = secrets.token_urlsafe(32)
        self._cookie = f"cleaner_review_{port}"  # cookies do not know ports, and two people may run two servers
        self._host = host
        self._used = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            if scope["type"] == "websocket":
                await send({"type": "websocket.close", "code": 1008})
            return
        headers: dict[str, str] = {}
        for name, value in scope["headers"]:
            key = name.decode("latin-1")
            if key in headers and key in ("host", "origin", "content-length", "cookie"):
                return await _answer(send, 400, f"more than one {key}")
            headers[key] = value.decode("latin-1")
        refusal = self._why_refused(scope["method"], headers)
        if refusal:
            return await _answer(send, 403, refusal)
        token = parse_qs(scope["query_string"].decode("latin-1")).get("token", [""])[0]
        if scope["path"] == "/" and token:
            return await self._enter(token, headers, send)
        if not self._has_session(headers):
            return await _answer(send, 401, "open the link that `cleaner review` printed; it works once")
        if scope["method"] == "POST":
            if headers.get("content-type", "").split(";")[0].strip().lower() != "application/json":
                return await _answer(send, 415, "only application/json")
            body = await _read_body(headers, receive)
            if body is None:
                return await _answer(send, 413, f"more than {MAX_BODY_BYTES} bytes")
            receive = _replay(body)
        await self.app(scope, receive, _with_headers(send))

    def _why_refused(self, method: str, headers: dict[str, str]) -> str:
        if method not in ("GET", "HEAD", "POST"):
            return "this method is not served"
        host = headers.get("host", "")
        if not self._is_own(host):
            return "this Host is not served"
        origin = headers.get("origin")
        if origin is not None and origin != f"http://{host}":
            return "this Origin is not served"
        if method == "POST" and origin is None:
            return "an Origin is needed"
        return ""

    def _is_own(self, host: str) -> bool:
        """Whether a Host names this server in a way that no DNS answer can fake: the port may be a tunnel's."""
        try:
            name = urlsplit(f"//{host}").hostname or ""
        except ValueError:
            return False
        if "@" in host or name in ("", "."):
            return False
        if name in _LOOPBACK:
            return True
        if self._host in _LOOPBACK:
            return False
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return name == self._host.lower()
        return True  # exposed on purpose: any address, since only names can be rebound

    def _has_session(self, headers: dict[str, str]) -> bool:
        try:
            morsel = SimpleCookie(headers.get("cookie", "")).get(self._cookie)
        except CookieError:
            return False
        return morsel is not None and hmac.compare_digest(morsel.value.encode(), self._session.encode())

    async def _enter(self, token: str, headers: dict[str, str], send: Send) -> None:
        """Turn the one-time token into the cookie.

        The answer is a page that goes on to `/` by itself: after a plain redirect a browser that came from a link on
        another site would not send a SameSite=Strict cookie along.
        """
        if self._has_session(headers):
            return await _answer(send, 200, _ENTER, {"content-type": "text/html; charset=utf-8"})
        if self._used or not hmac.compare_digest(token.encode(), self.token.encode()):
            return await _answer(send, 401, "this link was used before, or is wrong; start `cleaner review` again")
        self._used = True
        cookie = f"{self._cookie}={self._session}; HttpOnly; SameSite=Strict; Path=/"
        await _answer(send, 200, _ENTER, {"content-type": "text/html; charset=utf-8", "set-cookie": cookie})


async def _answer(send: Send, status: int, body: str | bytes, extra: dict[str, str] | None = None) -> None:
    data = body if isinstance(body, bytes) else body.encode()
    headers = {"content-type": "text/plain; charset=utf-8", "cache-control": "no-store"} | (extra or {})
    headers["content-length"] = str(len(data))
    listed = [(k.encode(), v.encode()) for k, v in headers.items()]
    wrapped = _with_headers(send)
    await wrapped({"type": "http.response.start", "status": status, "headers": listed})
    await wrapped({"type": "http.response.body", "body": data})


def _with_headers(send: Send) -> Send:
    async def sender(message: Message) -> None:
        if message["type"] == "http.response.start":
            added = [(k.encode(), v.encode()) for k, v in _HEADERS.items()]
            message["headers"] = [*message.get("headers", []), *added]
        await send(message)

    return sender


async def _read_body(headers: dict[str, str], receive: Receive) -> bytes | None:
    """The body, or None if it is too long; then it is read and discarded, up to a limit."""
    promised = headers.get("content-length", "0")
    too_long = promised.isdigit() and int(promised) > MAX_BODY_BYTES
    parts: list[bytes] = []
    num = 0
    try:
        async with asyncio.timeout(_BODY_TIMEOUT_S):
            while num <= _MAX_DRAINED_BYTES:
                message = await receive()
                if message["type"] == "http.disconnect":
                    return None
                chunk = message.get("body", b"")
                num += len(chunk)
                too_long = too_long or num > MAX_BODY_BYTES
                if not too_long:
                    parts.append(chunk)
                if not message.get("more_body"):
                    return None if too_long else b"".join(parts)
    except TimeoutError:
        return None
    return None


def _replay(body: bytes) -> Receive:
    messages = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> Message:
        return messages.pop() if messages else {"type": "http.disconnect"}

    return receive
