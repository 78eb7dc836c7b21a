#!/usr/bin/env bash
# Package: dagster 1.13.27.
#
# Behaviour: `materialize` copies the handler of SIGINT to SIGTERM and leaves it there. A process
# that was started with SIGINT ignored ignores SIGTERM after its first run. A shell starts each
# background job of a script that way. Its children inherit this, and only SIGKILL ends them.
#
# A good guess: a call in the process leaves the handlers as it found them. The reference of
# `dagster.materialize` speaks of no signal. Python's page "signal" lets SIGTERM end a process
# that has set no handler.
#
# For a vector index in sync with SQL tables: `job &` in a start script makes a loader that a
# supervisor cannot stop in order. It waits for its limit, kills, and a page is cut in the middle.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install -q 'dagster==1.13.27'

cat > once.py <<'PY'
import signal

import dagster as dg


@dg.asset
def nothing() -> None: ...


def name(handler: object) -> str:
    return getattr(handler, "name", None) or getattr(handler, "__name__", repr(handler))


before = name(signal.getsignal(signal.SIGTERM))
dg.materialize([nothing])
print(before, "->", name(signal.getsignal(signal.SIGTERM)))
PY

# The subshell ignores SIGINT as a script's background job does. No signal is sent to anything.
ignored=$(trap '' INT; venv/bin/python -W ignore once.py 2>/dev/null)
usual=$(venv/bin/python -W ignore -c '
import runpy, signal
signal.signal(signal.SIGINT, signal.default_int_handler)
runpy.run_path("once.py")' 2>/dev/null)
echo "SIGTERM where SIGINT is ignored: $ignored"
echo "SIGTERM where SIGINT is usual:   $usual"

[ "$ignored" = "SIG_DFL -> SIG_IGN" ] || { echo "the ignored case changed" >&2; exit 1; }
[ "$usual" = "SIG_DFL -> default_int_handler" ] || { echo "the usual case changed" >&2; exit 1; }
