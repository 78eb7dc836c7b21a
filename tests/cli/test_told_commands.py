from __future__ import annotations

import pytest

from semilayer_pipelines.cli.told_commands import naming_env_inside

TOLD = "`semilayer failed --lens items` says why."
NAMED = "`semilayer failed --env prod --lens items` says why."


@pytest.mark.parametrize(
    ("document", "named"),
    [
        ({"cure": TOLD}, {"cure": NAMED}),
        ([{"verdict": TOLD}], [{"verdict": NAMED}]),
        ({"problems": (TOLD, "No index.")}, {"problems": [NAMED, "No index."]}),
        ({"error": {"message": TOLD, "exitCode": 2}}, {"error": {"message": NAMED, "exitCode": 2}}),
        ({"row": {"cure": TOLD}}, {"row": {"cure": TOLD}}),
        ({"mapped": {"fields": {"verdict": TOLD}, "text": TOLD}}, None),
    ],
)  # fmt: skip
def test_a_command_that_we_tell_names_the_environment(document: object, named: object) -> None:
    assert naming_env_inside(document, "prod") == (document if named is None else named)
