"""What a bare server makes of values: which it takes, filters by, counts and sums."""

from __future__ import annotations

from typing import Any

import pytest
from weaviate.classes.aggregate import Metrics
from weaviate.classes.data import DataObject
from weaviate.classes.query import Filter
from weaviate.exceptions import UnexpectedStatusCodeError, WeaviateQueryError

from tests.stores.weaviate.bare import Server, id_of, refusal, vectors

SHARE = Metrics("share").number(sum_=True, count=True)
TEXT = Filter.by_property("_key")
WHOLE = Metrics("whole").integer(sum_=True, count=True)


def summed(
    collection: Any, condition: Any = None
) -> tuple[int, int, float | None, int, int | None]:
    """Return the count of objects, and count and sum of both kinds of number."""
    told = collection.aggregate.over_all(
        total_count=True, filters=condition, return_metrics=[SHARE, WHOLE]
    )
    share, whole = told.properties["share"], told.properties["whole"]
    return told.total_count, share.count, share.sum_, whole.count, whole.sum_


def keys(found: Any) -> set[int]:
    return {each.uuid.int - 1 for each in found.objects}


def test_numbers_are_counted_and_summed_and_absent_ones_are_not(any_server: Server) -> None:
    made = any_server.make()
    assert summed(made) == (0, 0, None, 0, None)
    made.data.insert_many(any_server.objects(range(10), vectors(10), share=0.25))
    made.data.insert_many([DataObject(properties={"kept": "no number"}, uuid=id_of(10))])
    assert summed(made) == (11, 10, 2.5, 10, 45)
    assert summed(made, Filter.by_property("whole").less_than(4)) == (4, 4, 1.0, 4, 6)
    assert summed(made, Filter.by_property("whole").equal(99)) == (0, 0, None, 0, None)
    # What is written again counts once, what is deleted not at all.
    made.data.insert_many(any_server.objects(range(2), vectors(2), share=8.0))
    made.data.delete_many(where=Filter.by_id().contains_any([id_of(9), id_of(99)]))
    assert summed(made) == (10, 9, 17.75, 9, 36)


def test_numbers_of_31_bits_are_summed_to_the_last_digit(any_server: Server) -> None:
    made = any_server.make()
    large = 2**31 - 1
    objects = any_server.objects(range(200), vectors(200), share=float(large), whole=large)
    made.data.insert_many(objects)
    assert summed(made) == (200, 200, 200.0 * large, 200, 200 * large)


def test_each_tenant_is_summed_alone(any_server: Server) -> None:
    made = any_server.make(tenants=True)
    for name, count in (("one", 2), ("two", 5)):
        objects = any_server.objects(range(count), vectors(count), share=1.0)
        made.with_tenant(name).data.insert_many(objects)
    assert summed(made.with_tenant("one")) == (2, 2, 2.0, 2, 1)
    assert summed(made.with_tenant("two")) == (5, 5, 5.0, 5, 10)


def test_what_is_not_indexed_or_not_there_cannot_be_summed(any_server: Server) -> None:
    made = any_server.make()
    path = f"/schema/{made.name}/properties"
    any_server.ask("POST", path, {"name": "hid", "dataType": ["number"], "indexFilterable": False})
    made.data.insert_many(any_server.objects([0], vectors(1), hid=1.0))
    with pytest.raises(WeaviateQueryError, match="could not find bucket for prop hid"):
        made.aggregate.over_all(return_metrics=Metrics("hid").number(sum_=True))
    with pytest.raises(WeaviateQueryError, match="no such prop with name 'none' found in class"):
        made.aggregate.over_all(return_metrics=Metrics("none").number(sum_=True))


