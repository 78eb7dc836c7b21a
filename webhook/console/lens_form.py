"""The settings of a lens as a form, and a filled form as changes of the lens.

Only what was changed is a change: a key that the form leaves as it is stays as the file has it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args, get_origin

from semilayer_pipelines.config import transforms
from semilayer_pipelines.config.base import ConfigModel
from semilayer_pipelines.config.fields import FieldConfig, FieldType
from semilayer_pipelines.config.models import LensConfig
from semilayer_pipelines.registry.stored_config import to_json, with_defaults

__all__ = ["KINDS", "FieldForm", "LensForm", "Step", "filled", "from_lens"]

MAX_STEPS = 50
"""Steps of one field that a form of the console takes."""


@dataclass(frozen=True)
class Option:
    """One option of a step: its words where there are only some, else `number` or a text."""

    name: str
    words: tuple[str, ...]
    number: bool
    needed: bool
    meaning: str


@dataclass(frozen=True)
class Kind:
    """A kind of step: what it does, and its options."""

    name: str
    meaning: str
    options: tuple[Option, ...]


def _kind(model: type[ConfigModel]) -> Kind:
    fields = dict(model.model_fields)
    name = get_args(fields.pop("type").annotation)[0]
    options = tuple(
        Option(
            name=field.alias or key,
            words=_words(field.annotation),
            number=field.annotation is int,
            needed=field.is_required(),
            meaning=field.description or "",
        )
        for key, field in fields.items()
    )
    return Kind(name, (model.__doc__ or "").split("\n")[0], options)


def _words(annotation: Any) -> tuple[str, ...]:
    if get_origin(annotation) is Literal:
        return tuple(get_args(annotation))
    inner = [arg for arg in get_args(annotation) if get_origin(arg) is Literal]
    return tuple(get_args(inner[0])) if inner else ()


KINDS: dict[str, Kind] = {
    kind.name: kind for kind in map(_kind, get_args(get_args(transforms.Transform)[0]))
}
"""Every kind of step, by name."""


@dataclass(frozen=True)
class Step:
    """One step of a field, with its options as texts."""

    kind: str
    options: Mapping[str, str]


@dataclass(frozen=True)
class FieldForm:
    """What the form has of a field."""

    name: str
    searchable: bool
    weight: str
    steps: tuple[Step, ...]


@dataclass(frozen=True)
class LensForm:
    """What the form has of a lens; texts as they were typed."""

    sync_interval: str
    smart_sync_interval: str
    guard: str
    fields: tuple[FieldForm, ...]

    def with_step(self, field: str, kind: str) -> LensForm:
        """Return the form with one more step, whose options are not given yet."""
        return self._with(field, lambda steps: (*steps, Step(kind, {})))

    def without_step(self, field: str, at: int) -> LensForm:
        """Return the form without a step."""
        return self._with(field, lambda steps: steps[:at] + steps[at + 1 :])

    def _with(self, name: str, change: Any) -> LensForm:
        fields = (
            replace(one, steps=change(one.steps)) if one.name == name else one
            for one in self.fields
        )
        return replace(self, fields=tuple(fields))

    def changes(self, config: LensConfig) -> dict[str, Any]:
        """Return the keys of a lens that the form changes, as a patch takes them."""
        now, found = with_defaults(config), dict[str, Any]()
        for key, text in (
            ("syncInterval", self.sync_interval),
            ("smartSyncInterval", self.smart_sync_interval),
        ):
            if (text or None) != now[key]:
                found[key] = text or None
        if self.guard != _percent(config.guard):
            found["guard"] = f"{self.guard}%"
        stored = to_json(config)["fields"]
        fields = {one.name: _changed(one, config, stored[one.name]) for one in self.fields}
        if fields != stored:
            found["fields"] = fields
        return found


def from_lens(config: LensConfig) -> LensForm:
    """Return the form of a lens as it is."""
    return LensForm(
        sync_interval=config.sync_interval or "",
        smart_sync_interval=config.smart_sync_interval or "",
        guard=_percent(config.guard),
        fields=tuple(_field_form(name, field) for name, field in config.fields.items()),
    )


def filled(given: Mapping[str, str], config: LensConfig) -> LensForm:
    """Return a form that was sent; what it lacks is empty."""
    return LensForm(
        sync_interval=given.get("syncInterval", ""),
        smart_sync_interval=given.get("smartSyncInterval", ""),
        guard=given.get("guard", "").strip().removesuffix("%").strip(),
        fields=tuple(
            FieldForm(
                name=name,
                searchable=f"{name}.searchable" in given,
                weight=given.get(f"{name}.weight", "1").strip(),
                steps=_steps(given, name),
            )
            for name in config.fields
        ),
    )


def _steps(given: Mapping[str, str], field: str) -> tuple[Step, ...]:
    found = []
    for at in range(MAX_STEPS):
        kind = KINDS.get(given.get(f"{field}.step.{at}", ""))
        if kind is None:
            break
        options = {one.name: given.get(f"{field}.step.{at}.{one.name}", "") for one in kind.options}
        found.append(Step(kind.name, options))
    return tuple(found)


def _field_form(name: str, field: FieldConfig) -> FieldForm:
    weight = field.searchable.weight if field.searchable else 1
    return FieldForm(name, field.searchable is not None, str(weight), _as_steps(field))


def _as_steps(field: FieldConfig) -> tuple[Step, ...]:
    return tuple(
        Step(
            step.type,
            {
                name: "" if value is None else str(value)
                for name, value in step.model_dump(by_alias=True, mode="json").items()
                if name != "type"
            },
        )
        for step in field.transform
    )


def _changed(form: FieldForm, config: LensConfig, stored: dict[str, Any]) -> dict[str, Any]:
    field, changed = config.fields[form.name], dict(stored)
    was = _field_form(form.name, field)
    if form.searchable != was.searchable or (form.searchable and form.weight != was.weight):
        weight = int(form.weight) if form.weight.isdecimal() else form.weight
        changed["searchable"] = {"weight": weight} if form.searchable else False
    if form.steps != was.steps:
        changed["transform"] = [_written(step, field) for step in form.steps]
    return changed


def _written(step: Step, field: FieldConfig) -> dict[str, Any] | str:
    options = {one.name: one for one in KINDS[step.kind].options}
    given = {
        name: _value(text, options[name], field)
        for name, text in step.options.items()
        if text or options[name].needed
    }
    return {"type": step.kind} | given if given else step.kind


def _value(text: str, option: Option, field: FieldConfig) -> Any:
    number = option.number or (option.name == "value" and field.type is FieldType.NUMBER)
    if number:
        try:
            return int(text) if text.lstrip("-").isdecimal() else float(text)
        except ValueError:
            return text  # the model says what is wrong with it
    if option.name == "value" and field.type is FieldType.BOOLEAN:
        return text.lower() in ("yes", "true", "1")
    return text


def _percent(share: float) -> str:
    return f"{round(share * 100, 6):g}"
