"""A lens as assets: its shards, and the published index behind them."""

import logging
from collections.abc import Sequence

import dagster as dg

from semilayer_pipelines.errors import Refused, SemilayerError
from semilayer_pipelines.lens_names import LensName, distinct
from semilayer_pipelines.orchestration.catalogue import LensEntry
from semilayer_pipelines.orchestration.dagster_run import failure, materialise_shard
from semilayer_pipelines.orchestration.declared import (
    column_schema,
    condition,
    freshness_policy,
    group,
    upstream,
    without_cycles,
)
from semilayer_pipelines.orchestration.names import (
    asset_key,
    published_key,
    shard_names,
    shard_number,
)
from semilayer_pipelines.orchestration.reporting import log_published, outcome_metadata
from semilayer_pipelines.project import Project
from semilayer_pipelines.registry import generations, lenses
from semilayer_pipelines.stores.open import StoreKind

__all__ = ["assets_of_all", "lens_assets"]

_log = logging.getLogger(__name__)


def assets_of_all(
    entries: Sequence[LensEntry], store: str
) -> dict[LensEntry, list[dg.AssetsDefinition]]:
    """Return the assets of every lens that Dagster can show beside those before it.

    A lens that it cannot show has its jobs and schedules all the same: one name must not keep the
    location of all lenses from loading.
    """
    clashes = distinct(LensName(entry.env, entry.name) for entry in entries)
    deps = without_cycles(
        entry for entry in entries if LensName(entry.env, entry.name) not in clashes
    )
    found: dict[LensEntry, list[dg.AssetsDefinition]] = {}
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


def lens_assets(
    entry: LensEntry, store: str, deps: Sequence[str] = ()
) -> list[dg.AssetsDefinition]:
    """Return the partitioned asset of a lens and its `published` asset, in a store of this kind."""
    return [_shards_asset(entry, deps), _published_asset(entry, store)]


def _shards_asset(entry: LensEntry, deps: Sequence[str]) -> dg.AssetsDefinition:
    about = f"{entry.description}\n\n" if entry.description else ""

    @dg.asset(
        key=asset_key(entry.env, entry.name),
        deps=upstream(deps),
        automation_condition=condition(entry, deps),
        code_version=entry.version,
        owners=entry.owners,
        partitions_def=dg.StaticPartitionsDefinition(shard_names(entry.shards)),
        group_name=group(entry),
        description=(
            f"{about}Table `{entry.table}` of source `{entry.source}`, embedded by "
            f"`{entry.embedder}`. Embedded fields: {', '.join(entry.searchable)}.\n\n"
            "Materialise a partition to bring one key range in sync with the source. All of them "
            "together fill the first index, or the next one while a rebuild is under way."
        ),
        metadata={
            "source": entry.source,
            "table": entry.table,
            "fields": ", ".join(entry.fields),
            "model": entry.embedder,
            "syncInterval": entry.sync_interval or "off",
            "smartSyncInterval": entry.smart_sync_interval or "off",
            "dagster/column_schema": column_schema(entry),
        },
        kinds={"sql", "table"},
        tags={"semilayer/lens": entry.name, "semilayer/env": entry.env, **dict(entry.tags)},
    )
    def lens_shards(
        context: dg.AssetExecutionContext, semilayer: dg.ResourceParam[Project]
    ) -> dg.MaterializeResult[None]:
        outcome = materialise_shard(
            context,
            semilayer,
            entry.env,
            entry.name,
            shard_number(context.partition_key),
            entry.shards,
        )
        log_published(context, entry.env, entry.name, outcome)
        return dg.MaterializeResult(metadata=outcome_metadata(outcome))

    return lens_shards


def _published_asset(entry: LensEntry, store: str) -> dg.AssetsDefinition:
    @dg.asset(
        key=published_key(entry.env, entry.name),
        deps=[dg.AssetKey(asset_key(entry.env, entry.name))],
        group_name=group(entry),
        freshness_policy=freshness_policy(entry),
        code_version=entry.version,
        owners=entry.owners,
        description=(
            f"The index that searches of `{entry.name}` see. The run that fills the last shard of "
            "a rebuild switches to it. Materialising this asset reports which one is in use."
        ),
        # A name that is no store is reported by the first run, and may be no valid kind.
        kinds={store} & set(StoreKind),
        tags={"semilayer/lens": entry.name, "semilayer/env": entry.env, **dict(entry.tags)},
    )
    def lens_published(
        context: dg.AssetExecutionContext, semilayer: dg.ResourceParam[Project]
    ) -> dg.MaterializeResult[None]:
        try:
            with semilayer.registry.read() as db:
                lens = lenses.get(db, entry.env, entry.name)
                active = generations.active(db, lens.id)
            if active is None:
                raise Refused(
                    f"Lens {entry.name!r} has no published index: not all of its shards are "
                    "filled.",
                    cure="Materialise the missing partitions, or launch full_ingest.",
                )
            index = semilayer.store(entry.env).find(active.index_name)
            rows = index.count() if index else 0
        except SemilayerError as error:
            raise failure(None, error) from None
        return dg.MaterializeResult(
            metadata={
                "generation": active.number,
                "index": active.index_name,
                "dagster/row_count": rows,
            }
        )

    return lens_published
