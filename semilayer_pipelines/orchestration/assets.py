"""A lens as assets: the table it reads, its shards, and the published index behind them."""

import logging
from collections.abc import Iterable, Sequence

import dagster as dg

from semilayer_pipelines.errors import ConfigError
from semilayer_pipelines.http.contract import LENS_NAME
from semilayer_pipelines.lens_names import LensName, distinct
from semilayer_pipelines.orchestration.catalogue import LensEntry
from semilayer_pipelines.orchestration.dagster_run import materialise_shard
from semilayer_pipelines.orchestration.declared import (
    column_schema,
    condition,
    freshness_policy,
    group,
    group_of,
    upstream,
    without_cycles,
)
from semilayer_pipelines.orchestration.health import tell_health
from semilayer_pipelines.orchestration.metadata import PLOTS, shard_metadata
from semilayer_pipelines.orchestration.names import (
    asset_key,
    published_key,
    shard_names,
    shard_number,
    source_key,
)
from semilayer_pipelines.orchestration.reporting import log_published
from semilayer_pipelines.project import Project
from semilayer_pipelines.stores.open import StoreKind

__all__ = ["Asset", "assets_of_all", "lens_assets", "source_tables"]

Asset = dg.AssetsDefinition | dg.AssetSpec

_log = logging.getLogger(__name__)


def assets_of_all(entries: Sequence[LensEntry], store: str) -> dict[LensEntry, list[Asset]]:
    """Return the assets of every lens that Dagster can show beside those before it.

    A lens that it cannot show has its jobs and schedules all the same: one name must not keep the
    location of all lenses from loading.
    """
    clashes = distinct(LensName(entry.env, entry.name) for entry in entries)
    deps = without_cycles(
        entry for entry in entries if LensName(entry.env, entry.name) not in clashes
    )
    found: dict[LensEntry, list[Asset]] = {}
    for entry in entries:
        name = LensName(entry.env, entry.name)
        if name in clashes:
            other = clashes[name]
            _log.warning(
                "The lens %s is not shown: Dagster cannot tell it from %s. Rename one and push.",
                name.beside(other),
                other.beside(name),
            )
            continue
        try:
            found[entry] = lens_assets(entry, store, deps[entry])
        except Exception as error:  # noqa: BLE001 - whatever is wrong with one lens, the rest go on
            _log.warning("The lens %r of %r is not shown: %s", entry.name, entry.env, error)
    return found


def source_tables(entries: Iterable[LensEntry]) -> list[dg.AssetSpec]:
    """Return the tables that lenses read, each once, as assets that are not ours to fill.

    A table that a lens names among its `deps` is an asset of a person's own, and left to them.
    """
    entries = list(entries)
    taken = {tuple(key(e.env, e.name)) for e in entries for key in (asset_key, published_key)}
    taken |= {tuple(dep.split("/")) for e in entries for dep in e.deps}
    tables = {
        tuple(source_key(e.env, e.source, table)): (e, table) for e in entries for table in e.tables
    }
    return [_source_table(*found) for key, found in tables.items() if key not in taken]


def _source_table(entry: LensEntry, table: str) -> dg.AssetSpec:
    return dg.AssetSpec(
        source_key(entry.env, entry.source, table),
        group_name=group_of(entry.env),
        description=f"Table `{table}` of source `{entry.source}`. Lenses read it.",
        kinds={entry.database, "table"} if entry.database else {"table"},
        tags={"semilayer/env": entry.env},
    )


def lens_assets(entry: LensEntry, store: str, deps: Sequence[str] = ()) -> list[Asset]:
    """Return the partitioned asset of a lens and its published index, in a store of this kind."""
    if not LENS_NAME.fullmatch(entry.name):
        raise ConfigError("its name is none that a lens may have.", cure="Rename it and push.")
    # A name that is no store is reported by the first run, and may be no valid kind.
    kinds = {store} & set(StoreKind)
    return [_shards_asset(entry, kinds, deps), _published_asset(entry, kinds)]


def _shards_asset(entry: LensEntry, kinds: set[str], deps: Sequence[str]) -> dg.AssetsDefinition:
    about = f"{entry.description}\n\n" if entry.description else ""
    tables = ["/".join(source_key(entry.env, entry.source, table)) for table in entry.tables]
    beside = "".join(f" with `{name}`" for name in entry.tables[1:])

    @dg.asset(
        key=asset_key(entry.env, entry.name),
        deps=upstream(dict.fromkeys([*tables, *deps])),
        automation_condition=condition(entry, deps),
        code_version=entry.version,
        owners=entry.owners,
        partitions_def=dg.StaticPartitionsDefinition(shard_names(entry.shards)),
        group_name=group(entry),
        description=(
            f"{about}Table `{entry.table}`{beside} of source `{entry.source}`, embedded by "
            f"`{entry.embedder}`. Embedded fields: {', '.join(entry.searchable)}.\n\n"
            "Materialise a partition to bring one key range in sync with the source. All of them "
            "together fill the first index, or the next one while a rebuild is under way.\n\n"
            f"{PLOTS}"
        ),
        metadata={
            "source": entry.source,
            "table": ", ".join(entry.tables),
            "fields": ", ".join(entry.fields),
            "model": entry.embedder,
            "syncInterval": entry.sync_interval or "off",
            "smartSyncInterval": entry.smart_sync_interval or "off",
            "dagster/column_schema": column_schema(entry),
        },
        kinds=kinds,
        tags={"semilayer/lens": entry.name, "semilayer/env": entry.env, **dict(entry.tags)},
    )
    def lens_shards(
        context: dg.AssetExecutionContext, semilayer: dg.ResourceParam[Project]
    ) -> dg.MaterializeResult[None]:
        shard = shard_number(context.partition_key)
        job, outcome = materialise_shard(
            context, semilayer, entry.env, entry.name, shard, entry.shards
        )
        log_published(context, entry.env, entry.name, outcome)
        tell_health(context.instance, semilayer, entry.env, entry.name)
        return dg.MaterializeResult(metadata=shard_metadata(semilayer, job, outcome, shard))

    return lens_shards


def _published_asset(entry: LensEntry, kinds: set[str]) -> dg.AssetSpec:
    """Return the index in use as what it is: written by the runs of its lens, and never by itself.

    Dagster says of such an asset neither that it was never filled nor that it is out of date.
    """
    return dg.AssetSpec(
        published_key(entry.env, entry.name),
        deps=[dg.AssetKey(asset_key(entry.env, entry.name))],
        group_name=group(entry),
        freshness_policy=freshness_policy(entry),
        code_version=entry.version,
        owners=entry.owners,
        description=(
            f"The index that searches of `{entry.name}` see. The run that fills the last shard of "
            f"a rebuild switches to it; syncs and pushed changes of `{entry.name}` change it."
        ),
        kinds=kinds,
        tags={"semilayer/lens": entry.name, "semilayer/env": entry.env, **dict(entry.tags)},
    )
