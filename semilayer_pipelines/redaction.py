"""Secrets in texts: taken out before anybody sees them, and told from references to them.

`redact` is for messages, logs and answers. `literal_secret` is for the configuration, which may
name a secret (`${VAR}`) and must never hold one. Both know the same forms. In doubt `redact` takes
too much: a hidden host is a nuisance, a shown password an incident.
"""

from __future__ import annotations

import logging
import re
import sys
import traceback
from types import TracebackType
from urllib.parse import unquote

__all__ = ["is_secret_name", "literal_secret", "redact", "redact_logs"]

HIDDEN = "***"

_REFERENCE = r"\$\{[A-Za-z_][A-Za-z0-9_]*\}"
_REFERENCES = re.compile(rf"(?:{_REFERENCE})*")
_WITH_DEFAULT = re.compile(r"\$\{[A-Za-z_][A-Za-z0-9_]*(?::-(?P<default>[^}]*))?\}")

# Names of values: in a URL's query, in a connection string of `key=value` pairs, in JSON.
_SECRET_NAME = re.compile(
    r"passw|passphrase|passwd|pwd|secret|credential"
    r"|(api|access|private|auth|account|subscription|signing|encryption|shared|admin)_?key"
    r"|(^|_)(pass|pw|token|jwt|authorization)$"
)
# A word that means a secret behind a `?` and anything at all in a sentence.
_SECRET_PARAMETER = re.compile(r"^(key|sig|signature|auth|sas|code)$")

