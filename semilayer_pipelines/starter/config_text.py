"""The first `sl.config.yaml` of a project, written for people to go on with."""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Mapping
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq

from semilayer_pipelines.lens_names import LensName, dagster_word
from semilayer_pipelines.starter.candidates import Candidate, CandidateField
from semilayer_pipelines.starter.plain_names import plain_name

__all__ = ["SOURCE", "lens_name", "starter", "yaml_text"]

SOURCE = "main"
SYNC, SMART_SYNC = "5m", "24h"


def starter(stack: str, connection: str, found: Iterable[Candidate]) -> str:
    """Return the text of a configuration with a lens for each candidate."""
    source = CommentedMap(bridge="sql", connection=connection)
    lenses = CommentedMap()
    for one in found:
        lenses[lens_name(one.table, set(lenses))] = _lens(one)
    document = CommentedMap(stack=stack, sources=CommentedMap({SOURCE: source}), lenses=lenses)
    for key in ("sources", "lenses"):
        document.yaml_set_comment_before_after_key(key, before="\n")
    return re.sub(r"^#\s*$", "", yaml_text(document), flags=re.MULTILINE)


def yaml_text(document: Mapping[str, Any]) -> str:
    """Return a document as YAML, lines not folded and nulls written out."""
    written = io.StringIO()
    yaml = YAML()
    yaml.width = 1 << 20
    # Otherwise written as nothing at all, which looks like a slip of the pen.
    yaml.representer.add_representer(
        type(None), lambda to, _: to.represent_scalar("tag:yaml.org,2002:null", "null")
    )
    yaml.dump(document, written)
    return written.getvalue()


def _lens(one: Candidate) -> CommentedMap:
    lens = CommentedMap(source=SOURCE, table=one.table)
    if not one.own_key:
        lens["primaryKey"] = one.key[0] if len(one.key) == 1 else _flow(list(one.key))
        if one.numbered:
            told = "SQLite's own number of a row; sync after a VACUUM"
            lens.yaml_add_eol_comment(told, "primaryKey")
    if one.tracking:
        several = len(one.tracking) > 1
        lens["changeTrackingColumn"] = _flow(list(one.tracking)) if several else one.tracking[0]
        lens["syncInterval"] = SYNC
        lens.yaml_add_eol_comment(f"rows whose {one.tracking[0]} moved", "syncInterval")
    lens["smartSyncInterval"] = SMART_SYNC
    lens.yaml_add_eol_comment("a full compare; sees deletes, too", "smartSyncInterval")
    lens["onMisfit"] = None
    lens.yaml_add_eol_comment("a value that does not fit is left empty; the row stays", "onMisfit")
    lens["fields"] = CommentedMap({field.name: _field(field) for field in one.fields})
    about = "searchable: embedded. The others are kept beside the vector, to filter by."
    if one.left_out:
        about += f"\nLeft out, because they look like secrets: {', '.join(one.left_out)}."
    if one.personal:
        about += f"\nNot embedded, because they look personal: {', '.join(one.personal)}."
    if html := [field.name for field in one.fields if field.html]:
        about += f"\nhtmlToText: of the HTML in {_list(html)}, what a reader sees is embedded."
    if codes := [field.name for field in one.fields if field.code]:
        about += (
            f"\nkeyword: exact, as {_list(codes)} {'holds' if len(codes) == 1 else 'hold'} codes: "
            "a search for a whole one puts its row first."
        )
    lens.yaml_set_comment_before_after_key("fields", before=about, indent=4)
    return lens


def _field(field: CandidateField) -> CommentedMap:
    written = CommentedMap(type=field.type.value)
    if field.array:
        written["array"] = True
    if field.column != field.name:
        written["from"] = field.column
    if field.html:
        written["transform"] = "htmlToText"
    if field.searchable:
        written["searchable"] = True
    if field.code:
        written["keyword"] = "exact"
    written.fa.set_flow_style()
    return written


def _list(names: list[str]) -> str:
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))


def _flow(columns: list[str]) -> CommentedSeq:
    listed = CommentedSeq(columns)
    listed.fa.set_flow_style()
    return listed


def lens_name(table: str, taken: set[str]) -> str:
    """Return a name for the lens of a table that Dagster can tell from the taken ones."""
    plain = plain_name(table.rpartition(".")[2] or table, kept="-")[:58] or "table"
    plain = plain if plain[0].isalpha() else f"t_{plain}"
    name, count = plain, 2
    # What differs in case, or in - and _ only, is one name to Dagster or to a store.
    words = {dagster_word(LensName("", one)).lower() for one in taken}
    while dagster_word(LensName("", name)).lower() in words:
        name, count = f"{plain}_{count}", count + 1
    return name
