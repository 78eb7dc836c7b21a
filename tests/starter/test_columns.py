"""Names and values of columns as people have them."""

from __future__ import annotations

import polars as pl
import pytest

from semilayer_pipelines.bridges.protocol import Column, ColumnKind
from semilayer_pipelines.starter.columns import (
    are_codes,
    is_html,
    is_personal,
    is_prose,
    is_secret,
    is_translations,
    plain_texts,
    tracking_column,
)


def tracked(*names: str, kind: ColumnKind = "datetime") -> str | None:
    return tracking_column(Column(name, kind, True, "") for name in names)


@pytest.mark.parametrize(
    "name",
    [
        *("updated_at", "updatedAt", "UpdatedAt", "UPDATED_AT", "updated", "updated_on"),
        *("update_time", "updateTime", "last_update", "last_updated", "lastUpdatedAt", "date_upd"),
        *("modified", "modified_at", "ModifiedDate", "date_modified", "last_modified", "mtime"),
        *("gmt_modified", "post_modified_gmt", "LastModifiedDate", "modified_on", "SystemModstamp"),
        *("changed", "changed_at", "last_changed", "change_date", "sys_updated_on", "ts_updated"),
        *("edited_at", "last_edited", "last_edit_date", "write_date", "row_updated_utc"),
    ],
)
def test_a_column_that_moves_with_every_change_is_known_by_any_usual_name(name: str) -> None:
    assert tracked("created_at", name, "published_on") == name


@pytest.mark.parametrize(
    "name",
    [
        *("created_at", "updated_by", "modified_by_id", "price_change", "change", "last_login"),
        *("last_seen", "published_at", "update_count", "changes", "edit_url", "write_access"),
        *("exchange_date", "deleted_at", "last_updated_user"),
    ],
)
def test_what_is_only_named_like_it_is_not_tracked(name: str) -> None:
    assert tracked(name) is None


def test_the_default_comes_first_then_times_then_numbers() -> None:
    assert tracked("modified", "updated_at", "changed") == "updated_at"
    times = [Column("changed", "integer", True, ""), Column("edited_at", "datetime", True, "")]
    assert tracking_column(times) == "edited_at"
    assert tracked("changed", kind="integer") == "changed"


@pytest.mark.parametrize(
    "name",
    [
        *("password", "passwd_hash", "api_key", "apiToken", "SecretAnswer", "pin", "cvv", "otp"),
        *("ssn", "SSN", "iban", "passport_no", "tax_id", "creditCardNumber", "social_security_no"),
        *("vat_number", "national_id", "encrypted_password", "access_token", "account_number"),
    ],
)
def test_secrets_and_the_numbers_of_people_are_known_by_name(name: str) -> None:
    assert is_secret(name)


@pytest.mark.parametrize(
    "name",
    [
        *("phone", "phone_number", "workPhone", "mobile", "fax", "tel1", "email", "e_mail"),
        *("email_address", "contact_email", "EMail", "ip_address", "phone2", "whatsapp"),
    ],
)
def test_ways_to_reach_a_person_are_known_by_name(name: str) -> None:
    assert is_personal(name)


@pytest.mark.parametrize(
    "name",
    [
        *("title", "email_subject", "mail_body", "phone_review", "shipping_note", "card_text"),
        *("spin", "option", "telescope", "mobile_app_description", "address", "tax_advice"),
    ],
)
def test_prose_about_them_is_prose(name: str) -> None:
    assert not is_secret(name)
    assert not is_personal(name)


@pytest.mark.parametrize(
    ("values", "prose"),
    [
        (["a red wool scarf", None, "a hat"], True),
        (["ein fester Tisch", "日本 の 本"], True),
        (["+1 555 0100", "+44 20 7946 0000"], False),
        (["XX00 0000 0000", "XX11 1111 1111"], False),
        (["12.5 kg / 30 cm", "9 kg / 10 cm"], False),
        (["ACTIVE", "CLOSED"], False),
        ([None, None], False),
    ],
)
def test_numbers_and_codes_are_no_prose_however_they_are_spaced(
    values: list[str | None], prose: bool
) -> None:
    assert is_prose(pl.Series(values, dtype=pl.String)) is prose


@pytest.mark.parametrize(
    ("documents", "found"),
    [
        (['{"en_US": "a desk", "de-DE": "ein Tisch"}', None, '{"fr": "une table"}'], True),
        (['{"en": "a desk"}', '{"width": "30 cm"}'], False),
        (['{"id": 7}'], False),
        (['["a", "b"]'], False),
        (["{}"], False),
        ([None], False),
    ],
)
def test_texts_by_language_are_told_from_other_documents(
    documents: list[str | None], found: bool
) -> None:
    assert is_translations(pl.Series(documents, dtype=pl.String)) is found


@pytest.mark.parametrize(
    ("values", "codes"),
    [
        (["AB-001", "AB-002", None, "CD-003"], True),
        (["4006381333931", "4006381333948", "4006381333955"], True),
        (["a@example.org", "b.c@example.org", "d@example.org"], True),
        (["my-first-post", "another-post", "about-us"], True),
        (["AB-001", "AB-002"], False),  # too few to tell
        (["AB-1", "AB-1", "AB-1", "AB-2"], False),  # a kind, and no name of a row
        (["red", "green", "blue"], False),
        (["12.50", "3,99", "10.00"], False),
        (["https://a.org/1", "https://a.org/2", "https://a.org/3"], False),
        (["a text 1", "a text 2", "a text 3"], False),
        (["", "", ""], False),
    ],
)
def test_codes_are_told_from_words_numbers_and_kinds(values: list[str | None], codes: bool) -> None:
    assert are_codes(pl.Series(values, dtype=pl.String)) is codes


@pytest.mark.parametrize(
    ("values", "html"),
    [
        (["<p>one</p>", "<div class='a'>two</div>", "three"], True),
        (["a<br/>b", None], True),
        (["1 < 2 > 0", "a <b, c> d", "List<String>"], False),
        (["How do I close a <p>?", "a question", "another"], False),
        ([None], False),
    ],
)
def test_html_is_told_from_texts_that_have_its_signs(values: list[str | None], html: bool) -> None:
    assert is_html(pl.Series(values, dtype=pl.String)) is html


def test_bytes_are_texts_only_if_they_read_as_such() -> None:
    read = plain_texts(pl.Series("x", [b"a title", None], dtype=pl.Binary))

    assert read is not None
    assert read.to_list() == ["a title", None]
    assert plain_texts(pl.Series("x", [b"\x89PNG\r\n", b"a"], dtype=pl.Binary)) is None
    assert plain_texts(pl.Series("x", [b"a\x00b"], dtype=pl.Binary)) is None
