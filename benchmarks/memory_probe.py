"""The process whose memory is measured: full ingest, sync, audit, sync of changes.

It works in the folder that it is given, on the table in there.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from pathlib import Path

from benchmarks.timing import timed

__all__ = ["main", "peak_mb"]

_STATUS = Path("/proc/self/status")


def main() -> None:
    started = time.perf_counter()
    # Imported late, so that the first number has the price of the imports in it.
    from benchmarks.catalogue import change
    from semilayer_pipelines.queries.audit import audit
    from tests.lab import Lab

    lab = Lab.at(Path(sys.argv[1]))
    page_peaks = [0.0]
    lab.full(report=lambda _: page_peaks.append(peak_mb()))
    full_seconds, full_peak = time.perf_counter() - started, peak_mb()
    sync_seconds = timed(lab.sync)
    sync_peak = peak_mb()
    audit_seconds = timed(lambda: audit(lab.project, lab.lens))
    audit_peak = peak_mb()
    change(
        lab.database,
        "UPDATE items SET description = description || ' x' WHERE id % 100 = 1",
        "DELETE FROM items WHERE id % 100 = 10",
    )
    changed_seconds = timed(lab.sync)
    print(
        json.dumps(
            {
                "full_seconds": full_seconds,
                "pages_peak_mb": page_peaks[-1],
                "full_peak_mb": full_peak,
                "sync_seconds": sync_seconds,
                "sync_peak_mb": sync_peak,
                "audit_seconds": audit_seconds,
                "audit_peak_mb": audit_peak,
                "changed_seconds": changed_seconds,
                "changed_peak_mb": peak_mb(),
            }
        )
    )


def peak_mb() -> float:
    """Return the largest resident size of this process so far, in MB of 2**20 bytes."""
    if _STATUS.exists():
        # Not `getrusage` where there is this: a child begins there with its parent's peak.
        fields = dict(line.split(":", 1) for line in _STATUS.read_text().splitlines())
        return int(fields["VmHWM"].split()[0]) / 2**10
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)


if __name__ == "__main__":
    main()
