"""New keys, as a command prints them: once, because only their hashes are kept."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from semilayer_pipelines.control.environments import IssuedKey

__all__ = ["issued_json", "tell_issued"]


def tell_issued(env: str, issued: Sequence[IssuedKey], tell: Callable[[str], None]) -> None:
    """Print the keys that an environment got when it was made; nothing when it got none."""
    if not issued:
        return
    tell(f"Keys of {env}. Keep them now: they cannot be shown again.")
    for each in issued:
        tell(f"  {each.key.kind.value:8} {each.text}")


def issued_json(issued: Sequence[IssuedKey]) -> list[dict[str, object]]:
    """Return new keys as a command prints them with `--json`."""
    return [
        {"id": each.key.id, "type": each.key.kind.value, "name": each.key.name, "key": each.text}
        for each in issued
    ]
