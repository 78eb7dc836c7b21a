"""What a person changes on the console: keys, settings of a lens, environments."""

from __future__ import annotations

import html
import re

import pytest

from semilayer_pipelines.config.models import ProjectConfig
from semilayer_pipelines.control.push import plan_push
from semilayer_pipelines.errors import NotFound
from semilayer_pipelines.registry import api_keys, environments, lenses
from semilayer_pipelines.registry.api_key import KeyKind, parse_key
from semilayer_pipelines.registry.lenses import Lens, LensStatus, Needs
from semilayer_pipelines.registry.stored_config import to_json
from tests.lab import ENV, Lab
from tests.webhook.console.site import Viewer, words

ITEMS = f"/console/{ENV}/lenses/items"
SETTINGS = f"{ITEMS}/settings"
KEYS = f"/console/{ENV}/keys"
ENVS = "/console/-/environments"


def filled(viewer: Viewer, page: str, action: str) -> dict[str, str]:
    """Return what a browser would send of a form that nobody touched."""
    text = viewer.get(page).text
    form = text.split(f'action="{action}"')[1].split("</form>")[0]
    found = {}
    for tag in re.findall(r"<input [^>]*>", form):
        name, value = re.search(r' name="([^"]+)"', tag), re.search(r' value="([^"]*)"', tag)
        if name and ('type="checkbox"' not in tag or " checked" in tag):
            found[name[1]] = html.unescape(value[1]) if value else "on"
    for name, options in re.findall(r'<select[^>]* name="([^"]+)">(.*?)</select>', form):
        chosen = re.search(r'<option(?: value="([^"]*)")? selected>([^<]*)', options)
        found[name] = (chosen[1] or chosen[2]) if chosen else ""
    return found


def change(viewer: Viewer, changed: dict[str, str], do: str = "save") -> str:
    """Save the settings with some fields changed; return what is told."""
    form = filled(viewer, SETTINGS, SETTINGS) | changed | {"do": do}
    saved = viewer.client.post(SETTINGS, data=form)
    if saved.status_code == 303:
        return viewer.page(saved.headers["location"])
    return words(saved.text)


def lens_of(lab: Lab, env: str) -> Lens:
    with lab.project.registry.read() as db:
        return lenses.get(db, env, "items")


def test_a_key_is_shown_once_used_and_revoked(viewer: Viewer) -> None:
    made = viewer.send(KEYS, KEYS, {"name": "web <shop>", "kind": "search"}).text
    found = re.search(r'id="new-key">([^<]+)<', made)
    assert found is not None
    key = parse_key(found[1])
    assert key is not None
    assert key.kind is KeyKind.SEARCH

    told = viewer.page(KEYS)
    assert found[1] not in told
    assert "web <shop>" in told
    assert "last used" in told.lower()

    revoke = f"{KEYS}/{key.id}/revoke"
    assert "never used" in viewer.page(revoke)
    assert "web <shop> is revoked" in viewer.after(viewer.send(revoke, revoke))
    with viewer.project.registry.read() as db:
        assert api_keys.check(db, [key]) == {}


def test_whoever_revokes_their_own_key_is_told_and_signed_out(viewer: Viewer) -> None:
    with viewer.project.registry.read() as db:
        (own,) = api_keys.list_all(db, ENV)
    revoke = f"{KEYS}/{own.id}/revoke"
    assert "it signs you out" in viewer.page(revoke)

    viewer.send(revoke, revoke)

    assert viewer.get(KEYS).headers["location"].startswith("/console/-/sign-in")


def test_a_key_needs_a_name(viewer: Viewer) -> None:
    refused = viewer.send(KEYS, KEYS, {"name": " ", "kind": "search"})

    assert refused.status_code == 400
    assert "printable characters" in words(refused.text)


def test_a_form_that_nobody_touched_changes_nothing(viewer: Viewer, lab: Lab) -> None:
    before = lab.lens

    assert "Nothing was changed." in change(viewer, {})
    assert lab.lens == before


def test_cadence_and_guard_are_drift_that_a_push_warns_of(viewer: Viewer, lab: Lab) -> None:
    before = to_json(lab.lens.config)

    told = change(viewer, {"syncInterval": "5m", "guard": "12.5"})

    assert "Saved." in told
    assert "Changed since the last push By console" in told
    assert "+ guard: 0.125" in told
    assert (lab.lens.config.sync_interval, lab.lens.config.guard) == ("5m", 0.125)
    source = {"bridge": "sql", "connection": f"sqlite:///{lab.database}"}
    file = ProjectConfig.model_validate(
        {"stack": "t", "sources": {"main": source}, "lenses": {"items": before}}
    )
    (drift,) = plan_push(lab.project, file, ENV).drift
    assert (drift.origin, {edit.path for edit in drift.edits}) == (
        "console",
        {("syncInterval",), ("guard",)},
    )


