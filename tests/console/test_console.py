"""A person who has never seen a terminal, at a real browser: every page, and what it is for."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from selenium.common.exceptions import StaleElementReferenceException
from selenium.webdriver.remote.webelement import WebElement

from semilayer_pipelines.control.export import plan_export, write_export
from semilayer_pipelines.registry import lenses
from semilayer_pipelines.registry.lenses import Lens, LensStatus
from tests.console.browser import Browser, opened
from tests.console.screenshots import PAGES
from tests.console.serving import served
from tests.console.showcase import ENV, Showcase

LENSES = f"/console/{ENV}/lenses"


@pytest.fixture(scope="module")
def showcase(tmp_path_factory: pytest.TempPathFactory) -> Showcase:
    return Showcase(tmp_path_factory.mktemp("showcase"))


@pytest.fixture(scope="module")
def signed_in(showcase: Showcase) -> Iterator[Browser]:
    with served(showcase) as url, opened(url) as browser:
        for key in showcase.keys.values():
            browser.go("/console/-/sign-in")
            browser.find("#key").send_keys(key)
            browser.press("Sign in")
        yield browser


@pytest.fixture
def browser(signed_in: Browser) -> Iterator[Browser]:
    """A browser that has nothing to complain of: no script, style or address that it refused."""
    assert signed_in.complaints == []
    yield signed_in
    assert signed_in.complaints == []


def lens(showcase: Showcase, name: str) -> Lens:
    with showcase.project.registry.read() as db:
        return lenses.get(db, ENV, name)


def test_every_page_is_shown_and_fits_a_narrow_screen(browser: Browser) -> None:
    size = {"width": 400, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    browser.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    for path in PAGES.values():
        browser.go(path)
        browser.wait(lambda: not browser.driver.find_elements("css selector", "[aria-busy]"))

        assert "That did not work" not in browser.text, path
        width = browser.driver.execute_script("return document.documentElement.scrollWidth")
        assert width <= 400, (path, width)
    browser.driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_a_row_is_loaded_beside_the_fields_and_is_no_markup(browser: Browser) -> None:
    browser.go(PAGES["row"])

    browser.sees("It is indexed as it is in the source.")
    assert "<p>900 ml, boils in three minutes" in browser.text


def test_a_search_finds_rows_and_leads_to_one(browser: Browser) -> None:
    browser.go(f"{LENSES}/products/search")
    browser.find("#q").send_keys("waterproof jacket")
    browser.press("Search")
    browser.sees("20 rows, the best ones")

    browser.find(".hit h2 a").click()
    browser.sees("It is indexed as it is in the source.")


def test_a_lens_is_paused_and_goes_on(browser: Browser, showcase: Showcase) -> None:
    browser.go(f"{LENSES}/products")
    browser.press("Pause")
    browser.sees("products is paused")
    assert lens(showcase, "products").status is LensStatus.PAUSED

    browser.press("Resume")
    browser.sees("products goes on")
    assert lens(showcase, "products").status is LensStatus.READY


def test_a_page_that_is_left_open_shows_what_happens_elsewhere(
    browser: Browser, showcase: Showcase
) -> None:
    browser.go(LENSES)
    browser.sees("Nothing runs jobs")

    showcase.tick()

    browser.wait(lambda: "Nothing runs jobs" not in browser.text)


def test_a_guard_that_stopped_is_understood_and_passed_by_pressing_what_it_names(
    browser: Browser, showcase: Showcase
) -> None:
    browser.go(LENSES)
    browser.sees("The sync would delete 260 of 300 indexed rows")

    browser.press("Allow the deletes…")
    browser.sees("if you know that the rows are really gone")
    browser.press("Allow the deletes")

    browser.sees("orders goes on: a sync, queued.")


def test_a_change_made_here_is_drift_that_an_export_takes_into_the_file(
    browser: Browser, showcase: Showcase
) -> None:
    browser.go(f"{LENSES}/reviews/settings")
    browser.find("#guard").clear()
    browser.find("#guard").send_keys("12")
    browser.find("option[value=truncate]").click()
    browser.press("Add")
    browser.find("[name='text.step.0.length']").send_keys("80")
    browser.press("Save")

    browser.sees("Changed since the last push")
    browser.sees("+ guard: 0.12")
    write_export(plan_export(showcase.project, ENV))
    file = (showcase.folder / "sl.config.yaml").read_text()
    assert "guard: 0.12" in file
    assert "length: 80" in file


def test_what_is_typed_is_kept_while_the_page_behind_it_changes(browser: Browser) -> None:
    browser.go(f"/console/{ENV}/jobs")
    browser.driver.execute_script("document.getElementById('status').focus()")
    before = browser.find("#live-time").text

    browser.wait(lambda: browser.find("#live-time").text != before)

    assert browser.driver.switch_to.active_element.get_attribute("id") == "status"


def test_a_text_that_is_marked_stays_until_it_is_copied(browser: Browser) -> None:
    browser.go(f"/console/{ENV}/jobs")
    marked = browser.driver.execute_script(
        "getSelection().selectAllChildren(document.querySelector('#live-jobs tbody tr td'));"
        "return String(getSelection())"
    )
    assert marked

    browser.sees("Not renewed while a text is marked.")

    assert browser.driver.execute_script("return String(getSelection())") == marked
    browser.driver.execute_script("getSelection().removeAllRanges()")
    browser.wait(lambda: browser.find("#live-note").text == "")


def test_a_link_that_the_keyboard_is_at_stays_where_it_is(browser: Browser) -> None:
    browser.go(f"/console/{ENV}/jobs")
    link = browser.find("#live-jobs tbody tr:nth-child(2) td:nth-child(2) a")
    browser.driver.execute_script("arguments[0].focus()", link)
    browser.wait(lambda: _is_replaced(link))

    at = browser.driver.switch_to.active_element

    assert at.id == browser.find("#live-jobs tbody tr:nth-child(2) td:nth-child(2) a").id


def _is_replaced(element: WebElement) -> bool:
    try:
        return not element.is_displayed()
    except StaleElementReferenceException:
        return True


def test_a_database_that_is_away_is_told_in_the_place_of_the_row(
    browser: Browser, showcase: Showcase
) -> None:
    away = showcase.database.rename(showcase.folder / "away.db")
    try:
        browser.go(f"{LENSES}/products/row?id=3")
        browser.sees("The row cannot be shown.")
        browser.sees("htmlToText")
    finally:
        away.rename(showcase.database)


def test_a_key_is_made_and_its_text_is_shown_once(browser: Browser) -> None:
    browser.go(f"/console/{ENV}/keys")
    browser.find("#name").send_keys("web shop")
    browser.press("Make a key")

    text = browser.find("#new-key").text
    assert text.startswith(f"ik_{ENV}_")
    browser.go(f"/console/{ENV}/keys")
    browser.sees("web shop")
    assert text not in browser.text


def test_a_lens_is_taken_to_another_environment(browser: Browser) -> None:
    browser.go(PAGES["compare"])
    browser.press("Copy to staging…")
    browser.press("Copy it")

    browser.sees("staging has articles of production.")
