"""Aggregates: how many objects, and the count and sum of their numbers."""

from __future__ import annotations

from typing import Any

from weaviate.proto.v1 import aggregate_pb2

from tests.weaviate_double.rules import Refused
from tests.weaviate_double.search import matching
from tests.weaviate_double.shard import Collection

_Reply = aggregate_pb2.AggregateReply
_One = _Reply.Aggregations.Aggregation


def aggregate(collection: Collection, request: Any) -> Any:
    """Answer for the objects of one shard, or for those that a filter lets through."""
    filtered = request.HasField("filters")
    ids = matching(collection, request.filters) if filtered else list(collection.objects)
    single = _Reply.Single()
    if request.objects_count:
        single.objects_count = len(ids)
    if request.aggregations:
        # Numbers come from the inverted index, the count of all objects does not.
        values = [collection.objects[id_].properties for id_ in ids if collection.lists(id_)]
        single.aggregations.aggregations.extend(
            _numbers(collection.config, asked, values, filtered) for asked in request.aggregations
        )
    return _Reply(took=0.0, single_result=single)


def _numbers(config: dict[str, Any], asked: Any, objects: list[Any], filtered: bool) -> Any:
    name = asked.property
    known = {each["name"]: each for each in config["properties"]}
    about = f"aggregate: shard one: aggregate properties: property {name}: "
    if name not in known:
        raise Refused(
            f"{about}property {name}: no such prop with name '{name}' found in class "
            f"'{config['class']}' in the schema. Check your schema files for which properties in "
            "this class are available"
        )
    if not (known[name]["indexFilterable"] or filtered):
        # Without a filter only what is in the inverted index is looked at.
        raise Refused(f"{about}could not find bucket for prop {name}")
    wanted = getattr(asked, asked.WhichOneof("aggregation"))
    values = [each[name] for each in objects if name in each]
    # The answer has the type of the property, whatever the request said.
    integer = known[name]["dataType"] == ["int"]
    made: Any = _One.Integer() if integer else _One.Number()
    if wanted.count:
        made.count = len(values)
    if wanted.sum and values:
        total = sum(float(value) for value in values)
        made.sum = int(total) if integer else total
    return _One(property=name, **{"int" if integer else "number": made})
