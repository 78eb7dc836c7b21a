"""Reading by a table's description, as long as the table is as it was described.

Rows that do not fit the description are a reason to look at the table again: it may have been
altered since.
"""

from __future__ import annotations

from semilayer_pipelines.bridges.catalogue import Catalogue
from semilayer_pipelines.bridges.database import Database, Fetched, Query
from semilayer_pipelines.bridges.protocol import Selection
from semilayer_pipelines.bridges.row_key import key_texts
from semilayer_pipelines.bridges.unfit import RowsDoNotFit, unfit_columns
from semilayer_pipelines.errors import SchemaMismatch, TableAltered

__all__ = ["Reader"]


class Reader:
    """Reads from one source, whose parts it holds; `name` is the source's in messages."""

    def __init__(self, db: Database, catalogue: Catalogue, name: str) -> None:
        self.db = db
        self.catalogue = catalogue
        self.name = name

    def read(self, selection: Selection, query: Query) -> Fetched:
        """Read; raises `TableAltered` when what comes does not fit, and was described before."""
        try:
            found = self.db.read(query)
        except RowsDoNotFit:
            self._refuse_altered(selection)
            raise
        if unfit_columns(found.frame.columns):
            self._refuse_altered(selection)
        return found

    def read_rows(self, selection: Selection, query: Query) -> Fetched:
        """Read rows, each of which comes once; raises `SchemaMismatch` where a join repeats one."""
        found = self.read(selection, query)
        if selection.joins:
            texts = key_texts(found.frame, selection.key).drop_nulls()
            twice = texts.filter(texts.is_duplicated())
            if twice.len():
                tables = ", ".join(repr(join.table) for join in selection.joins)
                raise SchemaMismatch(
                    f"source {self.name!r}: the row {twice[0]} of {selection.table!r} has several "
                    f"rows in a table that it joins ({tables}).",
                    cure="By the columns in 'on' it may have one: is the unique key gone, or are "
                    "they compared by another collation than it is?",
                )
        return found

    def _refuse_altered(self, selection: Selection) -> None:
        altered = self.catalogue.altered(selection)
        if altered:
            raise TableAltered(
                f"source {self.name!r}: {selection.table!r} was altered while it was read "
                f"({', '.join(altered)}).",
                cure="It is read again, as it is now.",
            )
