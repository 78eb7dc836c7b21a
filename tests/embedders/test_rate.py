"""A machine remembers how fast it embeds, and gets by without it."""

from pathlib import Path

import pytest

from semilayer_pipelines.embedders.rate import Rate, keep_rate, known_rate


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path


def test_a_rate_is_known_by_its_model() -> None:
    keep_rate("a", texts=1_000, tokens=50_000, seconds=10)
    keep_rate("b", texts=400, tokens=0, seconds=2)
    keep_rate("a", texts=1_000, tokens=50_000, seconds=20)

    assert known_rate("a") == Rate(50, 2_500)
    assert known_rate("b") == Rate(200, 0)
    assert known_rate("c") is None


def test_a_few_texts_are_no_measurement() -> None:
    keep_rate("a", texts=20, tokens=1_000, seconds=3)

    assert known_rate("a") is None


def test_a_broken_or_locked_file_is_no_rate_and_no_error(cache: Path) -> None:
    keep_rate("a", texts=1_000, tokens=1, seconds=1)
    [file] = cache.rglob("embedding-rates.json")
    file.write_text('{"a": [1')

    assert known_rate("a") is None
    keep_rate("a", texts=300, tokens=300, seconds=1)
    assert known_rate("a") == Rate(300, 300)


def test_a_cache_that_cannot_be_written_costs_only_the_estimate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))

    keep_rate("a", texts=1_000, tokens=1, seconds=1)

    assert known_rate("a") is None
