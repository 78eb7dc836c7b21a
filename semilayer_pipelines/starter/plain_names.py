"""Names of tables and columns as a configuration may have them: ASCII letters, digits and _."""

from __future__ import annotations

import re
import unicodedata

__all__ = ["plain_field", "plain_name"]


def plain_name(name: str, *, kept: str = "") -> str:
    """Return a name without accents, and with _ for what is no ASCII letter, digit, _ or `kept`.

    `Größe in €` is `Grosse_in`. A name in another script may leave nothing.
    """
    parts = unicodedata.normalize("NFKD", name.replace("ß", "ss").replace("ẞ", "SS"))
    letters = "".join(part for part in parts if not unicodedata.combining(part))
    return re.sub(rf"[^A-Za-z0-9_{re.escape(kept)}]+", "_", letters).strip("_")


def plain_field(column: str) -> str:
    """Return a name that the field of a column may have."""
    plain = plain_name(column)[:58] or "field"
    return plain if plain[0].isalpha() else f"f_{plain}"
