"""Cures are written for the command line; here each command becomes the button that does the same.

"`semilayer resume --lens items`" is told as "press Resume". A command without a button stays as it
is, for whoever has a terminal.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

__all__ = ["Part", "parts"]

_COMMAND = re.compile(
    r"`(?P<quoted>semilayer [^`]+)`"
    r"|(?P<bare>semilayer [a-z]+(?: [a-z]+)?(?: --[a-z-]+(?: [\w-]+)?)*)"
)
_BUTTONS = (
    (re.compile(r"semilayer (resume|sync)\b.*--confirm-deletes"), "Allow the deletes"),
    (re.compile(r"semilayer resume\b"), "Resume"),
    (re.compile(r"semilayer sync\b"), "Sync"),
    (re.compile(r"semilayer push\b.*--rebuild"), "Rebuild"),
    (re.compile(r"semilayer pause\b"), "Pause"),
    (re.compile(r"semilayer rollback\b"), "Roll back"),
    (re.compile(r"semilayer failed\b"), "Failed rows"),
    (re.compile(r"semilayer status\b"), "Lenses"),
    (re.compile(r"semilayer jobs\b"), "Jobs"),
    (re.compile(r"semilayer keys\b"), "API keys"),
    (re.compile(r"semilayer envs\b"), "Environments"),
)


@dataclass(frozen=True)
class Part:
    """A part of a sentence: `text`, the name of a `button`, or a `command` of the terminal."""

    kind: str
    text: str


def parts(sentence: str) -> list[Part]:
    """Return a sentence in its parts."""
    found, at = list[Part](), 0
    for match in _COMMAND.finditer(sentence):
        if match.start() > at:
            found.append(Part("text", sentence[at : match.start()]))
        command = (match["quoted"] or match["bare"]).strip()
        button = next((name for known, name in _BUTTONS if known.match(command)), None)
        found.append(Part("button", button) if button else Part("command", command))
        at = match.end()
    if at < len(sentence):
        found.append(Part("text", sentence[at:]))
    return found
