"""A headless Chromium, and the review page as a person with a keyboard has it.

Tests that use it are skipped without a browser, unless REQUIRE_BROWSER is set (`.ci/run` sets it): then they
fail.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.support.waiting import PATIENCE_S

REQUIRED = bool(os.environ.get("REQUIRE_BROWSER"))
if not REQUIRED:
    pytest.importorskip("selenium.webdriver")
from selenium import webdriver  # noqa: E402
from selenium.webdriver import ActionChains, Keys  # noqa: E402
from selenium.webdriver.common.by import By  # noqa: E402
from selenium.webdriver.support.ui import WebDriverWait  # noqa: E402

__all__ = ["By", "Keys", "Page", "browser", "page"]
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
DRIVER = shutil.which("chromedriver")


class Page:
    """The page as a person with a keyboard has it."""

    def __init__(self, driver: Any) -> None:
        self.driver = driver

    def open(self, url: str) -> None:
        self.driver.get(url)
        self.ready()

    def go(self, link: str, filters: str) -> None:
        """Show a queue and filter (as after `#` in the address) of a server that has let this browser in."""
        self.driver.get(f"{link.partition('/?')[0]}/#{filters}")
        self.driver.refresh()
        self.ready()

    def ready(self) -> None:
        """Wait until the pictures are there and keys decide about them."""
        self.until(
            lambda: self.js(
                "return document.querySelector('#grid[aria-busy=false]') !== null"
                " && document.querySelectorAll('.card, .empty').length > 0"
            )
        )

    def js(self, code: str, *arguments: Any) -> Any:
        return self.driver.execute_script(code, *arguments)

    def until(self, condition: Callable[[], Any]) -> Any:
        return WebDriverWait(self.driver, PATIENCE_S, poll_frequency=0.02).until(lambda _: condition())

    def press(self, *keys: str) -> None:
        for key in keys:
            ActionChains(self.driver, duration=0).send_keys(key).perform()

    def press_at_once(self, keys: str) -> None:
        """Keys faster than any hand: the page comes to nothing else between them."""
        self.js(
            "for (const key of arguments[0]) document.activeElement.dispatchEvent("
            "new KeyboardEvent('keydown', {key, bubbles: true, cancelable: true}))",
            keys,
        )

    def answer_page(self, keys: dict[str, str]) -> int:
        """Press, for each open picture of the page in turn, its key in `keys`, at once; returns how many."""
        num = self.js(
            "const open = () => document.querySelector('.card[tabindex=\"0\"]:not(.decided)');"
            "let num = 0;"
            "for (let card = open(); card && num < 100; card = open(), num++) {"
            " const key = arguments[0][card.querySelector('img').src.split('/').at(-2)];"
            " document.activeElement.dispatchEvent("
            "new KeyboardEvent('keydown', {key, bubbles: true, cancelable: true}));"
            "} return num;",
            keys,
        )
        self.saved()
        return int(num)

    def press_shift(self, *keys: str) -> None:
        ActionChains(self.driver, duration=0).key_down(Keys.SHIFT).send_keys(*keys).key_up(Keys.SHIFT).perform()

    def saved(self) -> None:
        """Wait until nothing is on its way to the server, and the page has turned if it has to."""
        self.until(lambda: self.js("return document.getElementById('saving').dataset.waiting === '0'"))
        self.ready()

    def marks(self) -> list[str]:
        return self.js("return [...document.querySelectorAll('.card .mark')].map((m) => m.textContent)")

    def num_open(self) -> int:
        return int(self.js("return document.querySelectorAll('.card:not(.decided)').length"))

    def keys(self) -> list[str]:
        """The image ids of the cards, in order."""
        return self.js("return [...document.querySelectorAll('.card .picture')].map((i) => i.src.split('/').at(-2))")

    def toast(self) -> str:
        """The message that stands above everything now, if it can be seen."""
        return str(
            self.js(
                "const toast = document.getElementById('toast');"
                "const box = toast.getBoundingClientRect();"
                "return box.height >= 20 && box.bottom <= innerHeight && toast.matches(':popover-open')"
                " ? toast.textContent : ''"
            )
        )

    def text(self, css: str) -> str:
        return str(self.js("return document.querySelector(arguments[0])?.textContent ?? ''", css))

    def errors(self) -> list[str]:
        """What the console complains about; that a server is away is what some tests are about."""
        messages = [e["message"] for e in self.driver.get_log("browser") if e["level"] == "SEVERE"]
        return [m for m in messages if "ERR_CONNECTION" not in m and "401" not in m and "ERR_EMPTY" not in m]


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    if not (CHROMIUM and DRIVER):
        if REQUIRED:
            pytest.fail("REQUIRE_BROWSER is set, but there is no chromium or no chromedriver")
        pytest.skip("no chromium or no chromedriver: apt-get install chromium chromium-driver")
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    profile = tmp_path_factory.mktemp("profile")
    for argument in (
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-background-networking",
        "--disable-dev-shm-usage",
        f"--user-data-dir={profile}",
        "--window-size=1280,900",
    ):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    yield driver
    driver.quit()


@pytest.fixture
def page(browser: Any) -> Page:
    browser.get("about:blank")
    browser.get_log("browser")
    return Page(browser)
