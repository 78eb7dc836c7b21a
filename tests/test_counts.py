"""How fast it goes and how long it will take, in words."""

import pytest

from semilayer_pipelines.counts import Counts, Speed


@pytest.mark.parametrize(
    ("done", "rows_left", "said"),
    [
        (Counts(read=1_310, tokens=132_000), 62_000, "131 rows/s, 13,200 tokens/s, 8 min left"),
        (Counts(read=50), 100, "5 rows/s, 20 s left"),
        (Counts(read=50), None, "5 rows/s"),
        (Counts(read=50), -7, "5 rows/s, 0 s left"),  # the source grew meanwhile
        (Counts(), 100, "0 rows/s"),
    ],
)
def test_it_is_said_as_far_as_it_is_known(done: Counts, rows_left: int | None, said: str) -> None:
    assert str(Speed.of(done, 10, rows_left=rows_left)) == said
