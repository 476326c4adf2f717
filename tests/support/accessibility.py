"""What axe-core says of the page in the browser: tests/support/axe/axe.min.js, from npm as it is (MPL-2.0)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.support.browser import Page

_AXE = Path(__file__).parent / "axe" / "axe.min.js"
_RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]


def find_violations(page: Page, *, dark: bool = False) -> list[str]:
    """Each rule that the page breaks, with the first three places, in the light or in the dark form."""
    scheme = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
    page.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": scheme})
    page.js(_AXE.read_text(encoding="utf-8"))
    page.driver.set_script_timeout(120)
    result: dict[str, Any] = page.driver.execute_async_script(
        "const done = arguments[1]; axe.run(document, {runOnly: arguments[0]}).then(done, (e) => done({violations:"
        " [{id: String(e), nodes: []}]}))",
        _RULES,
    )
    return [
        f"{found['id']}: "
        + "; ".join(f"{node['target']} {node.get('failureSummary', '')}" for node in found["nodes"][:3])
        for found in result["violations"]
    ]
