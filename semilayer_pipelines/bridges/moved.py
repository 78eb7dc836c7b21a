"""The rows that moved, of a table that joins others: each table's own index finds some of them.

A condition over several tables uses no index: the database would read the whole table for a page.
So a walk begins with keys, those of the rows that moved and those of the rows whose joined row did.
"""

from __future__ import annotations

from collections.abc import Sequence

from semilayer_pipelines.bridges.catalogue import Catalogue
from semilayer_pipelines.bridges.database import Sql
from semilayer_pipelines.bridges.joined import new_name
from semilayer_pipelines.bridges.protocol import Selection

__all__ = ["moved_rows"]


def moved_rows(catalogue: Catalogue, selection: Selection, moved: Sequence[Sql]) -> Sql:
    """Return what stands behind FROM: the selection's rows that meet one of the conditions.

    The first condition is about the table itself, the others about the joined tables that are
    tracked, in their order.
    """
    base = catalogue.table(selection)
    key = catalogue.key(selection)
    alias = new_name("moved", base)
    names = ", ".join(f"{column.quoted} AS {alias}_{i}" for i, column in enumerate(key))
    tables = [one for one in catalogue.joined(selection) if one.tracked]
    origins = [base.quoted, *(f"{base.quoted} JOIN {one.quoted} ON {one.on}" for one in tables)]
    found = Sql("(")
    for number, (origin, condition) in enumerate(zip(origins, moved, strict=True)):
        found += Sql(f"{' UNION ' if number else ''}SELECT {names} FROM {origin} WHERE ")
        found += condition
    same = " AND ".join(f"{column.quoted} = {alias}.{alias}_{i}" for i, column in enumerate(key))
    joins = "".join(f" LEFT JOIN {one.quoted} ON {one.on}" for one in catalogue.joined(selection))
    return found + Sql(f") {alias} JOIN {base.quoted} ON {same}{joins}")
