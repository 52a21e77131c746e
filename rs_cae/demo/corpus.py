"""The demo corpora: text that every installation of Python and NumPy carries, found at run time.

``demo/test`` is the Python language reference (``pydoc_data.topics``), which the demo language model never saw.
``demo/train`` is the prose of the docstrings of the standard library and of NumPy. Both are deterministic for one
version of Python and NumPy.
"""

import contextlib
import hashlib
import importlib.metadata
import importlib.util
import json
import os
import platform
import re
import sysconfig
from pathlib import Path

from rs_cae.demo.docstrings import prose_paragraphs, python_files

NOT_STANDARD_LIBRARY = ("test", "tests", "idle_test", "site-packages", "dist-packages", "pydoc_data")
"""Sub-folders of the standard library that are never read for training: tests, other packages, the test corpus."""


def load_test_paragraphs() -> list[str]:
    """Paragraphs of the Python language reference, white space collapsed, each once, in order of appearance."""
    from pydoc_data.topics import topics

    blocks = (block for text in topics.values() for block in re.split(r"\n\s*\n", text))
    return list(dict.fromkeys(" ".join(block.split()) for block in blocks if block.strip()))


def load_train_paragraphs() -> list[str]:
    """Prose paragraphs of the docstrings of the standard library, then of NumPy, less those of the test corpus.

    Reading them takes seconds, so they are kept in the user's cache folder, by the versions that they depend on.
    """
    cached = _cache_file()
    try:
        return [str(paragraph) for paragraph in json.loads(cached.read_text(encoding="utf-8"))]
    except (OSError, ValueError):
        paragraphs = _read_train_paragraphs()
    with contextlib.suppress(OSError):  # a folder that cannot be written costs time, nothing else
        cached.parent.mkdir(parents=True, exist_ok=True)
        temporary = cached.with_suffix(f".{os.getpid()}")
        temporary.write_text(json.dumps(paragraphs), encoding="utf-8")
        temporary.replace(cached)
    return paragraphs


def _cache_file() -> Path:
    """Named by the versions of Python and NumPy and by the code that chooses the paragraphs."""
    code = Path(__file__).read_bytes() + Path(__file__).with_name("docstrings.py").read_bytes()
    versions = f"{platform.python_version()} {importlib.metadata.version('numpy')}".encode()
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return folder / "rs_cae" / f"demo-train-{hashlib.sha256(versions + code).hexdigest()[:16]}.json"


def _read_train_paragraphs() -> list[str]:
    numpy = importlib.util.find_spec("numpy")
    if numpy is None or numpy.origin is None:
        raise RuntimeError("demo/train reads NumPy's docstrings, but NumPy is not installed")
    files = python_files(Path(sysconfig.get_path("stdlib")), NOT_STANDARD_LIBRARY)
    files += python_files(Path(numpy.origin).parent)
    return without_overlap(prose_paragraphs(files), load_test_paragraphs())


def without_overlap(paragraphs: list[str], held_out: list[str], words: int = 10) -> list[str]:
    """Drop the paragraphs that share a run of ``words`` words, case and punctuation ignored, with a held-out one."""

    def runs(paragraph: str) -> set[tuple[str, ...]]:
        tokens = re.findall(r"\w+", paragraph.lower())
        return {tuple(tokens[start : start + words]) for start in range(max(1, len(tokens) - words + 1))}

    seen = set().union(*map(runs, held_out))
    return [paragraph for paragraph in paragraphs if seen.isdisjoint(runs(paragraph))]
