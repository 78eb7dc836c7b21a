"""The console as a browser sees it, without a browser: cookies, forms, and where they lead."""

from __future__ import annotations

import html
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx
from starlette.testclient import TestClient

from semilayer_pipelines.project import Project
from semilayer_pipelines.registry import api_keys, environments
from semilayer_pipelines.registry.api_key import KeyKind
from tests.lab import ENV
from webhook.app import build_app

LOCAL = "http://127.0.0.1:8000"


@dataclass
class Viewer:
    """A browser on the machine of the webhook."""

    project: Project
    client: TestClient

    @classmethod
    @contextmanager
    def of(cls, project: Project, **options: Any) -> Iterator[Viewer]:
        told = {"base_url": LOCAL, "client": ("127.0.0.1", 5)} | options
        with TestClient(build_app(project), follow_redirects=False, **told) as client:
            yield cls(project, client)

    def new_key(self, kind: KeyKind = KeyKind.SERVICE, env: str = ENV) -> str:
        with self.project.registry.begin() as db:
            now = self.project.clock()
            environments.ensure(db, env, now)
            _, text = api_keys.create(db, env, kind, "of a test", choose=secrets.choice, now=now)
            return text

    def sign_in(self, key: str | None = None, **options: Any) -> httpx.Response:
        form = {"key": self.new_key() if key is None else key}
        return self.client.post("/console/-/sign-in", data=form, **options)  # type: ignore[return-value]

    def get(self, path: str, **options: Any) -> httpx.Response:
        return self.client.get(path, **options)  # type: ignore[return-value]

    def page(self, path: str) -> str:
        """Return the text of a page, without its tags."""
        response = self.get(path)
        assert response.status_code == 200, (response.status_code, words(response.text))
        return words(response.text)

    def send(self, page: str, action: str, form: dict[str, Any] | None = None) -> httpx.Response:
        """Send a form that is on a page, with these fields besides its hidden ones."""
        text = self.get(page).text
        found = re.search(
            rf'<form[^>]*action="{re.escape(html.escape(action))}"[^>]*>(.*?)</form>',
            text,
            re.DOTALL,
        )
        assert found, f"{page} has no form to {action}"
        hidden = re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)"', found[1])
        fields = {name: html.unescape(value) for name, value in hidden} | (form or {})
        return self.client.post(action, data=fields)  # type: ignore[return-value]

    def after(self, response: httpx.Response) -> str:
        """Return the text of the page to which a form led."""
        assert response.status_code == 303, (response.status_code, words(response.text))
        return self.page(response.headers["location"])


def words(text: str) -> str:
    """Return what a reader sees of a page, in one line."""
    body = text[text.index("<body>") :]
    return html.unescape(re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", body)))
