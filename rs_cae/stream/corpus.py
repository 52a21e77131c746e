"""Corpora by name, and which of their texts are taken."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice

from rs_cae.demo.corpus import load_test_paragraphs, load_train_paragraphs
from rs_cae.errors import InputError
from rs_cae.stream.corpus_readers import HUB_FORM, hub_column, read_dataset, read_text_file, wikitext_column

_DEMO: dict[str, Callable[[], list[str]]] = {"demo/train": load_train_paragraphs, "demo/test": load_test_paragraphs}
_KNOWN = ", ".join([*_DEMO, "wikitext-2/SPLIT", "wikitext-103/SPLIT", HUB_FORM])


@dataclass(frozen=True)
class CorpusSpec:
    """A corpus and the texts that are taken from it: the first that qualify, in order.

    Texts are stripped; headings (first character ``=``), empty texts and those outside the length bounds are dropped.
    Reading stops with the last text that is taken. The names of corpora:

    - ``demo/train`` and ``demo/test``: nothing to download.
    - ``wikitext-2/SPLIT`` and ``wikitext-103/SPLIT``, where SPLIT is such as ``train`` or ``validation+test``: the raw
      version at a pinned revision, downloaded once.
    - ``hf:NAME:CONFIG:SPLIT:COLUMN``: a column of any Hugging Face dataset, streamed; a row is a text, line breaks and
      all. NAME is an id on the hub, or a local folder of parquet, JSON or text files. CONFIG may be empty.
    - The path of a ``.txt`` or ``.txt.gz`` file in utf-8, a text a line.

    Without a network, a dataset is taken from the cache: what ``hf download`` or an earlier download has left there.

    Attributes:
        role: ``train`` or ``test``; names the options in messages.
        name: See above.
        min_chars: Least length of a stripped text in characters, inclusive.
        max_chars: Greatest length of a stripped text in characters, inclusive.
        count: How many texts; as many as there are, up to ``default_count``, when left out.
        default_count: See ``count``.
    """

    role: str
    name: str
    min_chars: int
    max_chars: int
    count: int | None
    default_count: int

    @property
    def revision(self) -> str | None:
        """The commit that the corpus is pinned to on the hub, where it is pinned."""
        wikitext = wikitext_column(self.name)
        return wikitext.revision if wikitext else None

    @property
    def option(self) -> str:
        """By which it was named."""
        return f"--data.{self.role}_corpus"

    def load(self) -> list[str]:
        """The chosen texts.

        Raises:
            InputError: If the corpus cannot be read, or too few texts qualify.
        """
        corpus, count = self.option, f"--data.n_{self.role}"
        if self.min_chars > self.max_chars:
            raise InputError("--data.min_chars", self.min_chars, f"is above --data.max_chars {self.max_chars}")
        if self.count is not None and self.count < 1:
            raise InputError(count, self.count, "must be at least 1")
        stripped = (text.strip() for text in self._read(corpus))
        texts = list(islice(filter(self._qualifies, stripped), self.count or self.default_count))
        bounds = f"{self.min_chars} to {self.max_chars} characters"
        if not texts:
            raise InputError(corpus, self.name, f"none of its texts has {bounds}")
        if self.count is not None and len(texts) < self.count:
            raise InputError(count, self.count, f"only {len(texts)} texts of {bounds} qualify in {self.name}")
        return texts

    def _qualifies(self, text: str) -> bool:
        return self.min_chars <= len(text) <= self.max_chars and text[:1] not in ("=", "")

    def _read(self, option: str) -> Iterator[str]:
        if self.name in _DEMO:
            return iter(_DEMO[self.name]())
        if self.name.startswith("hf:"):
            return read_dataset(hub_column(self.name, option), self.name, option)
        wikitext = wikitext_column(self.name)
        if wikitext:
            return read_dataset(wikitext, self.name, option)
        if self.name.endswith((".txt", ".txt.gz")):
            return read_text_file(self.name, option)
        raise InputError(option, self.name, f"no such corpus; give {_KNOWN} or the path of a .txt or .txt.gz file")


@dataclass(frozen=True)
class GivenTexts(CorpusSpec):
    """All lines of a file but blank ones, stripped, whatever their lengths, in place of a corpus.

    Attributes:
        texts: What is read.
        lines: Which line of the file each of them is, from 1.
        option: By which the file was named.
    """

    texts: tuple[str, ...] = ()
    lines: tuple[int, ...] = ()
    option: str = ""

    @classmethod
    def of_file(cls, role: str, name: str, option: str) -> "GivenTexts":
        """The texts of a file, in utf-8 and perhaps compressed by gzip, a text a line.

        Raises:
            InputError: If it cannot be read, or has blank lines only.
        """
        stripped = enumerate((line.strip() for line in read_text_file(name, option)), start=1)
        lines, texts = zip(*((number, text) for number, text in stripped if text), strict=True)
        return cls(role, name, 1, max(map(len, texts)), None, len(texts), texts, lines, option)

    def load(self) -> list[str]:
        """The texts."""
        return list(self.texts)
