"""The webhook tells that nothing runs jobs, which the daemon itself cannot."""

from __future__ import annotations

from pathlib import Path

import pytest

from semilayer_pipelines.config.alerts import AlertConfig
from semilayer_pipelines.registry import alerts
from tests.control.receiver import receiving
from tests.patience import eventually
from tests.webhook.site import ENV, Site
from webhook.service import alerting


def test_the_webhook_tells_that_the_daemon_is_silent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    # given: an environment that was made long ago, and no daemon
    monkeypatch.setattr(alerting, "FIRST_LOOK_SECONDS", 0.3)
    monkeypatch.setattr(alerting, "LOOK_EVERY_SECONDS", 0.1)
    caplog.set_level("DEBUG")
    with receiving() as receiver:
        url = f"sqlite:///{tmp_path}/registry.db"
        for site in Site.opened(url, tmp_path, environ={"TO": receiver.url}):
            with site.project.registry.begin() as db:
                env_id = site.lens(env=ENV).env_id
                alerts.set_addresses(db, env_id, "shop", [AlertConfig(url="${TO}")])

            # when
            eventually(lambda: receiver.got)

        # then: it was told once, and the server ended well
        assert receiver.told == [("open", "daemon")]
        assert receiver.got[0]["lens"] is None
        assert "Told ${TO} of test: daemon (open)." in caplog.text
        assert receiver.url not in caplog.text
