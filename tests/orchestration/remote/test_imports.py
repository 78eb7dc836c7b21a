"""The command and the webhook ask Dagster for things without loading it."""

import subprocess
import sys


def test_asking_a_running_dagster_imports_no_dagster() -> None:
    code = (
        "import sys\n"
        "from semilayer_pipelines.orchestration.remote import diagnose, launch, reload\n"
        "print('dagster' in sys.modules)"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout == "False\n"
