from __future__ import annotations

import hashlib
import random
import re
import secrets

import pytest

from semilayer_pipelines.registry.api_key import KeyKind, hide_keys, new_key, parse_key, shown


@pytest.mark.parametrize(
    ("kind", "prefix"), [(KeyKind.INGEST, "ik_"), (KeyKind.SEARCH, "qk_"), (KeyKind.SERVICE, "sk_")]
)
def test_a_key_says_what_it_may_do_and_where_and_can_be_taken_apart(
    kind: KeyKind, prefix: str
) -> None:
    text = new_key(kind, "eu-west-2", secrets.choice)

    parsed = parse_key(text)

    assert text.startswith(f"{prefix}eu-west-2_")
    assert parsed is not None
    assert (parsed.kind, parsed.env) == (kind, "eu-west-2")
    assert parsed.digest == hashlib.sha256(text.encode()).hexdigest()
    assert re.fullmatch(r"[0-9A-Za-z]{10}", parsed.id)


def test_the_secret_part_has_more_than_128_random_bits() -> None:
    asked: list[str] = []

    def choose(characters: str) -> str:
        asked.append(characters)
        return characters[0]

    new_key(KeyKind.INGEST, "test", choose)

    assert len(asked) == 40
    assert all(len(set(characters)) == 62 for characters in asked)


def test_no_single_wrong_character_goes_unnoticed() -> None:
    chance = random.Random(1)
    text = new_key(KeyKind.INGEST, "production", chance.choice)
    alphabet = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

    for at, right in enumerate(text):
        for wrong in alphabet.replace(right, ""):
            assert parse_key(text[:at] + wrong + text[at + 1 :]) is None, (at, wrong)


@pytest.mark.parametrize(
    "change",
    [
        lambda text: "",
        lambda text: text[:-1],
        lambda text: text + "0",
        lambda text: text + "\n",
        lambda text: " " + text,
        lambda text: text.replace("ik_", "sk_"),
        lambda text: text.replace("ik_", "qk_"),
        lambda text: text.replace("test", "tost"),
        lambda text: text.replace("ik_", "pk_"),
        lambda text: text.upper(),
        lambda text: "ik_test_" + "é" * 46,
        lambda text: text.replace("_", "_\0", 1),
    ],
)
def test_what_is_no_key_is_refused_without_asking_anybody(change: object) -> None:
    text = new_key(KeyKind.INGEST, "test", random.Random(2).choice)

    assert parse_key(text) is not None
    assert parse_key(change(text)) is None  # type: ignore[operator]


def test_neither_representation_nor_name_of_a_key_shows_its_secret() -> None:
    text = new_key(KeyKind.INGEST, "test", secrets.choice)
    parsed = parse_key(text)
    assert parsed is not None
    secret = text[len("ik_test_") + 10 : -6]

    assert secret not in repr(parsed)
    assert parsed.digest not in repr(parsed)
    assert secret not in shown(parsed.kind, parsed.env, parsed.id)


def test_keys_inside_a_text_can_be_hidden() -> None:
    text = new_key(KeyKind.SERVICE, "eu-1", secrets.choice)

    assert hide_keys(f"no mode '{text}', use ik_test_short") == (
        "no mode 'sk_eu-1_…', use ik_test_short"
    )
