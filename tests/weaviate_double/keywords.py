"""Search by keyword (BM25), as the real server cuts texts and ranks what has their words."""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any

from tests.weaviate_double.rules import Refused

# A few of the preset `en`, which only the tokenization `word` knows of.
_STOP_WORDS = {"a", "an", "and", "be", "is", "not", "of", "or", "the", "to"}


def ranked_by_words(
    config: dict[str, Any], objects: Sequence[tuple[bytes, dict[str, Any]]], asked: Any
) -> list[tuple[bytes, float]]:
    """Return the ids of objects that have any of the words, with their scores, the best first.

    Raises `Refused` for a property that no words were kept of, and for an empty query.
    """
    searchable = {each["name"]: each for each in config["properties"] if each["indexSearchable"]}
    names = list(asked.properties) or list(searchable)
    for name in (each.split("^")[0] for each in names):
        if name not in searchable:
            raise Refused(
                f"Searching by property '{name}' requires inverted index. Is `indexSearchable` "
                f"option of property '{name}' enabled? Set it to `true` or leave empty"
            )
    if not asked.query:
        raise Refused("keyword search (bm25) must have query set")
    scores: defaultdict[bytes, float] = defaultdict(float)
    for name in names:
        for id_, score in _of_property(searchable[name], config, objects, asked.query).items():
            scores[id_] += score
    return sorted(scores.items(), key=lambda each: (-each[1], each[0]))


def _of_property(
    declared: dict[str, Any],
    config: dict[str, Any],
    objects: Sequence[tuple[bytes, dict[str, Any]]],
    query: str,
) -> dict[bytes, float]:
    told = config["invertedIndexConfig"]
    english = told["stopwords"]["preset"] == "en"
    cut = _cutter(declared["tokenization"], english)
    texts = {id_: values[declared["name"]] for id_, values in objects if declared["name"] in values}
    words = {id_: Counter(cut(text)) for id_, text in texts.items()}
    mean = sum(map(Counter.total, words.values())) / max(1, len(words))
    k1, b = told["bm25"]["k1"], told["bm25"]["b"]
    scores: defaultdict[bytes, float] = defaultdict(float)
    for word, times in Counter(cut(query)).items():
        having = [id_ for id_, own in words.items() if word in own]
        rarity = math.log(1 + (len(objects) - len(having) + 0.5) / (len(having) + 0.5))
        for id_ in having:
            often, length = words[id_][word], words[id_].total()
            scores[id_] += times * rarity * often / (often + k1 * (1 - b + b * length / mean))
    return dict(scores)


def _cutter(tokenization: str, english: bool) -> Any:
    match tokenization:
        case "whitespace":
            return str.split
        case "lowercase":
            return lambda text: text.lower().split()
        case "field":
            return lambda text: [text.strip()]
        case "word":
            left_out = _STOP_WORDS if english else set()
            return lambda text: [
                word for word in re.findall(r"[^\W_]+", text.lower()) if word not in left_out
            ]
    raise Refused(f"tokenization {tokenization!r} is not known to the double")
