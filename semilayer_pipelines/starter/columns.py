"""What the name of a column and a sample of its values say: prose, personal, a secret, a clock.

Judged by words, so that `updatedAt`, `last_update` and `DateModified` are one to it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from itertools import pairwise

import polars as pl

from semilayer_pipelines.bridges.protocol import Column
from semilayer_pipelines.mapping.columns import DEFAULT_TRACKING_COLUMN
from semilayer_pipelines.redaction import is_secret_name

__all__ = [
    "are_codes",
    "holds_dates",
    "is_html",
    "is_personal",
    "is_prose",
    "is_prose_name",
    "is_secret",
    "is_translations",
    "plain_texts",
    "tracking_column",
]

PROSE_WORDS = 1.8
"""A column whose texts have this many words on average is prose; with fewer, it holds codes."""

PROSE_LETTERS = 0.5
"""Share of letters in what is no blank. Numbers of phones, accounts and people have fewer."""

_SECRET = re.compile(
    r"passw|secret|token|salt|credential|api_?key|private_?key|_hash$", re.IGNORECASE
)
_SECRET_WORDS = {"pin", "cvv", "cvc", "otp", "totp", "mfa"}
_IDENTITY_WORDS = {
    "ssn",
    "iban",
    "bic",
    "passport",
    "nin",
    "nino",
    "taxid",
    "vatin",
    "pesel",
    "cpf",
}
_IDENTITY_PAIRS = {
    ("social", "security"),
    ("credit", "card"),
    ("debit", "card"),
    ("card", "number"),
    ("account", "number"),
    ("tax", "id"),
    ("tax", "number"),
    ("vat", "id"),
    ("vat", "number"),
    ("national", "id"),
    ("licence", "number"),
    ("license", "number"),
}
_PERSONAL_WORDS = {
    *("phone", "telephone", "tel", "mobile", "cellphone", "fax", "whatsapp", "skype", "telegram"),
    *("email", "mail", "emails", "phones", "ip", "birthday", "birthdate", "dob"),
}
_BEHIND = {"number", "no", "nr", "num", "address", "addr", "id", "home", "work", "main"}
_PROSE_NAME = re.compile(
    r"title|name|summary|description|body|content|text|subject|headline|abstract|comment|note",
    re.IGNORECASE,
)
_MOVED = {"updated", "modified", "changed", "edited", "mtime", "modstamp", "modification", "upd"}
_MOVED_WITH_TIME = {"update", "modify", "change", "edit", "write"}
_TIME = {"at", "on", "date", "time", "datetime", "timestamp", "ts", "stamp", "tstamp", "utc", "gmt"}
_AROUND = {"last", "row", "record", "post", "sys", "system", "z", "tz"}
_DATE = r"^\d{4}-\d{2}-\d{2}([T ]\d{2}:\d{2}|$)"
_TAG = r"(?i)</?(p|br|div|span|ul|ol|li|h[1-6]|a|b|i|strong|em|table|tr|td|th|img|section)\b[^<>]*>"
_MARKUP = r"<[^<>]*>|&#?\w+;"
HTML_SHARE = 0.5
"""Share of the texts that have a tag; fewer are texts about HTML."""

_CODE = r"^[\p{L}\p{N}][\p{L}\p{N}._/#:+-]{1,63}$"
_MARKED = r"[\p{N}_/#:+-]"  # what a code has, and a word has not
_DECIMAL = r"^[+-]?\p{N}*[.,]\p{N}+$"
_EMAIL = r"^[^@\s]{1,64}@[^@\s]+\.[^@\s.]+$"
CODES = 3
"""A column with fewer values does not say whether they are codes."""

CODE_SHARE = 0.9
"""Share of the values that look like codes, and share of them that differ from all others."""

_LANGUAGE = re.compile(r"[a-z]{2,3}([_-][A-Za-z]{2,4})?")


def words_of(name: str) -> tuple[str, ...]:
    """Return the words of a name, in small letters and without trailing digits."""
    apart = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name)
    words = (re.sub(r"\d+$", "", word) for word in re.split(r"[^A-Za-z0-9]+", apart.lower()))
    return tuple(word for word in words if word)


def is_secret(name: str) -> bool:
    """Say whether a column holds what must not be copied: passwords, keys, numbers of people."""
    words = words_of(name)
    pairs = set(pairwise(words))
    return (
        bool(_SECRET.search(name))
        or is_secret_name(name)
        or not (_SECRET_WORDS | _IDENTITY_WORDS).isdisjoint(words)
        or not _IDENTITY_PAIRS.isdisjoint(pairs)
    )


def is_personal(name: str) -> bool:
    """Say whether a column tells how to reach a person: `work_email`, not `email_subject`."""
    words = list(words_of(name))
    while len(words) > 1 and words[-1] in _BEHIND:
        words.pop()
    return bool(words) and (words[-1] in _PERSONAL_WORDS or tuple(words[-2:]) == ("e", "mail"))


def tracking_column(columns: Iterable[Column]) -> str | None:
    """Return the column that moves with every change, going by the names of times and numbers."""
    found = sorted(
        (column for column in columns if _moves(column.name)),
        key=lambda column: (
            column.name != DEFAULT_TRACKING_COLUMN,
            # A number may count changes, a time says when.
            column.kind == "integer",
            column.kind == "date",
        ),
    )
    return found[0].name if found else None


def _moves(name: str) -> bool:
    words = set(words_of(name))
    moved = words & _MOVED or (words & _MOVED_WITH_TIME and words & (_TIME | {"last"}))
    return bool(moved) and words <= _MOVED | _MOVED_WITH_TIME | _TIME | _AROUND


def plain_texts(values: pl.Series) -> pl.Series | None:
    """Return texts, also of bytes that are texts in UTF-8; `None` for bytes that are not."""
    if values.dtype != pl.Binary:
        return values.cast(pl.String)
    try:
        texts = [None if value is None else value.decode() for value in values]
    except UnicodeDecodeError:
        return None
    if any(text and any(c < " " and c not in "\t\r\n" for c in text) for text in texts):
        return None
    return pl.Series(values.name, texts, dtype=pl.String)


def holds_dates(texts: pl.Series) -> bool:
    """Say whether every text is a date, or a time."""
    given = texts.drop_nulls()
    return given.len() > 0 and bool(given.str.contains(_DATE).all())


def is_html(texts: pl.Series) -> bool:
    """Say whether texts are HTML, as most of them have its tags."""
    given = texts.drop_nulls()
    tagged = given.str.contains(_TAG).mean()
    return isinstance(tagged, float) and tagged >= HTML_SHARE


def are_codes(texts: pl.Series) -> bool:
    """Say whether values are codes, ids or e-mail addresses, of which people type a whole one."""
    given = texts.drop_nulls()
    if given.len() < CODES or given.n_unique() < CODE_SHARE * given.len():
        return False
    codes = (
        given.str.contains(_CODE)
        & given.str.contains(_MARKED)
        & ~given.str.contains(_DECIMAL)
        & ~given.str.contains("://", literal=True)
    )
    share = (codes | given.str.contains(_EMAIL)).mean()
    return isinstance(share, float) and share >= CODE_SHARE


def is_prose(texts: pl.Series) -> bool:
    """Say whether texts mean something to a reader; codes and numbers do not."""
    texts = texts.str.replace_all(_MARKUP, " ") if is_html(texts) else texts
    words = texts.str.count_matches(r"\S+").mean()
    letters = int(texts.str.count_matches(r"\p{L}").sum())
    signs = int(texts.str.count_matches(r"\S").sum())
    worded = isinstance(words, float) and words >= PROSE_WORDS
    return worded and letters >= PROSE_LETTERS * signs


def is_prose_name(name: str) -> bool:
    """Say whether a column is named like one of prose, where there is no value to look at."""
    return bool(_PROSE_NAME.search(name))


def is_translations(documents: pl.Series) -> bool:
    """Say whether JSON documents are texts by language: `{"en_US": …, "de_DE": …}`."""
    given = documents.drop_nulls().to_list()
    return bool(given) and all(map(_by_language, given))


def _by_language(document: str) -> bool:
    try:
        value = json.loads(document)
    except (ValueError, RecursionError):
        return False
    return (
        isinstance(value, dict)
        and bool(value)
        and all(_LANGUAGE.fullmatch(key) for key in value)
        and all(isinstance(text, str) for text in value.values())
    )
