"""What stands in a Markdown page: code blocks, commands, tables, links."""

import re
import shlex
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
PAGES = {page.name: page for page in [ROOT / "README.md", *sorted(DOCS.glob("*.md"))]}

FENCED = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
CELL = re.compile(r"(?<!\\)\|")
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")


class Block(NamedTuple):
    """A code block.

    Attributes:
        language: As it is named behind the fence; empty if it is not.
        text: Of all lines.
    """

    language: str
    text: str


class Command(NamedTuple):
    """A line of a shell.

    Attributes:
        words: Of it, without comments.
        comment: What stands behind the ``#``.
    """

    words: tuple[str, ...]
    comment: str

    @property
    def reason(self) -> str:
        """What it needs or takes, if it says so, that tests have not."""
        found = re.search(r"\b(needs|takes) .+", self.comment)
        return found[0] if found else ""

    @property
    def program(self) -> str:
        """Its first word that sets no variable, without a folder."""
        return Path(next(word for word in self.words if not re.match(r"[A-Z_]+=", word))).name

    @property
    def of_rs_cae(self) -> list[str]:
        """What follows ``python -m rs_cae``, or ``torchrun ... -m rs_cae``; empty of other commands."""
        known = self.program == "torchrun" or (self.program == "python" and self.words[1:2] == ("-m",))
        return list(self.words[self.words.index("rs_cae") + 1 :]) if known and "rs_cae" in self.words else []


def blocks(text: str) -> list[Block]:
    return [Block(*found) for found in FENCED.findall(text)]


def commands(block: Block) -> list[Command]:
    """Of a block of shell; where it has prompts, what does not follow one is output."""
    lines = block.text.replace("\\\n", " ").splitlines()
    lines = [line[2:] for line in lines if line.startswith("$ ")] or lines
    split = ((line, shlex.split(line, comments=True)) for line in lines)
    return [Command(tuple(words), _comment(line)) for line, words in split if words]


def _comment(line: str) -> str:
    """What a shell takes for a comment: it begins a word, outside quotes."""
    for place in (found.start() for found in re.finditer(r"(?<!\S)#", line)):
        if shlex.split(line, comments=True) == shlex.split(line[:place]):
            return line[place + 1 :].strip()
    return ""


def tables(text: str) -> list[list[dict[str, str]]]:
    """Rows of each table, by the words of its head."""
    found: list[list[list[str]]] = [[]]
    for line in FENCED.sub("", text).splitlines():
        if line.startswith("|"):
            found[-1].append([cell.strip() for cell in CELL.split(line)[1:-1]])
        elif found[-1]:
            found.append([])
    return [[dict(zip(head, row, strict=True)) for row in rows] for head, _, *rows in filter(None, found)]


def section(text: str, title: str) -> str:
    """What follows a heading, up to the next one of its level."""
    return re.split(rf"^## {re.escape(title)}$", text, flags=re.MULTILINE)[1].split("\n## ")[0]


def names(cell: str) -> list[str]:
    """What stands between backticks."""
    return re.findall(r"`([^`]+)`", cell)


def links(text: str) -> list[str]:
    """Targets of links and images that are no addresses."""
    found = LINK.findall(FENCED.sub("", text))
    return [target for target in found if not re.match(r"\w+:", target)]


def headings(text: str) -> set[str]:
    """What follows the ``#`` in links to headings."""
    found = re.findall(r"^#+ (.+)$", FENCED.sub("", text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in found}