_USERINFO = re.compile(r"(?P<before>://[^:/?#@\s]*:)(?P<secret>\S{1,2000})@")
# A password with spaces in it: up to what looks like a host, and not from what looks like a port.
_SPACED_USERINFO = re.compile(
    r"(?P<before>://[^:/?#@\s]*:)(?!\d{1,5}(?:[/?\s]|$))(?P<secret>[^@\n]{1,200})@(?=[\w.\[-])"
)
_HTTP_USER = re.compile(r"(?P<before>https?://)(?P<secret>[^:/?#@\s]{1,2000})@", re.IGNORECASE)
_PARAMETER = re.compile(r"(?P<before>[?&;](?P<name>[\w.%+-]{1,100})=)(?P<secret>[^&;#\s\"'<>]+)")
_PAIR = re.compile(
    r"(?P<before>(?<![\w?&;%.-])(?P<name>[A-Za-z][\w.-]{0,100})\s{0,5}=\s{0,5})"
    r"(?P<secret>'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"|(?:\$\{[^}]*\}|[^\s&;,'\")\]}])+)"
)
_ENTRY = re.compile(
    r"(?P<before>(?P<quote>[\"'])(?P<name>[A-Za-z][\w.-]{0,100})(?P=quote)\s{0,5}:\s{0,5})"
    r"(?P<secret>\"(?:[^\"\\]|\\.)*\"|'(?:[^'\\]|\\.)*')"
)
_HEADER = re.compile(
    r"(?P<before>(?:authorization|(?:x-)?api-key|x-auth-token)[\"']?\s{0,5}[:=]\s{0,5}[\"']?"
    r"(?:(?:bearer|basic|token|apikey)\s+)?+)(?P<secret>[^\s\"',;*…]{4,}+)(?!…)",
    re.IGNORECASE,
)
_BEARER = re.compile(
    r"(?P<before>\b(?i:bearer|basic)\s+)(?P<secret>(?=\S*[A-Z0-9])[A-Za-z0-9._~+/=-]{12,})"
)
_TOKEN = re.compile(
    r"\b(?P<before>(?:ik|sk|qk|pk)_[a-z0-9-]{1,31}_|sk-(?:[a-z0-9]{1,10}-){0,3}|hf_|gh[pousr]_"
    r"|pscale_pw_|xox[abp]-|AKIA)(?P<secret>[0-9A-Za-z_]{16,}[0-9A-Za-z_-]*)"
)

_NAMED = (_PARAMETER, _PAIR, _ENTRY)
_SHAPED = (_USERINFO, _SPACED_USERINFO, _HTTP_USER, _HEADER, _BEARER, _TOKEN)


def redact(text: str) -> str:
    """Return `text` with every password, key and token in it replaced by `***`.

    Known forms: the user part of a URL, parameters and `key=value` pairs and JSON entries that are
    named like a secret, `Authorization` and API-key headers, and tokens known by their shape.
    A `${VAR}` is no secret and stays.
    """
    for pattern in _SHAPED:
        text = pattern.sub(_hidden, text)
    for pattern in _NAMED:
        text = pattern.sub(_hidden_if_named_so, text)
    return text


def is_secret_name(name: str, *, parameter: bool = False) -> bool:
    """Say whether a value of this name is a secret; `parameter` is for names in a URL's query."""
    plain = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", unquote(name))
    plain = re.sub(r"[^a-z0-9]+", "_", plain.lower())
    return bool(_SECRET_NAME.search(plain)) or (
        parameter and bool(_SECRET_PARAMETER.fullmatch(plain))
    )


def literal_secret(text: str) -> str | None:
    """Return which part of a URL or connection string is a secret, in words, or `None`.

    `${VAR}` is none. The default in `${VAR:-default}` is: it would be kept.
    """
    # What stands for a variable must survive, and must be nothing that a pattern looks for.
    plain = _WITH_DEFAULT.sub(lambda found: found["default"] or "\0", text)
    user, colon, password = _userinfo(plain).partition(":")
    if colon and password.strip("\0"):
        return "a password"
    if user.strip("\0") and re.match(r"https?://", plain, re.IGNORECASE):
        return "a user or token in front of the @"
    for pattern in _NAMED:
        for found in pattern.finditer(plain):
            named = is_secret_name(found["name"], parameter=pattern is _PARAMETER)
            if named and found["secret"].strip("\0'\""):
                return f"a value for {unquote(found['name'])!r}"
    if _TOKEN.search(plain):
        return "something that looks like a key"
    return None


def _userinfo(url: str) -> str:
    """Return what stands before the @, also where a password holds what should be encoded."""
    _, scheme, rest = url.partition("://")
    rest = rest if scheme else url
    before_query = rest.partition("?")[0]
    found = (before_query if "@" in before_query else rest).rpartition("@")[0]
    return "" if found.startswith("/") else found


def redact_logs() -> None:
    """Let no record of any logger, and no traceback of this process, show a secret."""
    before = logging.getLogRecordFactory()
    if getattr(before, "redacts", False):
        return

    def record(*args: object, **kwargs: object) -> logging.LogRecord:
        made = before(*args, **kwargs)
        try:
            said = made.getMessage()
        except (TypeError, ValueError):
            # Arguments that do not fit: whoever handles the record complains of it.
            return made
        if (clean := redact(said)) != said:
            made.msg, made.args = clean, ()
        if made.exc_info and not made.exc_text:
            made.exc_text = redact(logging.Formatter().formatException(made.exc_info))
        return made

    record.redacts = True  # type: ignore[attr-defined]
    logging.setLogRecordFactory(record)
    sys.excepthook = _print_redacted


def _print_redacted(
    kind: type[BaseException], error: BaseException, where: TracebackType | None
) -> None:
    print(redact("".join(traceback.format_exception(kind, error, where))), end="", file=sys.stderr)


def _hidden(found: re.Match[str]) -> str:
    if _is_reference(found["secret"]):
        return found[0]
    return found[0].replace(found["before"] + found["secret"], found["before"] + HIDDEN, 1)


def _hidden_if_named_so(found: re.Match[str]) -> str:
    if not is_secret_name(found["name"], parameter=found["before"][0] in "?&;"):
        return found[0]
    quote = found["secret"][0]
    if quote in "'\"":
        kept = found["secret"][1:-1]
        return found[0] if _is_reference(kept) else f"{found['before']}{quote}{HIDDEN}{quote}"
    return _hidden(found)


def _is_reference(secret: str) -> bool:
    return secret == HIDDEN or _REFERENCES.fullmatch(secret) is not None
