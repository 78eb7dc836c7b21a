"""What counts as a number at the keys that want one."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from pkgutil import iter_modules
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

import pytest
from pydantic import ValidationError

from semilayer_pipelines import config
from semilayer_pipelines.config.base import ConfigModel


def test_true_is_a_number_at_no_key_that_wants_one() -> None:
    for module in iter_modules(config.__path__):
        import_module(f"{config.__name__}.{module.name}")
    seen = 0
    for model in below(ConfigModel):
        for name, field in model.model_fields.items():
            kinds = set(kinds_of(field.annotation))
            if kinds & {int, float} and bool not in kinds:
                with pytest.raises(ValidationError) as refused:
                    model.model_validate({field.alias or name: True})
                assert "expected a number; got true" in str(refused.value), (model, name)
                seen += 1
    assert seen > 10


def below(model: type[ConfigModel]) -> Iterator[type[ConfigModel]]:
    for each in model.__subclasses__():
        yield each
        yield from below(each)


def kinds_of(annotation: Any) -> Iterator[Any]:
    if get_origin(annotation) in (Annotated, Union, UnionType):
        for each in get_args(annotation):
            yield from kinds_of(each)
    else:
        yield annotation
