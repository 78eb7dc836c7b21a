"""Long documents: English pages of documentation of 1,000 to 20,000 words, one text each.

The committed sample is 300 pages from Debian's packages of documentation. All pages come from
`python -m benchmarks.long_texts FOLDER FILE`, where FOLDER holds the packages (`apt-get download`
with the names in `PACKAGES`). Their licences let anybody copy them, and none asks more of it than
that its notice stays: Apache-2.0 (httpd), PostgreSQL's, BSD (Django, pandas, SciPy), MIT
(SQLAlchemy; Rust's, or Apache-2.0), PSF (Python); SQLite's pages are in the public domain.
"""

from __future__ import annotations

import gzip
import random
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import polars as pl
from resiliparse.extract.html2text import extract_plain_text
from resiliparse.parse.html import HTMLTree

__all__ = ["PACKAGES", "documents", "english", "runs", "sentences"]

PACKAGES = (
    "apache2-doc",
    "postgresql-doc-15",
    "python-django-doc",
    "python-pandas-doc",
    "python-scipy-doc",
    "python-sqlalchemy-doc",
    "python3.11-doc",
    "rust-doc",
    "sqlite3-doc",
)
SAMPLE = Path(__file__).parent / "data" / "long_texts.parquet"

_WORDS = range(1_000, 20_001)
_PAGE = re.compile(r"\.html?(\.gz|\.en)?$")
_LISTINGS = {"src", "_modules"}  # folders of source code, as pages
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+|\n+")
_WORD = re.compile(r"[^\W\d_]+")
_COMMON = re.compile(
    r"the|of|and|to|a|in|is|that|for|it|as|be|are|this|on|with|by|or|not|can|from|an|if|which|will"
    r"|you|we|was|has|have|at|but|when|may|all|no"
)
_ENGLISH = 0.2  # so many of the words of an English text are among those
_RUN = 5  # words
_OWN = 0.7  # so many of a page's runs of words stand on no other page
_SAMPLED = 300


def documents(file: Path = SAMPLE) -> pl.DataFrame:
    """Return the pages: `package`, `name` (a page's title) and `body` (String)."""
    return pl.read_parquet(file)


def sentences(text: str) -> list[str]:
    """Return the sentences of a text, on one line each."""
    return [" ".join(part.split()) for part in _SENTENCE_END.split(text)]


def english(text: str) -> bool:
    """Say whether a text is English prose, and no table, listing or other language."""
    words = _words(text)
    return sum(bool(_COMMON.fullmatch(word)) for word in words) > _ENGLISH * len(words)


def runs(text: str) -> set[tuple[str, ...]]:
    """Return the runs of five words in a text, without numbers, marks and capitals."""
    words = _words(text)
    return {tuple(words[at : at + _RUN]) for at in range(len(words) - _RUN + 1)}


def _words(text: str) -> list[str]:
    return _WORD.findall(text.lower())


def _pages(folder: Path) -> Iterator[tuple[str, str, str]]:
    for package in PACKAGES:
        (file,) = folder.glob(f"{package}_*.deb")
        with TemporaryDirectory() as unpacked:
            subprocess.run(["dpkg-deb", "-x", file, unpacked], check=True)
            for path in sorted(Path(unpacked).rglob("*")):
                if path.is_symlink() or not path.is_file() or not _PAGE.search(path.name):
                    continue
                if _LISTINGS & set(path.parts):
                    continue
                raw = path.read_bytes()
                page = gzip.decompress(raw) if path.suffix == ".gz" else raw
                tree = HTMLTree.parse(page.decode("utf-8", "replace"))
                body = extract_plain_text(tree, main_content=True)
                if len(body.split()) in _WORDS and english(body):
                    yield package, " ".join((tree.title or path.stem).split()), body


def _distinct(pages: pl.DataFrame) -> pl.DataFrame:
    """Leave out pages that largely repeat others."""
    said = [runs(body) for body in pages["body"]]
    counts = Counter(run for page in said for run in page)
    own = [sum(counts[run] == 1 for run in page) > _OWN * len(page) for page in said]
    return pages.filter(pl.Series(own))


def _make(folder: Path, file: Path) -> None:
    pages = _distinct(pl.DataFrame(list(_pages(folder)), ["package", "name", "body"], orient="row"))
    pages.write_parquet(file, compression="zstd", compression_level=19)
    chosen = sorted(random.Random(1).sample(range(pages.height), _SAMPLED))
    sample = pages[chosen]
    sample.write_parquet(SAMPLE, compression="zstd", compression_level=19)
    print(f"{pages.height} pages in {file}, {sample.height} in {SAMPLE}")


if __name__ == "__main__":
    _make(Path(sys.argv[1]), Path(sys.argv[2]))
