"""What the console shows of lenses, and what its buttons do."""

from __future__ import annotations

import socket
from datetime import timedelta

import pytest
from sqlalchemy import update

from semilayer_pipelines.config.models import SourceConfig
from semilayer_pipelines.control.rollback import MARGIN
from semilayer_pipelines.http.contract import Mode
from semilayer_pipelines.ingest.retention import KEEP_RETIRED
from semilayer_pipelines.registry import failed_rows, jobs, lenses, sources, tables
from semilayer_pipelines.registry.heartbeats import DAEMON, Heart
from semilayer_pipelines.registry.jobs import Job
from semilayer_pipelines.registry.lenses import LensStatus
from tests.lab import ENV, Lab
from tests.webhook.console.site import Viewer, words
from webhook.console.pages import rows

LENSES = f"/console/{ENV}/lenses"
ITEMS = f"{LENSES}/items"


def status_of(lab: Lab) -> LensStatus:
    return lab.lens.status


def last_job(lab: Lab) -> Job:
    with lab.project.registry.read() as db:
        return jobs.recent(db, lens_id=lab.lens.id, limit=1)[0]


def failing(lab: Lab, error: str, cure: str) -> None:
    with lab.project.registry.begin() as db:
        now = lab.project.clock()
        lenses.set_failing(db, lab.lens.id, error=error, cure=cure, needs_you=True, now=now)


def first_look(lab: Lab, path: str) -> str:
    """Return the text of a page of a server that has read nothing yet."""
    with Viewer.of(lab.project) as viewer:
        assert viewer.sign_in().status_code == 303
        return viewer.page(path)


def test_a_lens_that_is_well_tells_its_rows_and_how_far_it_is_behind(viewer: Viewer) -> None:
    told = viewer.page(LENSES)

    assert "items Ready" in told
    assert "Rows 20 Vectors 20 Behind" in told
    assert "Failed rows 0" in told
    assert "Rows per second" in told
    assert "<path d=" in viewer.get(LENSES).text


def test_a_lens_in_trouble_comes_first_with_its_cause_and_the_button_that_mends_it(
    viewer: Viewer, lab: Lab
) -> None:
    lab.push("also")
    failing(lab, "The password is wrong.", "Correct it, then `semilayer resume --lens items`.")

    text = viewer.get(LENSES).text

    told = words(text)
    assert told.index("items Needs you") < told.index("also Not started")
    assert "The password is wrong. Correct it, then Resume ." in told
    assert 'id="resume-items" class="first"' in text
    assert "semilayer resume" not in told


def test_a_guard_that_stopped_is_passed_by_a_button_that_asks_first(
    viewer: Viewer, lab: Lab
) -> None:
    with lab.source() as db:
        db.execute("DELETE FROM items")
    with pytest.raises(Exception, match="Its guard allows 0"):
        lab.sync()

    assert "Allow the deletes…" in viewer.page(LENSES)
    asked = f"{ITEMS}/do/allow-deletes"
    assert "if you know that the rows are really gone" in viewer.page(asked)
    viewer.after(viewer.send(asked, asked))

    assert last_job(lab).confirmed


def test_a_lens_is_paused_and_resumed(viewer: Viewer, lab: Lab) -> None:
    told = viewer.after(viewer.send(LENSES, f"{ITEMS}/do/pause"))
    assert "items is paused" in told
    assert "items Paused" in told
    assert status_of(lab) is LensStatus.PAUSED

    told = viewer.after(viewer.send(LENSES, f"{ITEMS}/do/resume"))
    assert "items Ready" in told
    assert status_of(lab) is LensStatus.READY


def test_a_sync_is_asked_for_and_is_shown_as_a_job_of_the_console(viewer: Viewer, lab: Lab) -> None:
    back = viewer.send(ITEMS, f"{ITEMS}/do/sync")

    assert back.headers["location"] == ITEMS
    assert "smart sync queued" in viewer.after(back)
    assert (last_job(lab).mode, last_job(lab).origin) == (Mode.SMART_SYNC, "console")


