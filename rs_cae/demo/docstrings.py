"""English prose from the docstrings of installed Python source files."""

import ast
import inspect
import re
import string
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path

_PROSE_CHARACTERS = frozenset(string.ascii_letters + " ,")
_CODE_MARKS = re.compile(r">>>|::|^\s*\.\.\s|^[\s=~^*#+-]+$|[{}|\\]|https?:|def |import |return ", re.MULTILINE)


def is_prose(paragraph: str, min_share: float = 0.88, min_words: int = 5) -> bool:
    """Whether a paragraph reads as English rather than as code, a table or a heading.

    Args:
        paragraph: Raw text of one paragraph, line breaks kept.
        min_share: Least share of characters that are ASCII letters, spaces or commas.
        min_words: Least number of words.

    Example:
        >>> is_prose("Return the number of items that the container holds now.")
        True
        >>> is_prose(">>> len([1, 2, 3])")
        False
    """
    text = " ".join(paragraph.split())
    if _CODE_MARKS.search(paragraph) or len(text.split()) < min_words:
        return False
    return sum(character in _PROSE_CHARACTERS for character in text) >= min_share * len(text)


def docstrings(source: str) -> Iterator[str]:
    """Every docstring of a module's source, outer before inner, in file order; none where it does not parse."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError):
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            text = ast.get_docstring(node, clean=False)
            if text:
                yield inspect.cleandoc(text)


def prose_paragraphs(files: Iterable[Path]) -> list[str]:
    """The prose paragraphs of the files' docstrings, each once, in order of first appearance.

    A paragraph ends at a blank line; runs of white space become one space.
    """
    found: dict[str, None] = {}
    for file in files:
        for docstring in docstrings(file.read_text(encoding="utf-8", errors="replace")):
            for block in re.split(r"\n\s*\n", docstring):
                if is_prose(block):
                    found[" ".join(block.split())] = None
    return list(found)


def python_files(folder: Path, without: Iterable[str] = ("test", "tests", "idle_test", "site-packages")) -> list[Path]:
    """The folder's Python files in sorted order, leaving out sub-folders of the names in ``without``."""
    excluded = frozenset(without)
    files = sorted(folder.rglob("*.py"))
    return [file for file in files if excluded.isdisjoint(file.relative_to(folder).parts[:-1])]