def test_a_step_is_added_filled_in_and_removed(viewer: Viewer, lab: Lab) -> None:
    asked = change(viewer, {"name.new": "truncate"}, do="add:name")
    assert "1. truncate length" in asked
    assert not lab.lens.config.fields["name"].transform

    told = change(viewer, {"name.step.0": "truncate", "name.step.0.length": "5"})
    assert "press Sync" in told
    (step,) = lab.lens.config.fields["name"].transform
    assert step.model_dump() == {"type": "truncate", "length": 5}
    assert lab.lens.needs is Needs.SMART_SYNC

    form = filled(viewer, SETTINGS, SETTINGS) | {"do": "drop:name:0"}
    dropped = viewer.client.post(SETTINGS, data=form).text
    assert "1. truncate" not in words(dropped)
    del form["name.step.0"], form["name.step.0.length"]
    viewer.client.post(SETTINGS, data=form | {"do": "save"})
    assert lab.lens.config.fields["name"].transform == ()


def test_what_is_embedded_is_changed(viewer: Viewer, lab: Lab) -> None:
    assert "press Sync" in change(viewer, {"name.searchable": "on", "name.weight": "4"})

    searchable = lab.lens.config.fields["name"].searchable
    assert searchable is not None
    assert searchable.weight == 4


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"guard": "many"}, "expected a share such as 30%"),
        ({"name.searchable": "on", "name.weight": "11"}, "less than or equal to 10"),
        ({"name.step.0": "truncate", "name.step.0.length": "x"}, "length"),
        ({"name.step.0": "custom", "name.step.0.function": "os:system"}, "is a function"),
        ({"seen": "another"}, "Somebody else changed the lens"),
    ],
)
def test_what_is_wrong_is_told_beside_the_form_that_was_filled(
    viewer: Viewer, lab: Lab, changed: dict[str, str], why: str
) -> None:
    before = lab.lens

    told = change(viewer, {"syncInterval": "1h"} | changed)

    assert "Nothing was saved." in told
    assert why in told
    assert lab.lens == before


def test_an_environment_is_made_with_its_keys_and_opened(viewer: Viewer) -> None:
    made = viewer.send(ENVS, ENVS, {"name": "staging"})

    assert {text[:2] for text in re.findall(r'class="secret">([^<]+)<', made.text)} == {
        "sk", "qk", "ik",
    }  # fmt: skip
    assert "No lens is registered in staging yet" in viewer.page("/console/staging/lenses")
    again = viewer.send(ENVS, ENVS, {"name": "staging"})
    assert again.status_code == 409


def test_a_lens_is_compared_and_taken_over_and_keeps_the_databases_of_its_environment(
    viewer: Viewer, lab: Lab
) -> None:
    # given an environment that has no lens
    viewer.send(ENVS, ENVS, {"name": "staging"})
    compare = f"{ENVS}/compare?left={ENV}&right=staging"
    assert "items ready none only one has it" in viewer.page(compare)

    # when it takes one over, then it has it, paused
    asked = f"{ENVS}/promote?from={ENV}&to=staging&lens=items"
    assert "It comes paused" in viewer.page(asked)
    told = viewer.after(viewer.send(asked, f"{ENVS}/promote"))
    assert "staging has items of test" in told
    assert lens_of(lab, "staging").status is LensStatus.PAUSED
    assert lens_of(lab, "staging").origin == "console"

    # and later changes are told before they are taken over
    change(viewer, {"guard": "50"})
    assert "+ guard: 0.3" in viewer.page(compare)
    assert "- guard: 0.3 + guard: 0.5" in viewer.page(asked)
    viewer.after(viewer.send(asked, f"{ENVS}/promote"))
    assert lens_of(lab, "staging").config.guard == 0.5


def test_only_environments_whose_keys_were_shown_are_compared_or_changed(
    viewer: Viewer, lab: Lab
) -> None:
    viewer.new_key(env="production")

    for path in (
        f"{ENVS}/compare?left={ENV}&right=production",
        f"{ENVS}/promote?from={ENV}&to=production&lens=items",
    ):
        refused = viewer.get(path)
        assert refused.status_code == 403
        assert "not signed in to 'production'" in words(refused.text)
    assert "/console/production" not in viewer.get(ENVS).text


def test_an_environment_is_deleted_when_its_name_is_typed(viewer: Viewer, lab: Lab) -> None:
    viewer.sign_in(viewer.new_key(env="production"))
    delete = f"/console/{ENV}/environments/delete"
    assert "removes 1 lenses" in viewer.page(delete)

    assert viewer.send(delete, delete, {"typed": "tset"}).status_code == 409
    assert lab.lens.name == "items"
    told = viewer.after(viewer.send(delete, delete, {"typed": ENV}))

    assert "test is deleted" in told
    with lab.project.registry.read() as db, pytest.raises(NotFound):
        environments.get(db, ENV)
    assert "Lenses of production" in viewer.page("/console/production/lenses")