def test_a_rebuild_tells_its_price_first(viewer: Viewer, lab: Lab) -> None:
    asked = f"{ITEMS}/do/rebuild"

    told = viewer.page(asked)
    assert "Rows 20" in told
    assert "only those that changed: vectors are taken over" in told
    assert last_job(lab).mode is not Mode.FULL or last_job(lab).status == "completed"

    viewer.after(viewer.send(asked, asked))
    assert (last_job(lab).mode, last_job(lab).origin) == (Mode.FULL, "console")


def test_a_rebuild_that_drops_its_index_first_tells_that_everything_is_embedded(
    viewer: Viewer, lab: Lab
) -> None:
    lab.push(rebuild="in_place")

    asked = viewer.page(f"{ITEMS}/do/rebuild")

    assert "20: no vectors are left to take over" in asked
    assert "searches find nothing until the rebuild is done" in asked


def test_a_rebuild_with_another_model_tells_that_everything_is_embedded(
    viewer: Viewer, lab: Lab
) -> None:
    lab.push(embedding={"provider": "hash", "dimensions": 8})

    assert "20: the model is another one" in viewer.page(f"{ITEMS}/do/rebuild")
    assert "It needs a rebuild: Resume" in viewer.page(ITEMS)


def test_a_rollback_serves_the_index_before(viewer: Viewer, lab: Lab) -> None:
    lab.full()
    asked = f"{ITEMS}/do/rollback"
    assert "Roll items back?" in viewer.page(asked)

    told = viewer.after(viewer.send(asked, asked))

    assert "Index 1 of items serves again" in told


def test_a_rollback_is_offered_for_the_lens_whose_earlier_index_is_kept_and_no_other(
    lab: Lab,
) -> None:
    # given two lenses that were built once
    lab.push("others")
    Lab(lab.project, lab.folder, name="others").full()
    assert "Rebuild…" in first_look(lab, ITEMS)
    assert "Roll back" not in first_look(lab, ITEMS)

    # when one is built again
    lab.full()

    # then
    assert "Roll back…" in first_look(lab, ITEMS)
    assert first_look(lab, LENSES).count("Roll back…") == 1

    # and no longer when its earlier index is about to be dropped
    with lab.project.registry.begin() as db:
        then = lab.project.clock() - KEEP_RETIRED + MARGIN / 2
        of_items = tables.generations.c.retired_at.is_not(None)
        db.execute(update(tables.generations).where(of_items).values(retired_at=then))
    assert "Roll back" not in first_look(lab, ITEMS)


def test_what_cannot_be_done_is_told_with_the_way_back(viewer: Viewer) -> None:
    refused = viewer.get(f"{ITEMS}/do/rollback")

    assert refused.status_code == 409
    assert "No earlier index of it is kept." in words(refused.text)
    assert "Rebuild makes a new one" in words(refused.text)


@pytest.mark.parametrize("path", ["itmes", "items/do/explode", "1%00", "items/nothing"])
def test_what_is_not_there_is_told(viewer: Viewer, path: str) -> None:
    missing = viewer.get(f"{LENSES}/{path}")

    assert missing.status_code == 404
    assert "That did not work" in words(missing.text)


def test_a_banner_tells_that_nothing_runs_jobs_until_the_daemon_ticks(
    viewer: Viewer, lab: Lab
) -> None:
    assert "Nothing runs jobs" in viewer.page(LENSES)

    Heart(DAEMON).beat(lab.project.registry, lab.project.clock())
    viewer.send(LENSES, f"{ITEMS}/do/pause")  # what was kept is read again
    assert "Nothing runs jobs" not in viewer.page(LENSES)

    Heart(DAEMON).beat(lab.project.registry, lab.project.clock() - timedelta(minutes=5))
    viewer.send(LENSES, f"{ITEMS}/do/resume")
    assert "was last at work 5 min ago" in viewer.page(LENSES)


