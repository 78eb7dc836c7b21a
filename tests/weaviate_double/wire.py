"""Values on the wire: what a batch brings in, and what a search gives out."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from typing import Any

import numpy as np
from google.protobuf import struct_pb2  # type: ignore[import-untyped]
from numpy.typing import NDArray
from weaviate.proto.v1 import base_pb2, properties_pb2


def incoming(sent: Any) -> dict[str, Any]:
    """Return the properties of an object as they were sent; every number is a double."""
    values: dict[str, Any] = {}
    for name, value in sent.non_ref_properties.fields.items():
        kind = value.WhichOneof("kind")
        if kind not in (None, "null_value"):
            values[name] = getattr(value, kind)
    for each in sent.text_array_properties:
        values[each.prop_name] = list(each.values)
    for each in sent.int_array_properties:
        values[each.prop_name] = [float(number) for number in each.values]
    for each in sent.boolean_array_properties:
        values[each.prop_name] = list(each.values)
    for each in sent.number_array_properties:
        count = len(each.values_bytes) // 8
        values[each.prop_name] = list(struct.unpack(f"<{count}d", each.values_bytes))
    for name in sent.empty_list_props:
        values[name] = []
    return values


def vector_of(sent: Any) -> NDArray[np.float32] | None:
    """Return the vector of an object, named or not."""
    if sent.vectors:
        return np.frombuffer(sent.vectors[0].vector_bytes, dtype="<f4")
    return np.frombuffer(sent.vector_bytes, dtype="<f4") if sent.vector_bytes else None


def query_vector(near: Any) -> NDArray[np.float32]:
    """Return the vector of a search, however the client packed it."""
    for each in near.vector_for_targets:
        raw = each.vector_bytes or each.vectors[0].vector_bytes
        return np.frombuffer(raw, dtype="<f4")
    raw = near.vectors[0].vector_bytes if near.vectors else near.vector_bytes
    return np.frombuffer(raw, dtype="<f4")


def outgoing(
    properties: dict[str, Any], kinds: dict[str, str], names: Iterable[str]
) -> properties_pb2.Properties:
    """Return the asked properties as the server gives them, a null where there is none."""
    return properties_pb2.Properties(
        fields={name: _value(kinds[name], properties.get(name)) for name in names}
    )


def named_vector(vector: NDArray[np.float32]) -> base_pb2.Vectors:
    return base_pb2.Vectors(
        name="default",
        vector_bytes=vector.tobytes(),
        type=base_pb2.Vectors.VECTOR_TYPE_SINGLE_FP32,
    )


def _value(kind: str, value: Any) -> properties_pb2.Value:
    if value is None:
        return properties_pb2.Value(null_value=struct_pb2.NULL_VALUE)
    match kind:
        case "text":
            return properties_pb2.Value(text_value=value)
        case "int":
            return properties_pb2.Value(int_value=value)
        case "number":
            return properties_pb2.Value(number_value=value)
        case "boolean":
            return properties_pb2.Value(bool_value=value)
        case "date":
            return properties_pb2.Value(date_value=value)
    return properties_pb2.Value(list_value=_list(kind, value))


def _list(kind: str, values: list[Any]) -> properties_pb2.ListValue:
    made = properties_pb2
    match kind:
        case "text[]":
            return made.ListValue(text_values=made.TextValues(values=values))
        case "int[]":
            packed = struct.pack(f"<{len(values)}q", *values)
            return made.ListValue(int_values=made.IntValues(values=packed))
        case "number[]":
            packed = struct.pack(f"<{len(values)}d", *values)
            return made.ListValue(number_values=made.NumberValues(values=packed))
        case "boolean[]":
            return made.ListValue(bool_values=made.BoolValues(values=values))
        case _:
            return made.ListValue(date_values=made.DateValues(values=values))
