"""Checking a lens against its source at push, and saying what would bring its index in sync.

A typo is an error here and not a silent full scan later (docs/push.md).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

from semilayer_pipelines.bridges.protocol import Bridge, HiddenRows, Selection, Window
from semilayer_pipelines.chunking.rules import check_size, cut_by
from semilayer_pipelines.config.load import place
from semilayer_pipelines.config.models import LensConfig, OnFailure, SourceConfig
from semilayer_pipelines.control.check_models import ModelCheck, named_model
from semilayer_pipelines.embedders import check_embedding
from semilayer_pipelines.embedders.reranker import check_reranker
from semilayer_pipelines.errors import (
    ConfigError,
    EmbedderUnavailable,
    ModelUnavailable,
    NotPermitted,
    SchemaMismatch,
    SemilayerError,
    SourceUnreachable,
    Transient,
    about,
)
from semilayer_pipelines.ingest.built_with import built_with, prompts_advice, same_vectors
from semilayer_pipelines.ingest.stored_fields import unheld
from semilayer_pipelines.mapping.columns import (
    DEFAULT_TRACKING_COLUMN,
    key_of,
    names_of,
    same_rows,
    tracking_columns_of,
)
from semilayer_pipelines.mapping.compile import compile_mapping
from semilayer_pipelines.mapping.epochs import check_epochs, is_assumed
from semilayer_pipelines.mapping.joined import LensTable, lens_table
from semilayer_pipelines.mapping.mapped import LensMapping
from semilayer_pipelines.project import Project
from semilayer_pipelines.registry.generations import Generation
from semilayer_pipelines.registry.lenses import Lens, Needs
from semilayer_pipelines.stores.open import is_server
from semilayer_pipelines.stores.protocol import Index, IndexSchema

__all__ = ["LensCheck", "lens_check"]

SAMPLE_ROWS = 200


@contextmanager
def lens_check(
    project: Project, env: str, sources: Mapping[str, SourceConfig]
) -> Iterator[LensCheck]:
    """Open what checks lenses against these sources: one connection each, made when needed."""
    with ExitStack() as opened:
        yield LensCheck(project, env, sources, opened, ModelCheck(project))


@dataclass(frozen=True)
class LensCheck:
    """Compiles lenses of an environment against their tables.

    `silent` are the sources that did not answer, and `None` for the store: each is waited for once.
    Raises what bridges and mappings raise.
    """

    project: Project
    env: str
    sources: Mapping[str, SourceConfig]
    opened: ExitStack
    models: ModelCheck
    bridges: dict[str, Bridge] = field(default_factory=dict)
    indexes: dict[str, Index | None] = field(default_factory=dict)
    tables: dict[int, LensTable] = field(default_factory=dict)
    silent: set[str | None] = field(default_factory=set)

    def store(self, lenses: Mapping[str, LensConfig]) -> SemilayerError | None:
        """Ask the store whether it can hold these lenses; return what is wrong, or `None`."""
        tenants = {name: lens.tenant is not None for name, lens in lenses.items()}
        try:
            self.project.store(self.env).check(tenants)
        except SemilayerError as error:
            if isinstance(error, Transient):
                self.silent.add(None)
            return error
        return None

    def needs(self, lens: LensConfig, active: Generation | None, *, moved: bool) -> Needs:
        """Check a lens, and return what brings its index in sync with it (invariant 9).

        Another model, key, table, tenant or set of fields needs a rebuild (which takes over the
        vectors of equal texts when the model is the same). So do columns whose types the index
        cannot hold. Another way to fill the same fields or to cut their texts, another condition on
        the rows, or another database under the same name (`moved`), needs a smart sync.
        """
        mapping = self._compiled(lens)
        if active is None:
            return Needs.NOTHING
        if not same_vectors(self.project, lens.embedding, active):
            return Needs.REBUILD
        if not same_rows(lens, active.config, mapping.key):
            return Needs.REBUILD
        schema = self._schema(active)
        if schema is not None and unheld(mapping, schema):
            return Needs.REBUILD
        if mapping.fingerprint == active.mapping_fingerprint:
            # Vectors of rows that were set aside before.
            left_behind = (
                lens.on_failure is OnFailure.REMOVE
                and active.config.on_failure is not OnFailure.REMOVE
            )
            other_rows = moved or lens.where != active.config.where
            behind = other_rows or left_behind or self._cut_otherwise(lens, active)
            return Needs.SMART_SYNC if behind else Needs.NOTHING
        try:
            indexed = self._compiled(active.config)
            same_shape = (mapping.fields, mapping.tenant) == (indexed.fields, indexed.tenant)
        except SemilayerError:
            # The table no longer has what the old configuration read.
            same_shape = False
        return Needs.SMART_SYNC if same_shape else Needs.REBUILD

    def hidden(self, lens: LensConfig) -> HiddenRows | None:
        """Return why the source may hide rows of the lens's tables; `None` when it shows all."""
        return self._table(lens).hidden(self._bridge(lens.source))

    def advice(self, lens: LensConfig, active: Generation | None) -> str | None:
        """Return what a rebuild would better of an index; `None` for nothing, and without one."""
        if active is None:
            return None
        told = prompts_advice(self.project, lens.embedding, active)
        if told is not None:
            return told
        if not is_server(self.project.settings.store):
            return None  # `LanceIndex.advice`, without importing LanceDB to hear it
        try:
            index = self._index(active)
            return None if index is None else index.advice()
        except SemilayerError:
            return None

    def needs_still(self, lens: Lens, active: Generation | None) -> Needs:
        """Return what a lens needs that is as it was: its table may have been altered since.

        Says whether it needs a rebuild; otherwise, and where the source cannot say, what it needed
        before. Raises `SchemaMismatch` where the source says that it no longer has what the lens
        names, and `NotPermitted` where its user may read that no more.
        """
        source = lens.config.source
        if source in self.silent:
            return lens.needs
        try:
            needs = self.needs(lens.config, active, moved=False)
            mapping = self._compiled(lens.config)
            self._check_readable(lens.config, mapping)
            if lens.config.where is not None:
                self._check_where(lens.config, mapping)
        except (SchemaMismatch, NotPermitted):
            raise
        except SourceUnreachable:
            self.silent.add(source)  # waited for once
            return lens.needs
        except SemilayerError:
            return lens.needs
        if active is None:
            return lens.needs
        if Needs.REBUILD in (needs, lens.needs):
            return needs
        # A newer version may cut the texts of a lens that nobody changed.
        return Needs.SMART_SYNC if self._cut_otherwise(lens.config, active) else lens.needs

    def _cut_otherwise(self, lens: LensConfig, active: Generation) -> bool:
        """Say whether an index has rows that are not cut as those of its lens would be now.

        Where nobody can tell how the model reads, that is not known.
        """
        try:
            built = built_with(active)
            cut = cut_by(lens, self.project.embedder(lens.embedding, built))
        except (ModelUnavailable, EmbedderUnavailable):
            return False
        return active.split_by != cut

    def _schema(self, active: Generation) -> IndexSchema | None:
        """Return what an index holds, `None` where nobody can say."""
        kept = self.project.kept_facts(self.env)
        if kept is not None and (schema := kept.schema(active.index_name)) is not None:
            return schema
        index = self._index(active)
        return None if index is None else index.schema

    def _index(self, active: Generation) -> Index | None:
        """Return an index, asked for once; `None` without one, or while its store cannot say."""
        if active.index_name not in self.indexes and None not in self.silent:
            try:
                found = self.project.store(self.env).find(active.index_name)
            except SemilayerError:
                found = None
            self.indexes[active.index_name] = found
        return self.indexes.get(active.index_name)

    def tracked(self, lens: LensConfig) -> str:
        """Return the columns that tell what changed in the table of a lens, empty without one."""
        table = self._table(lens).table
        return ", ".join(tracking_columns_of(lens, table))

    def found_key(self, lens: LensConfig) -> tuple[str, ...]:
        """Return the unique key that stands in for a primary key, empty where it need not."""
        table = self._table(lens).table
        return () if lens.primary_key or table.key else key_of(lens, table)

    def refuse_values(self, lens: LensConfig) -> None:
        """Look at some rows, and refuse what the table's description alone cannot tell.

        Raises `ConfigError` for dates whose numbers do not say what they count, for chunks that
        the model does not read whole, and for a model that is none as far as files tell. Raises
        `SchemaMismatch` for a tracked column that does not sort by time and for a condition that is
        none.
        """
        with named_model("embedding.model"):
            embedder = self.project.embedder(lens.embedding)
            assert embedder.fingerprint
        with about("chunking.size"):
            check_size(lens, embedder)
        mapping = self._compiled(lens)
        self._check_readable(lens, mapping)
        self._check_where(lens, mapping)
        self._check_joins(lens, mapping)
        self._check_dates(lens, mapping)
        self._check_order(lens, mapping)
        check_embedding(lens.embedding, embedder)
        if lens.rerank is not None:
            with named_model("rerank"):
                check_reranker(lens.rerank, self.project.settings.root)

    def _table(self, lens: LensConfig) -> LensTable:
        """Describe the tables of a lens, which takes some statements each, once."""
        known = self.tables.get(id(lens))  # which it keeps alive
        if known is None:
            known = lens_table(lens, self._bridge(lens.source), unused=True)
            self.tables[id(lens)] = known
        return known

    def _compiled(self, lens: LensConfig) -> LensMapping:
        found = self._table(lens)
        table = found.table
        with about("changeTrackingColumn"):
            tracked = tracking_columns_of(lens, table)
        with about("syncInterval"):
            if not tracked and lens.sync_interval is not None:
                raise SchemaMismatch(
                    f"'syncInterval' reads what changed since the last time, which needs a column "
                    f"that moves with every change, and table {table.name!r} has no "
                    f"{DEFAULT_TRACKING_COLUMN!r}.",
                    cure="Name one as 'changeTrackingColumn', or use 'smartSyncInterval'.",
                )
        with about("primaryKey"):
            key = key_of(lens, table)
        return compile_mapping(
            lens,
            found.whole,
            key=key,
            # Names no index here, and has to be a model that there can be.
            model_fingerprint=self.project.embedder(lens.embedding).fingerprint,
            project_dir=self.project.settings.root,
        )

    def _check_readable(self, lens: LensConfig, mapping: LensMapping) -> None:
        rows = self._table(lens).selection(mapping.key, mapping.columns)
        with about("table"):
            self._bridge(lens.source).check_readable(rows)

    def _check_where(self, lens: LensConfig, mapping: LensMapping) -> None:
        rows = Selection(lens.table, mapping.key, mapping.key, where=lens.where)
        with about("where"):
            self._bridge(lens.source).check_where(rows)

    def _check_joins(self, lens: LensConfig, mapping: LensMapping) -> None:
        found = self._table(lens)
        rows = found.selection(mapping.key, mapping.columns)
        with about("joins"):
            self._bridge(lens.source).check_joins(rows, tracking_columns_of(lens, found.table))

    def _check_dates(self, lens: LensConfig, mapping: LensMapping) -> None:
        found = self._table(lens)
        dates = {
            plan.name: [column for column in found.whole.columns if column.name in plan.columns]
            for plan in mapping.plans
            if is_assumed(plan.config)
        }
        names = {column.name for columns in dates.values() for column in columns}
        if not names:
            return
        read = (*mapping.key, *sorted(names - {*mapping.key}))
        wanted = found.selection(mapping.key, read)
        rows = self._bridge(lens.source).read_page(wanted, Window(), SAMPLE_ROWS).frame
        for name, columns in dates.items():
            with about(f"fields.{name}"):
                check_epochs(name, lens.fields[name], columns, rows)

    def _check_order(self, lens: LensConfig, mapping: LensMapping) -> None:
        found = self._table(lens)
        tracked = tracking_columns_of(lens, found.table)
        if not tracked or not (lens.change_tracking_column or lens.sync_interval):
            return
        joins = [join for join in found.joins if join.tracked]
        selection = Selection(lens.table, mapping.key, mapping.key, joins=tuple(joins))
        names = (*tracked, *(join.column(name) for join in joins for name in join.tracked))
        value = self._bridge(lens.source).out_of_order(selection, tracked)
        if value is None:
            return
        with about("changeTrackingColumn"):
            raise SchemaMismatch(
                f"The tracked column {names_of(names)} of {lens.table!r} holds texts that do not "
                f"sort by time, such as {value!r}: rows would be passed by without a word.",
                cure="Track a time, a number, or ISO 8601 texts of one zone, such as "
                "2024-05-01T10:00:00Z. Without 'changeTrackingColumn' and 'syncInterval', "
                "'smartSyncInterval' finds every change.",
            )

    def _bridge(self, source: str) -> Bridge:
        if source not in self.bridges:
            try:
                bridge = self.project.bridge(source, self.sources[source])
            except ConfigError as error:
                where = place(self.project.settings.config, ("sources", source, "connection"))
                error.message = f"{where}{error.message}"
                raise
            self.opened.callback(bridge.close)
            self.bridges[source] = bridge
        return self.bridges[source]
