"""`alerts:` from the file to the address: push, test, list."""

from __future__ import annotations

import json

from semilayer_pipelines.control.alerts import tell
from semilayer_pipelines.registry import alerts, lenses
from tests.cli.project import Folder
from tests.control.receiver import receiving


def names(folder: Folder, *to: dict[str, object]) -> None:
    """Write the addresses into the file."""
    file = folder.path / "sl.config.yaml"
    config = json.loads(file.read_text()) | {"alerts": list(to)}
    file.write_text(json.dumps(config, indent=1))


def registered(folder: Folder) -> list[str]:
    with folder.project.registry.read() as db:
        return [to.url for one in alerts.addresses(db) for to in one.to]


def test_a_push_adds_changes_and_takes_out_addresses_also_when_no_lens_changed(
    folder: Folder,
) -> None:
    assert folder.run("push").exit_code == 0
    assert registered(folder) == []

    names(folder, {"url": "${TO}"})
    assert "alerts     tell ${TO}" in folder.run("push").stdout
    names(folder, {"url": "${TO}"}, {"url": "https://ops.example.org/hooks/semilayer"})
    assert "tell ${TO}, https://ops.example.org/…" in folder.run("push").stdout
    assert registered(folder) == ["${TO}", "https://ops.example.org/hooks/semilayer"]

    # Nothing new is said of what did not change, and a push of one lens leaves it alone.
    assert "alerts" not in folder.run("push").stdout
    names(folder)
    assert folder.run("push", "--dry-run").exit_code == 0
    assert folder.run("push", "--lens", "items").exit_code == 0
    assert len(registered(folder)) == 2

    assert "alerts     tell nobody any more" in folder.run("push").stdout
    assert registered(folder) == []


def test_a_test_goes_to_each_address_and_its_exit_code_says_whether_all_took_it(
    folder: Folder,
) -> None:
    assert folder.run("push").exit_code == 0
    nobody = folder.run("alerts", "test")
    assert (nobody.exit_code, "names no address" in nobody.stderr) == (2, True)

    with receiving() as receiver:
        folder.environ["TO"] = receiver.url
        names(folder, {"url": "${TO}"})
        folder.run("push")
        taken = folder.run("alerts", "test")
        names(folder, {"url": "${TO}"}, {"url": "${OTHER}", "form": "slack"})
        folder.run("push")
        half = folder.run("alerts", "test", "--json")

    assert (taken.exit_code, taken.stdout) == (
        0,
        "${TO} (json): It took the message (HTTP 204).\n",
    )
    assert half.exit_code == 1
    told = json.loads(half.stdout)
    assert [one["status"] for one in told] == [204, None]
    assert "OTHER is not set" in told[1]["trouble"]
    assert receiver.url not in half.output


def test_the_list_says_what_is_wrong_and_what_an_address_did_not_take(folder: Folder) -> None:
    assert folder.run("push").exit_code == 0
    assert "names no address" in folder.run("alerts", "list").stdout
    with receiving() as receiver:
        receiver.status = 500
        folder.environ["TO"] = receiver.url
        names(folder, {"url": "${TO}"})
        assert folder.run("push").exit_code == 0
        assert "Nothing is wrong. ${TO} would be told." in folder.run("alerts", "list").stdout
        project = folder.project
        with project.registry.begin() as db:
            lens, now = lenses.get(db, "development", "items"), project.clock()
            lenses.set_status(db, lens.id, lenses.LensStatus.READY, now=now)
            lenses.set_failing(db, lens.id, error="No.", cure="Do.", needs_you=True, now=now)
        tell(project)

        told = folder.run("alerts", "list").stdout
        listed = folder.json("alerts", "list")

    assert "not yet" in told
    assert "${TO} did not take it. It answered HTTP 500. Tries: 1; the next is at " in told
    [one] = listed["alerts"]
    assert (one["lens"], one["kind"], one["toldAt"], one["over"]) == ("items", "error", None, False)
    assert one["trouble"] == "It answered HTTP 500."
    assert one["nextTryAt"] is not None
