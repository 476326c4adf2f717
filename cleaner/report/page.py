"""The page around the sections: head, style, script, and what keeps it from ever asking the network."""

from __future__ import annotations

import base64
import hashlib
from importlib.resources import files
from typing import Any

from cleaner.report.markup import Safe, number, percent, tag

_NAV = {
    "funnel": "Overview", "noise": "Noise images", "labels": "Wrong labels", "duplicates": "Copies",
    "classes": "Classes", "audit": "Audit", "verify": "Did it help?", "provenance": "How it was made",
}  # fmt: skip


def render_page(figures: dict[str, Any], sections: list[Safe], warnings: list[str]) -> str:
    """The whole document. `sections` in the order in which they stand."""
    style, script = (_static(name) for name in ("report.css", "report.js"))
    policy = (
        f"default-src 'none'; img-src data:; style-src 'sha256-{_digest(style)}'; "
        f"script-src 'sha256-{_digest(script)}'; base-uri 'none'; form-action 'none'"
    )
    root = figures["provenance"]["images_root"]
    title = f"cleaner · {root.rstrip('/').rsplit('/', 1)[-1]}"
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=policy),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="referrer", content="no-referrer"),
        tag("meta", name="generator", content=f"cleaner {figures['cleaner_version']}"),
        tag("title", title),
        tag("style", Safe(style)),
    )
    links = [tag("a", name, href=f"#{ident}") for ident, name in _NAV.items() if ident in figures["sections"]]
    body = tag(
        "body",
        _header(figures, root),
        tag("nav", tag("div", links), aria_label="sections"),
        [tag("p", text, cls="warning") for text in warnings],
        tag("main", sections),
        tag(
            "footer",
            f"Written by cleaner {figures['cleaner_version']} at {figures['created_utc']} · figures in report.json",
        ),
        tag(
            "dialog",
            tag("form", tag("button", "×", aria_label="close"), method="dialog"),
            tag("div", cls="zoomed"),
            id="zoom",
        ),
        tag("script", Safe(script)),
    )
    return f"<!DOCTYPE html>\n{tag('html', head, body, lang='en')}\n"


def _header(figures: dict[str, Any], root: str) -> Safe:
    return tag(
        "header",
        tag("p", "cleaner report", cls="kicker"),
        tag("h1", root.rstrip("/").rsplit("/", 1)[-1] or root, title=root),
        tag(
            "p",
            f"{root} · after {figures['stage']} · {figures['finished_utc'][:16].replace('T', ' ')} UTC",
            cls="where",
        ),
        tag("div", [_tile(*t) for t in _key_figures(figures)], cls="tiles"),
    )


def _key_figures(figures: dict[str, Any]) -> list[tuple[str, str, str]]:
    funnel, classes = figures["funnel"], figures["classes"]
    share = percent(funnel["kept"] / funnel["found"] if funnel["found"] else None)
    tiles = [("images stay", number(funnel["kept"]), f"of {number(funnel['found'])} files, {share}")]
    if figures["noise"]:
        tiles.append(
            (
                "noise images",
                number(figures["noise"]["noise_images"]),
                f"{number(figures['noise']['in_doubtful_band'])} more in doubt",
            )
        )
    if figures["labels"]:
        issues = figures["labels"]["issues"]
        dropped = sum(figures["labels"]["dropped"].values())
        tiles.append(
            (
                "label issues",
                number(sum(issues.values())),
                f"{number(dropped)} dropped, {number(figures['labels']['issues_kept'])} for people",
            )
        )
    conflicts = figures["duplicates"]["conflicts"]["groups"]
    tiles.append(
        (
            "exact copies",
            number(figures["duplicates"]["exact_dropped"]),
            f"{number(conflicts)} images under several labels",
        )
    )
    tiles.append(("classes", number(classes["after"]), f"of {number(classes['before'])}"))
    tiles.append(_audit_tile(figures["audit"]))
    return tiles


def _audit_tile(audit: dict[str, Any] | None) -> tuple[str, str, str]:
    if audit is None or not audit["looked_at"]:
        return "left behind", "?", "not audited yet"
    return "noise left, at most", f"{100 * audit['goal']['upper_bound']:.2f} %", "95 % bound, audited"


def _tile(name: str, value: str, note: str) -> Safe:
    return tag("div", tag("b", value), tag("span", name), tag("small", note), cls="figure")


def _static(name: str) -> str:
    return files("cleaner.report").joinpath("static", name).read_text(encoding="utf-8")


def _digest(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
