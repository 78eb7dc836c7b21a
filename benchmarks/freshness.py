"""From a POST to a row that can be found, with everything of `semilayer dev` running.

Several lenses over one table: a call to one that was not called before finds no run that lingers,
which is cold; another call to it finds one. The time is that from the call to the commit of the
page, which follows the store's. The row is then looked up in the index, and searched for at the
end.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from benchmarks.catalogue import workplace
from benchmarks.freshness_site import Dev, Site
from benchmarks.result import Result, Wanted, measured

__all__ = ["Size", "measure", "parts_of", "run"]

_FOUND_SECONDS = 90.0
_POLL_SECONDS = 0.05
_MAX_SECONDS = {"cold, by the sensor alone": 8.0, "cold, nudged": 5.5, "a run lingers": 2.7}

# In their order; each goes from the mark before to its own.
_PARTS = {
    "due": "debounce",
    "created": "pick-up by sensor or nudge",
    "PIPELINE_STARTING": "Dagster's queue",
    "PROCESS": "process start, import of Dagster",
    "PIPELINE_START": "definitions",
    "STEP_START": "Dagster's run and step",
    "taken": "import of the engine, job taken",
    "page": "import of store and bridge, claim",
    "done": "page: read, map, embed, write",
}


@dataclass(frozen=True)
class Size:
    """How many lenses (each is cold once each way), and how often each finds a lingering run."""

    lenses: int = 5
    warm: int = 2
    rows: int = 100
    provider: str = "sentence-transformers"


@dataclass(frozen=True)
class _Call:
    """When a call was made, and what came after it when; seconds since 1970."""

    posted: float
    marks: Mapping[str, float]

    @property
    def seconds(self) -> float:
        return self.marks["done"] - self.posted


def run() -> list[Result]:
    return measure(Size())


def measure(size: Size) -> list[Result]:
    """Measure each way, in two runs of `semilayer dev`."""
    with workplace() as folder:
        site = Site.at(folder, number=size.lenses, rows=size.rows, provider=size.provider)
        with site.dev(ui=False) as dev:
            sensed = [_call(dev, lens, f"sensed {lens}") for lens in site.lenses]
        with site.dev(ui=True) as dev:
            nudged, lingered = [], []
            for lens in site.lenses:
                nudged.append(_call(dev, lens, f"nudged {lens}"))
                lingered += [_call(dev, lens, f"again {at} {lens}") for at in range(size.warm)]
            last = {lens: f"again {size.warm - 1} {lens}" for lens in site.lenses}
            found = [dev.search(lens, text) == site.key for lens, text in last.items()]
    results = _of("cold, by the sensor alone", sensed)
    results += _of("cold, nudged", nudged)
    results += _of("a run lingers", lingered)
    return [
        *results,
        Result(
            "freshness: lenses whose new text is the best hit of a search",
            "",
            measured([sum(found)]),
            Wanted.EXACTLY,
            size.lenses,
        ),
    ]


def _call(dev: Dev, lens: str, text: str) -> _Call:
    site = dev.site
    site.edit(text)
    posted = time.time()
    job_id = dev.post(lens)
    while True:
        job, pages = site.progress(job_id)
        if pages:
            break
        if time.time() - posted > _FOUND_SECONDS:
            raise RuntimeError(f"{lens} was not brought up to date: {job.status}, {job.error}")
        time.sleep(_POLL_SECONDS)
    if site.shows(lens) != text:
        raise RuntimeError(f"the page of {lens} is committed and its row is not in the index")
    assert job.started_at is not None
    done = pages[0].at.timestamp()
    marks = {
        "due": job.due_at.timestamp(),
        "taken": job.started_at.timestamp(),
        "page": done - pages[0].seconds,
        "done": done,
    }
    if job.run_id is not None:
        marks |= site.marks(job.run_id)
    return _Call(posted, marks)


def _of(name: str, calls: Sequence[_Call]) -> list[Result]:
    whole = Result(
        f"freshness: {name}",
        "s",
        measured([call.seconds for call in calls]),
        Wanted.AT_MOST,
        _MAX_SECONDS[name],
    )
    parts = [parts_of(call.posted, call.marks) for call in calls]
    names = list(dict.fromkeys(part for one in parts for part in one))
    return [
        whole,
        *(
            Result(f"  {part}", "s", measured([one[part] for one in parts if part in one]))
            for part in names
        ),
    ]


def parts_of(posted: float, marks: Mapping[str, float]) -> dict[str, float]:
    """Return the seconds of each part; together they are those from `posted` to the mark `done`.

    Marks from before the call, those of a run that lingered, make no part.
    """
    parts: dict[str, float] = {}
    before = posted
    for mark, part in _PARTS.items():
        at = marks.get(mark, posted)
        if at > posted:
            parts[part] = at - before
            before = at
    return parts
