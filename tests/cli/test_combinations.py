"""No option is taken and then ignored: what means nothing beside the others is refused."""

from __future__ import annotations

import pytest

from tests.cli.project import Folder


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("push --wait", "--wait needs --resume-ingest or --rebuild."),
        ("push --dry-run --resume-ingest --wait", "--wait and --dry-run do not go together"),
        ("sync --dry-run --wait", "--dry-run and --wait do not go together"),
        ("sync --dry-run --full-walk", "--dry-run and --full-walk do not go together"),
        ("verify --confirm-deletes --lens items", "--confirm-deletes needs --heal."),
        ("verify --wait", "--wait needs --heal."),
        ("verify --sample 5", "--sample needs --search or --deep."),
        ("failed --wait", "--wait needs --retry."),
        ("jobs abc --limit 5", "JOB_ID and --limit do not go together"),
        ("jobs abc --lens items", "JOB_ID and --lens do not go together"),
        ("cdc uninstall --forget", "--forget needs --source."),
        ("cdc uninstall --forget --source main --dry-run", "--forget and --dry-run do not go"),
        ("follow --all-envs --env development", "--all-envs and --env do not go together"),
        ("dev --no-ui --port 3001", "--no-ui and --port do not go together"),
        ("mcp --port 8201", "--port needs --http."),
        ("mcp --host 0.0.0.0", "--host needs --http."),
        ("mcp --http --env development", "--http and --env do not go together"),
        ("embedder --provider hash --revision main", "'hash' has no precision and no revision."),
        ("embedder --model=", "Invalid value for '--model': it is empty."),
        ("embedder --rerank=", "Invalid value for '--rerank': it is empty."),
    ],
)
def test_an_option_that_would_be_ignored_is_refused(folder: Folder, line: str, says: str) -> None:
    done = folder.run(*line.split())

    assert done.exit_code == 2, done.output
    assert says in done.stderr
    assert "Traceback" not in done.output


def test_what_a_variable_or_a_default_says_is_not_refused(folder: Folder) -> None:
    folder.environ["SEMILAYER_ENV"] = "staging"
    assert folder.run("push").exit_code == 0

    # `--env` and `--limit` have values here, and nobody typed them
    assert "There is no job" in folder.run("jobs", "abc").stderr
    assert folder.run("sync", "--dry-run").exit_code == 0


def test_a_dry_run_tells_what_the_other_options_would_start(folder: Folder) -> None:
    def starts(*options: str) -> dict[str, str]:
        return dict(folder.json("push", "--dry-run", *options)["starts"])

    assert starts() == {}
    assert starts("--resume-ingest") == {"items": "its first ingest"}
    folder.run("push")
    assert starts("--rebuild") == {"items": "a rebuild of its index"}
    assert "else the rows changed since its cursor" in starts("--resume-ingest")["items"]
    assert "starts     items: a rebuild" in folder.run("push", "--dry-run", "--rebuild").stdout
    assert folder.json("jobs") == []