def test_many_keys_are_asked_for_at_once(any_server: Server) -> None:
    made = any_server.make()
    made.data.insert_many(any_server.objects(range(20), vectors(20)))
    wanted = [f"key {number}" for number in range(5, 5_000)]
    asked = Filter.by_property("_key").contains_any(wanted)
    assert keys(made.query.fetch_objects(filters=asked, limit=100)) == set(range(5, 20))
    # A key is one word: no part of one is found, and no other case.
    for other in ("key", "KEY 5", "key 5 "):
        asked = Filter.by_property("_key").contains_any([other])
        assert keys(made.query.fetch_objects(filters=asked)) == (
            {5} if other == "key 5 " else set()
        )


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        (TEXT.equal(""), {0, 1}),
        (TEXT.equal(" b"), {2, 3}),
        (TEXT.not_equal(""), {2, 3, 4, 5}),
        (TEXT.less_than("c"), {0, 1, 2, 3, 5}),
        (TEXT.less_or_equal(""), {0, 1}),
        (TEXT.greater_or_equal(""), {0, 1, 2, 3, 5}),
        (TEXT.greater_than(""), {2, 3, 5}),
        (TEXT.contains_any(["", "b"]), {0, 1, 2, 3}),
        (TEXT.contains_none(["", "b"]), {4, 5}),
    ],
    ids=lambda each: "" if isinstance(each, set) else f"{each.operator.value} {each.value!r}",
)
def test_an_empty_text_is_a_text_before_all_others(
    any_server: Server, condition: Any, expected: set[int]
) -> None:
    made = any_server.make()
    texts = ["", " ", "b", " b ", None, "B"]
    objects = [
        DataObject(properties={} if text is None else {"_key": text}, uuid=id_of(number))
        for number, text in enumerate(texts)
    ]
    assert not made.data.insert_many(objects).errors
    assert keys(made.query.fetch_objects(filters=condition, limit=20)) == expected


def test_what_is_indexed_in_no_way_cannot_be_filtered_by(any_server: Server) -> None:
    made = any_server.make()
    with pytest.raises(WeaviateQueryError, match="Filtering by property 'kept' requires inverted"):
        made.query.fetch_objects(filters=Filter.by_property("kept").equal("a"))
    with pytest.raises(WeaviateQueryError, match="no such prop with name 'none' found in class"):
        made.query.fetch_objects(filters=Filter.by_property("none").equal("a"))


def test_a_delete_by_address_is_the_same_of_what_is_there_and_what_is_not(
    any_server: Server,
) -> None:
    made = any_server.make()
    made.data.insert_many(any_server.objects(range(2), vectors(2)))
    assert [made.data.delete_by_id(id_of(number)) for number in (0, 0, 9)] == [True] * 3
    assert keys(made.query.fetch_objects()) == {1}

    apart = any_server.make("apart", tenants=True).with_tenant("nobody")
    with pytest.raises(UnexpectedStatusCodeError, match="tenant not found"):
        apart.data.delete_by_id(id_of(0))


def test_a_cursor_goes_with_neither_filter_nor_offset(any_server: Server) -> None:
    made = any_server.make()
    with pytest.raises(WeaviateQueryError, match="where cannot be set with after"):
        made.query.fetch_objects(after=id_of(1), filters=Filter.by_property("whole").equal(1))
    with pytest.raises(WeaviateQueryError, match="offset cannot be set with after"):
        made.query.fetch_objects(after=id_of(1), offset=1, limit=1)


@pytest.mark.parametrize("number", [2**53, -(2**63), 2**62])
def test_integers_that_a_double_holds_come_back(any_server: Server, number: int) -> None:
    made = any_server.make()
    made.data.insert_many(any_server.objects([0], vectors(1), whole=number))
    assert made.query.fetch_object_by_id(id_of(0)).properties["whole"] == number


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("whole", 2**63 - 1, "requires an integer, the given value is '9.223372036854776e"),
        ("whole", 1.5, "requires an integer, the given value is '1.5'"),
        ("whole", "x", "requires an integer, the given value is 'x'"),
        ("share", float("nan"), "requires a float, the given value is 'NaN'"),
        ("share", float("inf"), "requires a float, the given value is 'Infinity'"),
        ("share", True, "requires a float, the given value is 'true'"),
        ("_key", 5, "not a string, but float64"),
        ("_key", True, "not a string, but bool"),
    ],
)
def test_a_value_of_another_type_is_refused_alone(
    any_server: Server, name: str, value: object, said: str
) -> None:
    made = any_server.make()
    (bad,) = any_server.objects([0], vectors(1), **{name: value})
    (good,) = any_server.objects([1], vectors(1))
    errors = made.data.insert_many([bad, good]).errors
    assert list(errors) == [0]
    assert said in errors[0].message
    assert keys(made.query.fetch_objects()) == {1}


def test_what_has_no_property_is_refused_without_auto_schema(any_server: Server) -> None:
    made = any_server.make()
    said = refusal(made, any_server.objects([0], vectors(1), more="x"))
    assert "no such prop with name 'more' found in class" in said
