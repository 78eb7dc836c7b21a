"""Chromium, driven by its own driver. Both are Debian's; nothing is fetched."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from selenium.webdriver import Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import WebDriverWait

from tests.patience import PATIENCE_SECONDS

__all__ = ["Browser", "opened"]

_WORDS = (
    "--headless=new",
    "--hide-scrollbars",
    # Root has no sandbox of its own in a container, nor is there much shared memory.
    "--no-sandbox",
    "--disable-dev-shm-usage",
    "--disable-gpu",
)


class Browser:
    """A window on the console of one service."""

    def __init__(self, driver: Chrome, url: str) -> None:
        self.driver = driver
        self.url = url

    def go(self, path: str) -> None:
        """Open a page."""
        self.driver.get(self.url + path)

    def find(self, css: str) -> WebElement:
        """Return an element as soon as it is there."""
        element: WebElement = self.wait(lambda: self.driver.find_element(By.CSS_SELECTOR, css))
        return element

    def press(self, name: str) -> None:
        """Press the first button that is called so, else link, and wait where it leads to."""
        before = self.driver.find_element(By.TAG_NAME, "html")
        called = f"[normalize-space()='{name}'][not(@aria-hidden)]"
        buttons = self.driver.find_elements(By.XPATH, f"//main//button{called}")
        links = self.driver.find_elements(By.XPATH, f"//main//a{called}")
        (buttons or links)[0].click()
        self.wait(lambda: before.id != self.driver.find_element(By.TAG_NAME, "html").id)

    def sees(self, text: str) -> None:
        """Wait until the page shows a text."""
        self.wait(lambda: text in self.text, f"{text!r} is not on the page:\n{self.text}")

    @property
    def text(self) -> str:
        """What the page shows."""
        shown: str = self.driver.find_element(By.TAG_NAME, "body").text
        return shown

    def wait(self, for_what, told: str = ""):  # type: ignore[no-untyped-def]
        """Wait until something is true, and return it."""
        ignored = (Exception,)
        waiting = WebDriverWait(self.driver, PATIENCE_SECONDS, 0.1, ignored_exceptions=ignored)
        return waiting.until(lambda _: for_what(), told)

    @property
    def complaints(self) -> list[str]:
        """What the browser refused to run or load, and what a script raised, since last asked."""
        log = self.driver.get_log("browser")  # type: ignore[no-untyped-call]
        return [entry["message"] for entry in log]


@contextmanager
def opened(url: str, *, width: int = 1200, dark: bool = False) -> Iterator[Browser]:
    """Start a browser; skip the test where it is not installed."""
    browser, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if browser is None or driver is None:
        pytest.skip("Chromium and its driver are not installed: chromium chromium-driver")
    options = ChromeOptions()
    options.binary_location = browser
    for word in _WORDS:
        options.add_argument(word)
    options.add_argument(f"--window-size={width},1000")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    chrome = Chrome(options, Service(driver))
    try:
        look = {
            "features": [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        }
        chrome.execute_cdp_cmd("Emulation.setEmulatedMedia", look)
        # A window cannot be made as narrow as a telephone.
        size = {"width": width, "height": 1000, "deviceScaleFactor": 1, "mobile": False}
        chrome.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        yield Browser(chrome, url)
    finally:
        chrome.quit()
