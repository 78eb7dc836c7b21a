"""No secret is shown, in whatever form it comes, and what is no secret stays readable."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest

from semilayer_pipelines.redaction import literal_secret, redact

SECRET = "hunter2-S3cret"
LONG = "0123456789abcdefghijABCDEFGHIJ0123456789abcdef"


@pytest.mark.parametrize(
    "text",
    [
        f"postgresql://shop:{SECRET}@db/shop",
        f"postgresql://shop:{SECRET}@host@db/shop",
        f"postgresql://shop:a/b?c#{SECRET}@db/shop",
        f"postgresql://shop:one {SECRET} two@db:5432/shop",
        f"jdbc:postgresql://db/shop?user=shop&password={SECRET}",
        f"postgresql://db/shop?sslmode=require&sslpassword={SECRET}&user=x",
        f"mysql://db/shop?p%61ssword={SECRET}",
        f"https://models/v1?api-key={SECRET}",
        f"https://models/v1?key={SECRET}",
        f"https://models/v1?sig={SECRET}&se=2030",
        f"https://{SECRET}@models/v1",
        f"host=db user=shop password={SECRET} dbname=shop",
        f"host=db password = '{SECRET} \\' more {SECRET}' dbname=shop",
        f'connection "host=db passwd={SECRET}" failed',
        f"PGPASSWORD={SECRET} psql",
        f"{{'password': '{SECRET}', 'user': 'shop'}}",
        f'{{"apiKey": "{SECRET}"}}',
        f"Authorization: Bearer {SECRET}",
        f"{{'authorization': 'Basic {SECRET}'}}",
        f"X-API-Key: {SECRET}",
        f"sent Bearer {SECRET}{LONG}",
        f"the key ik_test_{LONG}",
        f"the key qk_test-eu_{LONG}",
        f"the key sk-proj-{LONG}",
        f"${{URL:-postgresql://u:{SECRET}@h/d}}",
    ],
)
def test_a_secret_is_taken_out_of_every_form_it_comes_in(text: str) -> None:
    clean = redact(text)

    assert SECRET not in clean
    assert LONG not in clean
    assert "***" in clean
    assert redact(clean) == clean


@pytest.mark.parametrize(
    "text",
    [
        "postgresql://shop@db:5432/shop?sslmode=require&application_name=x",
        "postgresql://shop:${PGPASSWORD}@db/shop",
        "mysql://db/shop?password=${PW}",
        "password=${PGPASSWORD} or ?password=${PW}",
        "Write ?ssl_ca=/etc/ca.pem or ?sslkey=/etc/key.pem.",
        "tokens=12, max_tokens=5, primary_key=id, key=7, passed=3",
        "See http://127.0.0.1:3000/runs/1 and ask ops@example.org.",
        "http://127.0.0.1:3000 does not answer; mail to ops@example.org",
        "Send 'Authorization: Bearer ik_…', with a key of `semilayer keys create`.",
        "A basic understanding of embeddings, and a bearer instrument.",
        "sk_production_4fK2x9QbZe…",
        "lens 'items': column 'password' is missing",
    ],
)
def test_what_is_no_secret_stays_as_it_is(text: str) -> None:
    assert redact(text) == text


def test_a_long_text_is_redacted_in_a_moment() -> None:
    texts = ["://a:" * 20_000, "password=" * 20_000, "a=" * 50_000, "'a': " * 50_000, "x" * 200_000]

    began = time.process_time()
    for text in texts:
        redact(text)

    assert time.process_time() - began < 10


@pytest.mark.parametrize(
    "text",
    [
        "${DATABASE_URL}",
        "${DATABASE_URL:-sqlite:///shop.db}",
        "postgresql://shop:${PW}@db/shop",
        "postgresql://${USER}:${PW:-}@db/shop",
        "postgresql://db/shop?password=${PW}&sslmode=require",
        "host=db password=${PW}",
        "postgresql://shop@db/shop",
        "sqlite:////srv/a:b@c/shop.db",
        "https://models.example.org/v1?api-version=2024-02-01",
        "http://[::1]:8080/v1",
    ],
)
def test_a_reference_to_a_secret_is_none(text: str) -> None:
    assert literal_secret(text) is None


@pytest.mark.parametrize(
    "text",
    [
        f"postgresql://shop:{SECRET}@db/shop",
        f"postgresql://shop:{SECRET}${{PW}}@db/shop",
        f"postgresql://shop:${{PW}}{SECRET}@db/shop",
        f"postgresql://shop:${{PW:-{SECRET}}}@db/shop",
        f"${{URL:-postgresql://shop:{SECRET}@db/shop}}",
        f"${{USER_PART}}:{SECRET}@db/shop",
        f"postgresql://shop:a@b{SECRET}@db/shop",
        f"postgresql://db/shop?password={SECRET}",
        f"postgresql://db/shop?user=x&sslpassword={SECRET}",
        f"mysql://db/shop?passwd=${{PW:-{SECRET}}}",
        f"host=db user=shop password={SECRET}",
        f"https://{SECRET}@models/v1",
        f"https://models/v1?api_key={SECRET}",
        f"https://models/v1?code={SECRET}",
        f"https://models/sk-{LONG}/v1",
    ],
)
def test_a_secret_in_any_form_is_told_from_a_reference(text: str) -> None:
    found = literal_secret(text)

    assert found
    assert SECRET not in found


def test_a_log_and_a_traceback_show_no_secret() -> None:
    program = f"""
import logging
from semilayer_pipelines.redaction import redact_logs
redact_logs()
logging.basicConfig(level="INFO")
logging.info("%d", "not a number")
logging.info("connecting to %s", "postgresql://u:{SECRET}@h/d")
try:
    raise RuntimeError("host=h password={SECRET}")
except RuntimeError:
    logging.exception("failed")
raise RuntimeError("mysql://h/d?password={SECRET}")
"""

    done = subprocess.run(
        [sys.executable, "-"], input=program, capture_output=True, text=True, check=False
    )

    assert SECRET not in done.stderr
    assert "connecting to postgresql://u:***@h/d" in done.stderr
    assert done.stderr.count("Traceback") == 3