def test_failed_rows_are_listed_page_by_page_and_tried_again(viewer: Viewer, lab: Lab) -> None:
    failed = {f"r{number:03}": ("mapping", f"<b>reason {number}</b>") for number in range(60)}
    with lab.project.registry.begin() as db:
        failed_rows.record(db, lab.lens.id, failed, job_id="j", now=lab.project.clock())

    first, second = viewer.get(f"{ITEMS}/failed").text, viewer.page(f"{ITEMS}/failed?page=2")

    assert "60 rows could not be indexed" in words(first)
    assert "&lt;b&gt;reason 0&lt;/b&gt;" in first
    assert ("r000" in words(first), "r000" in second) == (True, False)
    assert "r059" in second
    viewer.after(viewer.send(f"{ITEMS}/failed", f"{ITEMS}/do/retry"))
    assert last_job(lab).mode is Mode.RECORDS


@pytest.mark.parametrize("page", ["0", "-1", "²", "x", "9" * 9, "9" * 5_000])
def test_a_page_that_there_is_not_is_the_first_or_the_last(page: str, viewer: Viewer) -> None:
    assert "No row is set aside." in viewer.page(f"{ITEMS}/failed?page={page}")
    assert "items Ready" in viewer.page(f"{LENSES}?page={page}")


def test_jobs_are_found_by_state_lens_and_mode(viewer: Viewer, lab: Lab) -> None:
    lab.sync()
    jobs_page = f"/console/{ENV}/jobs"

    assert "smart sync completed" in viewer.page(jobs_page)
    assert "full completed" in viewer.page(f"{jobs_page}?mode=full&lens=items&status=completed")
    assert "smart sync completed" not in viewer.page(f"{jobs_page}?mode=full")
    assert "No job." in viewer.page(f"{jobs_page}?status=failed")


@pytest.mark.parametrize(
    ("asked", "code", "says"),
    [
        (
            "status=fialed",
            400,
            "There is no status 'fialed' (did you mean 'failed'?). Choose one of: ",
        ),
        ("status=completed&mode=smart", 400, "There is no mode 'smart'"),
        ("lens=itms", 404, "There is no lens 'itms'"),
    ],
)
def test_jobs_of_a_state_lens_or_mode_that_there_is_not_are_not_all_jobs(
    viewer: Viewer, asked: str, code: int, says: str
) -> None:
    wrong = viewer.get(f"/console/{ENV}/jobs?{asked}")

    assert wrong.status_code == code
    assert says in words(wrong.text)
    assert "full completed" not in words(wrong.text)


def test_a_job_is_told_page_by_page_with_its_whole_error(viewer: Viewer, lab: Lab) -> None:
    with lab.source() as db:
        db.execute("UPDATE items SET price = 'none' WHERE id = 1")
    lab.sync()

    told = viewer.page(f"/console/{ENV}/jobs/{last_job(lab).id}")

    assert "Smart sync of items" in told
    assert "Read 20" in told
    assert "Rows per second, page by page" in told
    assert "Set aside by this job" in told


def test_a_row_is_shown_beside_its_fields_and_what_becomes_of_it(viewer: Viewer) -> None:
    assert f'data-load="{ITEMS}/row/live?id=3"' in viewer.get(f"{ITEMS}/row?id=3").text

    told = viewer.page(f"{ITEMS}/row/live?id=3")

    assert "Row 3 It is indexed as it is in the source." in told
    assert "The text that is embedded" in told
    assert "the same" in told


def test_without_an_id_the_first_row_is_shown_and_the_next_ones_follow(viewer: Viewer) -> None:
    first = viewer.get(f"{ITEMS}/row/live").text
    assert "Row 1 " in words(first)

    after = first.split("/row?after=")[1].split('"')[0]
    assert "Row 2 " in viewer.page(f"{ITEMS}/row/live?after={after}")
    assert "names no row" in viewer.page(f"{ITEMS}/row/live?after=!!")


