"""Long documents: pages of documentation of 1,000 to 20,000 words, one text each.

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

__all__ = ["PACKAGES", "documents", "sentences"]

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
_OWN = 0.6  # so many of a page's sentences stand on no other page
_PAGE = re.compile(r"\.html?(\.gz|\.en)?$")
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+|\n+")
_FEWEST_WORDS = 8
_SAMPLED = 300


def documents(file: Path = SAMPLE) -> pl.DataFrame:
    """Return the pages: `package`, `name` and `body` (String)."""
    return pl.read_parquet(file)


def sentences(text: str) -> list[str]:
    """Return the sentences of a text that say something, on one line each."""
    parts = (" ".join(part.split()) for part in _SENTENCE_END.split(text))
    return [part for part in parts if len(part.split()) >= _FEWEST_WORDS]


def _pages(folder: Path) -> Iterator[tuple[str, str, str]]:
    for package in PACKAGES:
        (file,) = folder.glob(f"{package}_*.deb")
        with TemporaryDirectory() as unpacked:
            subprocess.run(["dpkg-deb", "-x", file, unpacked], check=True)
            for path in sorted(Path(unpacked).rglob("*")):
                if path.is_symlink() or not path.is_file() or not _PAGE.search(path.name):
                    continue
                raw = path.read_bytes()
                page = gzip.decompress(raw) if path.suffix == ".gz" else raw
                body = extract_plain_text(page.decode("utf-8", "replace"), main_content=True)
                if len(body.split()) in _WORDS:
                    yield package, path.name.partition(".")[0], body


def _distinct(pages: pl.DataFrame) -> pl.DataFrame:
    """Leave out pages that mostly repeat others."""
    said = [set(sentences(body)) for body in pages["body"]]
    counts = Counter(sentence for page in said for sentence in page)
    own = [sum(counts[one] == 1 for one in page) > _OWN * len(page) for page in said]
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
