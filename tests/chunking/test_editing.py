"""An edit changes the chunks that it is in: the borders find back."""

from __future__ import annotations

import pytest

from semilayer_pipelines.mapping.plan import TEXT
from tests.chunking.making import made, rows, sentences

NEW = "This sentence is new here, and nobody has read it before. "


def paragraphs(count: int) -> str:
    return "\n\n".join(sentences(5, first=5 * n) for n in range(count))


@pytest.mark.parametrize("changed", [{}, {"chunking": {"overlap": 30}}], ids=["alone", "overlap"])
@pytest.mark.parametrize("body", [sentences(2_200), paragraphs(440)], ids=["prose", "paragraphs"])
def test_a_sentence_in_front_changes_at_most_three_of_a_hundred_chunks(
    body: str, changed: dict[str, object]
) -> None:
    cut = made(**changed)
    before = set(cut.split(rows(("T", body)))[TEXT])
    assert len(before) > 100

    # Every length, because each shifts what fits into the first chunk.
    for length in range(5, len(NEW)):
        after = cut.split(rows(("T", NEW[:length].strip() + ". " + body)))[TEXT]
        assert sum(text not in before for text in after) <= 3


@pytest.mark.parametrize("at", [0.1, 0.5, 0.9])
def test_a_sentence_in_the_middle_and_one_less_change_few_chunks(at: float) -> None:
    cut = made()
    parts = sentences(2_200).split(". ")
    middle = int(len(parts) * at)
    before = set(cut.split(rows(("T", ". ".join(parts))))[TEXT])

    more = ". ".join([*parts[:middle], NEW.strip(". "), *parts[middle:]])
    less = ". ".join([*parts[:middle], *parts[middle + 1 :]])

    for body in (more, less):
        assert sum(text not in before for text in cut.split(rows(("T", body)))[TEXT]) <= 4
