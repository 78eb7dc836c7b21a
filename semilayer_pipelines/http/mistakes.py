"""What is wrong with what a caller sent, in words: a field by its name, and what there is instead.

Nothing of a caller is quoted in a form that a log or a terminal could misread.
"""

from __future__ import annotations

from pydantic import BaseModel, ValidationError

from semilayer_pipelines.errors import nearest

__all__ = ["mistake"]

_SHOWN_CHARACTERS = 80


def mistake(
    error: ValidationError, model: type[BaseModel], what: str, *, field: str = "field"
) -> tuple[str, str]:
    """Return the first mistake as a sentence, and what to do about it (empty for nothing to say).

    `what` was read, such as "The body"; `field` is what its parts are called.
    """
    found = error.errors(include_url=False, include_context=False)[0]
    loc, said = found["loc"], found["msg"]
    known = [each.alias or name for name, each in model.model_fields.items()]
    path = ascii(".".join(map(str, loc))[:_SHOWN_CHARACTERS])
    match found["type"]:
        case "extra_forbidden" if len(loc) == 1:
            takes = f"It takes {', '.join(known)}." if known else "It takes none."
            return f"{what} has an unknown {field} {path}{nearest(str(loc[0]), known)}.", takes
        case "extra_forbidden":
            return f"{what} has an unknown {field} {path}.", ""
        case "missing":
            return f"{what} lacks {path}.", ""
        case _:
            return f"{what}: {path}: {said[:1].lower()}{said[1:]}.", ""
