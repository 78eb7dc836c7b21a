"""Properties that collections of older versions lack, added before the first write to one."""

from __future__ import annotations

import logging
from functools import partial
from typing import Any

from semilayer_pipelines.errors import StoreRefused
from semilayer_pipelines.stores.weaviate.connection import ask_index
from semilayer_pipelines.stores.weaviate.schema import LATER, later_properties

__all__ = ["add_later", "has_later"]

logger = logging.getLogger(__name__)


def has_later(config: Any) -> bool:
    """Say whether a collection has all properties of `LATER`."""
    return {*LATER} <= {each.name for each in config.properties}


def add_later(index: str, collection: Any) -> bool:
    """Add what a collection lacks; say whether it has all of `LATER` now.

    Where that is not permitted, its objects are written without, and every sync reads them all.
    """

    def names() -> set[str]:
        return {each.name for each in collection.config.get(simple=True).properties}

    try:
        there = ask_index(index, names)
        for each in later_properties():
            if each.name not in there:
                ask_index(index, partial(collection.config.add_property, each))
    except StoreRefused as error:
        if {*LATER} <= ask_index(index, names):
            return True  # another writer was faster
        logger.warning("Index %s keeps its older form: %s", index, error.message)
        return False
    return True
