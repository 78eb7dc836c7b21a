"""What endpoints write into their headers about limits is read in all their spellings."""

import pytest

from semilayer_pipelines.embedders.rate_headers import Left, left, seconds_of


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("6m0s", 360),
        ("1s", 1),
        ("20ms", 0.02),
        ("1h2m3.5s", 3_723.5),
        ("2m59.56s", 179.56),
        ("1d", 86_400),
        ("12", 12),
        ("0.5", 0.5),
        ("", None),
        (None, None),
        ("soon", None),
        ("1x", None),
        ("s", None),
        ("-3s", None),
        ("Wed, 21 Oct 2026 07:28:00 GMT", None),
    ],
)
def test_durations(text: str | None, seconds: float | None) -> None:
    assert seconds_of(text) == (None if seconds is None else pytest.approx(seconds))


def test_what_is_left_of_each_limit() -> None:
    headers = {
        "x-ratelimit-limit-requests": "60",
        "x-ratelimit-remaining-requests": "59",
        "x-ratelimit-reset-requests": "1s",
        "x-ratelimit-remaining-tokens": "149984",
        "x-ratelimit-reset-tokens": "6m0s",
    }

    assert left(headers, "requests") == Left(59, 1.0, 60)
    assert left(headers, "tokens") == Left(149_984, 360.0, None)


def test_names_with_a_minute_in_them() -> None:
    headers = {
        "x-ratelimit-limit-tokens-minute": "5000000",
        "x-ratelimit-remaining-tokens-minute": "4999911",
        "x-ratelimit-reset-tokens-minute": "12",
        "x-ratelimit-remaining-req-minute": "717",
    }

    assert left(headers, "tokens") == Left(4_999_911, 12.0, 5_000_000)
    assert left(headers, "requests") is None  # nobody says until when


def test_a_project_may_have_a_limit_of_its_own() -> None:
    headers = {
        "x-ratelimit-remaining-tokens": "149984",
        "x-ratelimit-reset-tokens": "6m0s",
        "x-ratelimit-limit-project-tokens": "60000",
        "x-ratelimit-remaining-project-tokens": "57000",
        "x-ratelimit-reset-project-tokens": "3s",
    }

    assert left(headers, "tokens") == Left(149_984, 360.0, None)
    assert left(headers, "project tokens") == Left(57_000, 3.0, 60_000)


@pytest.mark.parametrize("nonsense", ["many", "-1", "1e3", ""])
def test_nonsense_says_nothing(nonsense: str) -> None:
    headers = {"x-ratelimit-remaining-requests": nonsense, "x-ratelimit-reset-requests": "1s"}

    assert left(headers, "requests") is None
