"""Pictures of the console: `python -m tests.console.screenshots FOLDER`, for the documentation.

Each page is taken in light and dark and as narrow as a telephone. Those that the documentation
shows go to docs/images, the others are to be looked at.
"""

from __future__ import annotations

import base64
import sys
import tempfile
from pathlib import Path

from tests.console.browser import Browser, opened
from tests.console.serving import served
from tests.console.showcase import ENV, Showcase

LENSES = f"/console/{ENV}/lenses"
PAGES = {
    "sign-in": "/console/-/sign-in",
    "lenses": LENSES,
    "lens": f"{LENSES}/products",
    "guard": f"{LENSES}/orders",
    "allow": f"{LENSES}/orders/do/allow-deletes",
    "row": f"{LENSES}/products/row?id=3",
    "row-failed": f"{LENSES}/products/row?id=41",
    "search": f"{LENSES}/products/search?q=warm+jacket+for+rain&field0=price&is0=$lt&value0=120",
    "failed": f"{LENSES}/products/failed",
    "settings": f"{LENSES}/products/settings",
    "rebuild": f"{LENSES}/products/do/rebuild",
    "jobs": f"/console/{ENV}/jobs",
    "keys": f"/console/{ENV}/keys",
    "environments": "/console/-/environments",
    "compare": f"/console/-/environments/compare?left={ENV}&right=staging",
    "promote": f"/console/-/environments/promote?from={ENV}&to=staging&lens=orders",
    "delete": f"/console/{ENV}/environments/delete",
}
IN_DOCS = {"lenses", "row", "search", "settings", "compare"}
FORMS = {"light": (1200, False), "dark": (1200, True), "narrow": (400, False)}


def main(folder: Path) -> None:
    """Take all of them."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as place:
        showcase = Showcase(Path(place))
        with served(showcase) as url:
            for form, (width, dark) in FORMS.items():
                with opened(url, width=width, dark=dark) as browser:
                    take_all(browser, showcase, folder, form)


def take_all(browser: Browser, showcase: Showcase, folder: Path, form: str) -> None:
    """Take every page in one form."""
    showcase.tick()
    for key in ("", *showcase.keys.values()):
        if key:
            browser.go("/console/-/sign-in")
            browser.find("#key").send_keys(key)
            browser.press("Sign in")
        else:
            browser.go(PAGES["sign-in"])
            take(browser, folder / f"sign-in-{form}.png")
    for name, path in PAGES.items():
        if name != "sign-in":
            if name != "guard":  # which shows the banner of a daemon that is silent
                showcase.tick()
            browser.go(path)
            browser.wait(lambda: not browser.driver.find_elements("css selector", "[aria-busy]"))
            take(browser, folder / f"{name}-{form}.png")
            if name in IN_DOCS and form == "light":
                take(browser, folder / f"console-{name}.png", height=760)
    browser.go(PAGES["jobs"])
    browser.find("td code").click()
    browser.sees("Asked for")
    take(browser, folder / f"job-{form}.png")


def take(browser: Browser, file: Path, *, height: int = 0) -> None:
    """Take a picture of a whole page, or of its top."""
    sizes = browser.driver.execute_cdp_cmd("Page.getLayoutMetrics", {})["cssContentSize"]
    clip = {
        "x": 0,
        "y": 0,
        "width": sizes["width"],
        "height": min(height or 3_000, sizes["height"]),
        "scale": 1,
    }
    told = {"format": "png", "captureBeyondViewport": True, "clip": clip}
    taken = browser.driver.execute_cdp_cmd("Page.captureScreenshot", told)["data"]
    file.write_bytes(base64.b64decode(taken))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