def test_a_row_that_cannot_be_mapped_says_why(viewer: Viewer, lab: Lab) -> None:
    with lab.source() as db:
        db.execute("UPDATE items SET price = 'none' WHERE id = 1")

    assert "It cannot be mapped" in viewer.page(f"{ITEMS}/row/live?id=1")


def test_a_source_that_is_away_takes_no_page_down(viewer: Viewer, lab: Lab) -> None:
    lab.database.unlink()

    told = viewer.page(f"{ITEMS}/row/live?id=1")
    assert "The row cannot be shown." in told
    assert "Fields" in told
    for page in ("", "/items", "/items/row", "/items/search", "/items/failed"):
        assert "items" in viewer.page(f"{LENSES}{page}")


def test_values_of_rows_are_escaped_and_cut(viewer: Viewer, lab: Lab) -> None:
    with lab.source() as db:
        db.execute("UPDATE items SET name = '<script>alert(1)</script>' WHERE id = 1")
        db.execute("UPDATE items SET description = ? WHERE id = 1", ["x" * 50_000])

    text = viewer.get(f"{ITEMS}/row/live?id=1").text

    assert "<script>alert" not in text
    assert "&lt;script&gt;alert(1)" in text
    assert "characters more" in text
    assert "x" * 3_000 not in text


def test_a_search_shows_its_hits_and_leads_to_each_row(viewer: Viewer, lab: Lab) -> None:
    text = viewer.get(f"{ITEMS}/search?q=item").text

    assert "20 rows" in words(text)
    assert f'href="{ITEMS}/row?id=1"' in text
    assert "rows like row 1" in viewer.page(f"{ITEMS}/search?like=1")


def test_a_search_takes_conditions_on_fields(viewer: Viewer) -> None:
    condition = "field0=price&is0=$lt&value0=0"

    assert "Nothing was found" in viewer.page(f"{ITEMS}/search?q=item&{condition}")
    wrong = viewer.page(f"{ITEMS}/search?q=item&field0=price&is0=$lt&value0=cheap")
    assert "'cheap' is not a number" in wrong
    assert "needs keywords" in viewer.page(f"{ITEMS}/search?q=item&mode=keyword")


def test_a_change_of_an_unknown_kind_is_told_on_the_page_of_the_search(viewer: Viewer) -> None:
    assert "there is no operator" in viewer.page(
        f"{ITEMS}/search?q=item&field0=price&is0=$like&value0=1"
    )


def test_a_source_that_never_answers_is_waited_for_no_longer_than_told(
    viewer: Viewer, lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given a server that takes connections and says nothing
    monkeypatch.setattr(rows, "MODEL_SECONDS", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        away = f"postgresql://127.0.0.1:{silent.getsockname()[1]}/shop"
        source = SourceConfig.model_validate({"bridge": "sql", "connection": away})
        with lab.project.registry.begin() as db:
            sources.put(db, lab.lens.env_id, "main", source)

        # when, then
        assert "There was no answer within" in viewer.page(f"{ITEMS}/row/live?id=1")
        assert "items Ready" in viewer.page(LENSES)


def test_many_lenses_are_shown_page_by_page_with_those_in_trouble_first(
    viewer: Viewer, lab: Lab
) -> None:
    lens, now = lab.lens, lab.project.clock()
    with lab.project.registry.begin() as db:
        for number in range(60):
            name = f"more{number:02}"
            lenses.register(
                db, lens.env_id, name, lens.config, needs=lens.needs, origin="cli", now=now
            )
    failing(lab, "It failed.", "")

    first, second = viewer.page(LENSES), viewer.page(f"{LENSES}?page=2")

    assert first.index("items Needs you") < first.index("more00 Not started")
    assert ("more48" in first, "more49" in first, "Page 1 of 2" in first) == (True, False, True)
    assert ("more49" in second, "more59" in second, "items" in second) == (True, True, False)
