"""Whom a project tells when something is wrong with a lens: the addresses and what they take."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, ValidationInfo, field_validator

from semilayer_pipelines.config.base import STORED, ConfigModel, no_secret, no_truth

__all__ = ["AlertConfig", "AlertForm", "Alerts"]

_VARIABLE = re.compile(r"\$\{[A-Za-z_][A-Za-z0-9_]*\}")
_ADDRESS = re.compile(r"https?://[^\s/?#]\S*", re.IGNORECASE)
_SLACK = re.compile(r"https?://([^\s/?#]*[.@])?slack(-gov)?\.com\.?(:\d+)?([/?#]|$)", re.IGNORECASE)
_SLACK_IS_A_SECRET = (
    "an address of Slack is a secret itself; put it into the environment and write url: "
    "${SLACK_URL}"
)


class AlertForm(StrEnum):
    """What an address is sent: a JSON document of ours, or the text that Slack shows."""

    JSON = "json"
    SLACK = "slack"


class AlertConfig(ConfigModel):
    """An address that is told when something is wrong, and once more when it is over."""

    url: Annotated[
        str,
        Field(
            min_length=1,
            description="`${VAR}`, or an address that begins with http:// or https:// and holds no "
            "secret. For Slack it must be a `${VAR}`: whoever knows such an address can write "
            "there.",
        ),
    ]
    form: Annotated[
        AlertForm,
        Field(description="`json`: a document that a program reads; `slack`: a text for people."),
    ] = AlertForm.JSON
    failed_rows: Annotated[
        int,
        Field(
            ge=0,
            le=9_999,
            description="It is told of a lens that has more failed rows than this. No more than "
            "10,000 of a lens are kept.",
        ),
    ] = 100

    _numbers = field_validator("failed_rows", mode="before")(no_truth)

    @field_validator("url")
    @classmethod
    def _an_address_without_a_secret(cls, url: str, info: ValidationInfo) -> str:
        no_secret(url, info)
        if not _VARIABLE.fullmatch(url) and not _ADDRESS.fullmatch(url):
            raise ValueError(
                "expected the name of an environment variable, ${ALERTS_URL}, or an address that "
                "begins with http:// or https://"
            )
        if info.context != STORED and _SLACK.match(url):
            raise ValueError(_SLACK_IS_A_SECRET)
        return url

    @field_validator("form")
    @classmethod
    def _slack_is_a_secret(cls, form: AlertForm, info: ValidationInfo) -> AlertForm:
        url = info.data.get("url")
        if form is AlertForm.SLACK and url is not None and not _VARIABLE.fullmatch(url):
            raise ValueError(_SLACK_IS_A_SECRET)
        return form

    @property
    def shown(self) -> str:
        """The address as people may see it: the variable's name, or the host alone."""
        if _VARIABLE.fullmatch(self.url):
            return self.url
        scheme, host = urlsplit(self.url)[:2]
        return f"{scheme}://{host}/…"


def _each_once(alerts: tuple[AlertConfig, ...]) -> tuple[AlertConfig, ...]:
    """Return the addresses; raises `ValueError` for one that stands there twice."""
    seen = set[str]()
    for alert in alerts:
        if alert.url in seen:
            raise ValueError(f"{alert.shown} stands there twice; each address may be there once")
        seen.add(alert.url)
    return alerts


Alerts = Annotated[
    tuple[AlertConfig, ...],
    AfterValidator(_each_once),
    Field(description="Addresses that are told when something is wrong, and when it is over."),
]
"""The key `alerts` of the file."""
