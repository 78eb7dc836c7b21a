"""An id that would spoil a whole batch is refused before it is in one."""

import pytest

from semilayer_pipelines.client import Action, Change, InvalidChange


@pytest.mark.parametrize(
    ("id", "reason"),
    [
        ("", "empty"),
        ("x" * 513, "513 characters"),
        ("a\0b", "NUL"),
        ("\ud83d", "surrogate"),
        (42, "write str"),
        (None, "not a text"),
    ],
)
def test_an_id_that_the_service_refuses_is_refused_with_the_reason(id: str, reason: str) -> None:
    with pytest.raises(InvalidChange, match=reason):
        Change(id, Action.UPSERT)


@pytest.mark.parametrize("id", ["42", " ", "x" * 512, '["7","en"]', "🜚", "\u0001"])
def test_any_other_text_is_an_id(id: str) -> None:
    assert Change(id, Action.DELETE).id == id


def test_an_action_may_be_written_as_text_and_nothing_else_is_one() -> None:
    assert Change("1", "delete").action is Action.DELETE  # type: ignore[arg-type]
    with pytest.raises(InvalidChange, match="neither"):
        Change("1", "insert")  # type: ignore[arg-type]
