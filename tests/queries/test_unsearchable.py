"""A row that is held and that no search finds is found out, told, and written again."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import polars as pl
import pytest

from semilayer_pipelines.control import lifecycle
from semilayer_pipelines.control.verify import verify_lens
from semilayer_pipelines.queries.audit import audit
from semilayer_pipelines.queries.explain import explain
from semilayer_pipelines.queries.findings import OUT_OF_REACH, Audit, Depth, Kind
from semilayer_pipelines.queries.unsearchable import ASKED_AT_ONCE, CROWD, Unsearchable
from semilayer_pipelines.registry import marked_rows
from semilayer_pipelines.registry.marked_rows import Fault
from semilayer_pipelines.registry.store_watch import LostToSearch, lost_to_search
from semilayer_pipelines.stores.lance.store import LanceStore
from semilayer_pipelines.stores.lance.upkeep import Bounds, maintain
from semilayer_pipelines.stores.protocol import TEXT_HASH
from tests.lab import ENV, Lab
from tests.lossy import LOST, lose_rows
from tests.meddling import Meddled
from tests.restarting import Served, Server
from tests.stores.objects import ONE_FIELD, hash_of, names, objects

ROWS = 300
SEARCH = Depth(search=True)


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    lab = Lab.at(tmp_path, rows=ROWS)
    lab.full()
    return lab


def verified(lab: Lab, depth: Depth = SEARCH, *, heal: bool = False) -> Audit:
    return verify_lens(lab.project, lab.lens, depth, heal=heal)


def healed(lab: Lab) -> int:
    """Heal, and return how many rows were recovered; nothing may be embedded for it."""
    job = lifecycle.request_heal(lab.project, ENV, "items", rebuild=False)
    counts = lab.run(job).counts
    assert counts.embedded == 0
    return counts.recovered


def numbers(lab: Lab) -> LostToSearch:
    with lab.project.registry.read() as db:
        return lost_to_search(db)


def test_rows_that_a_vector_index_lost_are_found_out_and_written_again(lab: Lab) -> None:
    # given an index that hashes, counts and scans call whole
    lost = lose_rows(lab, ROWS)
    assert verified(lab, Depth()).in_line

    # when every row is asked for
    found = verified(lab)

    # then
    assert not found.in_line
    assert found.found[Kind.HIDDEN].count == LOST
    assert {*found.found[Kind.HIDDEN].ids} <= {*lost}
    assert found.looked.searched == ROWS
    assert numbers(lab) == LostToSearch(known=LOST, recovered=0)

    # and without a wish to heal nothing changes that
    assert healed(lab) == 0
    assert not verified(lab).in_line

    # when it is healed, then every row is found
    verified(lab, heal=True)
    assert healed(lab) == LOST
    assert verified(lab).in_line
    assert lab.audit().clean
    assert numbers(lab) == LostToSearch(known=0, recovered=LOST)


def test_every_row_is_asked_for_though_a_writer_cleans_up_meanwhile(tmp_path: Path) -> None:
    # given an index in many files, and an older version of it that a scan would go over for hours
    index, files, rows = LanceStore(tmp_path, ENV).create("lens-g1", ONE_FIELD), 60, 200
    keys = names(files * rows)
    texts = pl.Series(TEXT_HASH, [hash_of(key) for key in keys])
    frame = objects(keys).with_columns(texts)
    for part in frame.iter_slices(rows):
        with index.lock():
            index.add(part)
    looking = Unsearchable(index, len(keys), None)

    # when all is written again, and what was before is removed
    def written_again(asked: int, _: int) -> None:
        if asked <= ASKED_AT_ONCE:
            with index.lock():
                index.upsert(frame)
                maintain(index._table, Bounds(kept_for=timedelta(0)))

    found = [key for keys in looking.find(written_again) for key in keys]

    # then
    assert (found, looking.asked) == ([], len(keys))


def test_a_sample_asks_for_so_many_rows_and_no_more(lab: Lab) -> None:
    lose_rows(lab, ROWS)

    found = verified(lab, Depth(search=True, sample=200))

    assert found.looked.searched == 200
    assert 0 < found.found[Kind.HIDDEN].count <= LOST
    # a part of the rows says nothing of the whole
    assert numbers(lab).known == 0


def test_explain_says_that_no_search_finds_a_row_and_what_to_do(lab: Lab) -> None:
    lost = lose_rows(lab, ROWS)

    told = explain(lab.project, ENV, "items", lost[0])
    other = explain(lab.project, ENV, "items", "1")

    assert told.indexed is not None
    assert told.indexed.hidden
    assert told.verdict == (
        "It is indexed as it is in the source, and no search finds it; "
        "`semilayer verify --lens items --search --heal` writes it again."
    )
    assert other.indexed is not None
    assert not other.indexed.hidden
    assert other.verdict == "It is indexed as it is in the source."


def test_explain_advises_no_healing_of_a_row_that_was_written_again_to_no_avail(lab: Lab) -> None:
    # given a row that is still hidden, and one that is found since it was marked
    lost = lose_rows(lab, ROWS)
    generation = verified(lab).generation_id
    assert generation is not None
    with lab.project.registry.begin() as db:
        marked_rows.mark(db, generation, Fault.UNREACHABLE, [lost[0], "1"])

    # when
    told, mended, other = (
        explain(lab.project, ENV, "items", key) for key in (lost[0], "1", lost[1])
    )

    # then
    assert told.indexed is not None
    assert told.indexed.hidden
    assert told.indexed.unreachable
    assert "--heal" not in told.verdict
    assert told.verdict.endswith(OUT_OF_REACH)
    assert mended.indexed is not None
    assert not mended.indexed.unreachable
    assert mended.verdict == "It is indexed as it is in the source."
    assert other.indexed is not None
    assert not other.indexed.unreachable
    assert "--heal` writes it again" in other.verdict


def test_many_rows_of_one_text_are_not_called_hidden(tmp_path: Path) -> None:
    # given more rows of one text than a search shows, in an index that knows all of them
    lab = Lab.at(tmp_path, rows=ROWS)
    with lab.source() as db:
        db.execute("UPDATE items SET name = 'same', description = 'same' WHERE id <= 150")
    lab.full()
    lost = lose_rows(lab, ROWS)

    found = verified(lab)

    assert found.looked.crowded == 150 > CROWD
    assert found.looked.searched == ROWS - 150
    assert {*found.found[Kind.HIDDEN].ids} <= {*lost}


def test_healing_goes_on_where_a_killed_run_left_it(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given chunks of ten rows, and a run that is stopped at the second
    lose_rows(lab, ROWS)
    from semilayer_pipelines.ingest import marked_rows as marked

    monkeypatch.setattr(marked, "LOOK_UP_ROWS", 10)
    verified(lab, heal=True)
    asked: list[str] = []

    def stop(verb: str) -> None:
        if verb == "rewrite":
            asked.append(verb)
            if len(asked) == 2:
                raise KeyboardInterrupt

    job = lifecycle.request_heal(lab.project, ENV, "items", rebuild=False)
    whole = lab.project
    lab.project = Meddled.of(whole, before=stop)
    with pytest.raises(KeyboardInterrupt):
        lab.run(job)
    lab.project = whole
    assert verified(lab).found[Kind.HIDDEN].count == LOST - 10

    # when, then
    assert healed(lab) == LOST - 10
    assert verified(lab).in_line


def test_a_row_that_is_found_by_now_is_not_written_again(lab: Lab) -> None:
    generation = verified(lab).generation_id
    assert generation is not None
    with lab.project.registry.begin() as db:
        marked_rows.mark(db, generation, Fault.HIDDEN, ["1", "2"])
    verbs: list[str] = []
    lab.project = Meddled.of(lab.project, before=verbs.append)

    assert healed(lab) == 0
    assert "rewrite" not in verbs


def test_a_restart_is_noticed_without_being_asked_for(lab: Lab) -> None:
    # given a server that crashed since the last write
    server = Server()
    lab.project = Served.of(lab.project, server)
    with lab.source() as db:
        db.execute("UPDATE items SET name = 'other' || id WHERE id <= 100")
    lab.sync()
    server.crash(rows=24)

    # when
    found = audit(lab.project, lab.lens)

    # then
    assert not found.in_line
    assert found.looked.restarted
    assert found.found[Kind.HIDDEN].count == 24
    assert healed(lab) == 24
    assert audit(lab.project, lab.lens).in_line
