"""Where a text may be cut, and how well each place divides it.

Sentences, places where a line may be broken, and characters as people see them are found by
`unicode-segmentation-rs`, after Unicode's annexes 29 and 14. Headings, paragraphs and lines are
found by their line breaks: a parser of Markdown takes longer than counting the tokens does.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
import unicode_segmentation_rs as unicode
from numpy.typing import NDArray

__all__ = ["Borders", "Level", "borders", "characters", "words"]

_RANKS = 8  # more than there are levels
_WINDOW = 1 << 18  # characters that are looked at at once: the library makes a string of each piece


class Level(IntEnum):
    """How well a border divides a text, from the worst to the best."""

    CHARACTER = 0
    WORD = 1
    LINE = 2
    SENTENCE = 3
    PARAGRAPH = 4
    SUBHEADING = 5
    HEADING = 6


@dataclass(frozen=True)
class Borders:
    """Places inside of a text: `at`, characters before each, ascending, and the `levels` of each.

    Blanks stand before a border and not behind it.
    """

    at: NDArray[np.int64]
    levels: NDArray[np.int8]


# Line breaks and what follows them. Each alternative is a level; the first that fits counts.
# Underlined and upper-case headings are those of plain texts and manual pages.
_BREAK = re.compile(
    r"""\n(?:[^\S\n]*\n)*
    (?: (?P<heading>(?=\#{1,2}\ |[^\n]{1,100}\n={3,}[^\S\n]*(?:\n|\Z)))
      | (?P<subheading>(?=\#{3,6}\ |[^\n]{1,100}\n[-~]{3,}[^\S\n]*(?:\n|\Z)
                         |[A-Z][A-Z0-9 ,'&/-]{2,60}[^\S\n]*\n))
      | (?P<paragraph>(?<=\n\n)|(?<=\n[^\S\n]\n)|(?<=\n[^\S\n]{2}\n)|(?<=\r\n\r\n))
      | (?P<item>(?=[^\S\n]*(?:[-*+•|>]|\(?[0-9a-zA-Z]{1,3}[.)])[^\S\n]))
      | (?P<line>)
    )[^\S\n]*""",
    re.VERBOSE,
)
_LEVELS = np.array(
    [0, Level.HEADING, Level.SUBHEADING, Level.PARAGRAPH, Level.SENTENCE, Level.LINE], np.int64
)  # of the groups of the pattern, which count from 1


def borders(text: str) -> Borders:
    """Return all borders of a text but those inside of lines and sentences."""
    # Place and level in one number, so that one sort brings them in order.
    found = [np.zeros(0, np.int64)]
    for start, window in _windows(text):
        breaks = [(m.end(), m.lastindex) for m in _BREAK.finditer(window)]
        if breaks:
            ends, groups = np.array(breaks, np.int64).T
            found.append((ends + start) * _RANKS + _LEVELS[groups])
        # A line break inside of a paragraph ends no sentence; for the library it would.
        sentences = _sentences(window.replace("\n", " ").replace("\r", " "))
        starts = np.fromiter(sentences, np.int64)
        found.append((starts + start) * _RANKS + Level.SENTENCE)
    ranked = np.sort(np.concatenate(found))
    at = ranked // _RANKS
    best = np.append(at[1:] != at[:-1], True)[: len(at)]  # the last of each place
    inside = best & (at > 0) & (at < len(text))
    return Borders(at[inside], (ranked[inside] % _RANKS).astype(np.int8))


def _windows(text: str) -> Iterator[tuple[int, str]]:
    """Cut a text, at line breaks where there are some, into parts that fit into memory."""
    start = 0
    while len(text) - start > _WINDOW:
        stop = text.rfind("\n", start + _WINDOW // 2, start + _WINDOW)
        if stop < 0:
            stop = text.rfind(" ", start + _WINDOW // 2, start + _WINDOW)
        stop = start + _WINDOW if stop < 0 else stop
        yield start, text[start:stop]
        start = stop
    yield start, text[start:]


def _sentences(text: str) -> Iterator[int]:
    """Yield where sentences start; the library leaves out pieces without letters and digits."""
    place = 0
    for sentence in unicode.unicode_sentences(text):
        place = text.index(sentence, place)
        yield place + len(sentence) - len(sentence.lstrip())
        place += len(sentence)


def words(text: str) -> Iterator[str]:
    """Yield a text in pieces, between which a line may be broken."""
    return _whole(text, unicode.line_break_units)


def characters(text: str) -> Iterator[str]:
    """Yield the characters that people see, each of one code point or several."""
    return _whole(text, lambda part: unicode.graphemes(part, is_extended=True))


def _whole(text: str, parted: Callable[[str], list[str]]) -> Iterator[str]:
    """Yield the pieces of a text, found in windows; none is cut by the end of a window."""
    start, width = 0, _WINDOW
    while start < len(text):
        stop = min(start + width, len(text))
        pieces = parted(text[start:stop])
        if stop < len(text):
            stop -= len(pieces.pop())
            if not pieces:
                width *= 2
                continue
        yield from pieces
        start, width = stop, _WINDOW
