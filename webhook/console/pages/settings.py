"""Changing a lens from here: cadence, guard, what is embedded, and the steps of each field.

The change is drift. A push of the file warns before it undoes it, and `semilayer export config`
writes it into the file.
"""

from __future__ import annotations

from semilayer_pipelines.config.intervals import SYNC_INTERVALS
from semilayer_pipelines.control.patch import change_lens
from semilayer_pipelines.counts import span
from semilayer_pipelines.errors import Overtaken, SemilayerError
from semilayer_pipelines.registry.lenses import Lens, Needs
from webhook.console.lens_form import KINDS, LensForm, filled, from_lens
from webhook.console.pages.actions import ORIGIN
from webhook.console.pages.lens import registered
from webhook.console.web import SLOW_SECONDS, At, Go, Page
from webhook.service.problems import Problem, from_error

__all__ = ["save", "settings"]

_NEXT = {
    Needs.NOTHING: "",
    Needs.SMART_SYNC: " What is indexed is not so yet: press Sync.",
    Needs.REBUILD: " Its index has to be built again: press Resume.",
}


async def settings(at: At) -> Page:
    """Show the form."""
    lens = await registered(at)
    return _page(lens, from_lens(lens.config), None)


async def save(at: At) -> Page | Go:
    """Change the lens, or show the form with a step more or less."""
    lens = await registered(at)
    form = filled(dict(at.form), lens.config)
    what, _, where = at.given("do").partition(":")
    match what:
        case "add" if at.given(f"{where}.new") in KINDS:
            return _page(lens, form.with_step(where, at.given(f"{where}.new")), None)
        case "drop":
            field, _, number = where.partition(":")
            place = int(number) if number.isdecimal() else 0
            return _page(lens, form.without_step(field, place), None)
        case "save":
            return await _save(at, lens, form)
        case _:
            return _page(lens, form, None)


async def _save(at: At, lens: Lens, form: LensForm) -> Page | Go:
    project, changes = at.console.service.project, form.changes(lens.config)
    here = f"{at.base}/lenses/{lens.name}"
    if not changes:
        return Go(f"{here}/settings", "Nothing was changed.")
    try:
        if at.given("seen") != lens.config_hash:
            raise Overtaken(
                "Somebody else changed the lens since you opened this page; nothing was saved.",
                cure="Open the page again and repeat your change.",
                lens=lens.name,
            )
        changed = await at.slow(
            lambda: change_lens(project, lens.env, lens.name, changes, origin=ORIGIN),
            seconds=2 * SLOW_SECONDS,
        )
    except SemilayerError as error:
        return _page(lens, form, from_error(error))
    at.console.kept.forget()
    return Go(here, f"Saved.{_NEXT[changed.needs]}")


def _page(lens: Lens, form: LensForm, problem: Problem | None) -> Page:
    used = {step.type for field in lens.config.fields.values() for step in field.transform}
    # A function is code: only the file may name one that is not in use.
    kinds = [kind for kind in KINDS.values() if kind.name != "custom" or "custom" in used]
    data = {
        "lens": lens,
        "form": form,
        "problem": problem,
        "kinds": kinds,
        "known": KINDS,
        "intervals": {name: span(length) for name, length in SYNC_INTERVALS.items()},
    }
    return Page("settings.html", data, problem.status if problem else 200)
