"""A condition proves nothing about unwritten rows unless it looks at its row alone."""

from __future__ import annotations

import pytest

from semilayer_pipelines.ingest.steady import looks_at_its_row_alone

COLUMNS = ("id", "status", "Price", "deleted_at", "a b", "now")


@pytest.mark.parametrize(
    "condition",
    [
        "status = 'published'",
        "deleted_at IS NULL AND status IN ('a', 'it''s')",
        "NOT (price BETWEEN 1.5 AND 2) OR status LIKE 'x%'",
        "status <> '' and id % 2 = 0 and id - 1 >= 5",
        '"a b" = 1 AND `Price` > 2',
        "status IS NOT NULL",
    ],
)
def test_a_plain_condition_looks_at_its_row_alone(condition: str) -> None:
    assert looks_at_its_row_alone(condition, COLUMNS)


@pytest.mark.parametrize(
    "condition",
    [
        "deleted_at > now()",
        "now () > deleted_at",
        "deleted_at > CURRENT_TIMESTAMP",
        "deleted_at > 'now'",
        "deleted_at > ' TODAY '",
        "deleted_at::date < 'yesterday'",
        "id IN (SELECT id FROM others)",
        "lower(status) = 'x'",
        "status = current_user",
        "status = user",
        "id = other",
        "xmin::text = '5'",
        "status = 'a\\' or 1 = random() or status = '",
        "id = 1 -- and so on",
        "id = 1 /* or */",
        "id @@ 5",
        "status = $1",
        "status = 'open",
    ],
)
def test_whatever_may_look_elsewhere_does_not(condition: str) -> None:
    assert not looks_at_its_row_alone(condition, (*COLUMNS, "user"))
