"""Corpora by name, and which of their texts are taken."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from rs_cae.demo.corpus import load_test_paragraphs, load_train_paragraphs
from rs_cae.errors import InputError

WIKITEXT_REPOSITORY = "Salesforce/wikitext"
WIKITEXT_REVISION = "b08601e04326c79dfdd32d625aee71d232d685c3"


@dataclass(frozen=True)
class CorpusSpec:
    """A corpus and the texts that are taken from it: the first that qualify, in order.

    Lines are stripped; headings (first character ``=``) and texts outside the length bounds are dropped.

    Attributes:
        role: ``train`` or ``test``; names the options in messages.
        name: ``demo/train``, ``demo/test``, ``wikitext-2/train``, ``wikitext-2/validation+test`` (or 103), or the path
            of a .txt file with a text a line.
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

    def load(self) -> list[str]:
        """The chosen texts.

        Raises:
            InputError: If the corpus cannot be read, or too few texts qualify.
        """
        corpus, count = f"--data.{self.role}_corpus", f"--data.n_{self.role}"
        if self.min_chars > self.max_chars:
            raise InputError("--data.min_chars", self.min_chars, f"is above --data.max_chars {self.max_chars}")
        stripped = (text.strip() for text in self._read(corpus))
        texts = [
            text for text in stripped if self.min_chars <= len(text) <= self.max_chars and text[:1] not in ("=", "")
        ]
        bounds = f"{self.min_chars} to {self.max_chars} characters"
        if not texts:
            raise InputError(corpus, self.name, f"none of its texts has {bounds}")
        if self.count is not None and self.count < 1:
            raise InputError(count, self.count, "must be at least 1")
        if self.count is not None and self.count > len(texts):
            raise InputError(count, self.count, f"only {len(texts)} texts of {bounds} qualify in {self.name}")
        return texts[: self.count or self.default_count]

    def _read(self, option: str) -> list[str]:
        if self.name in _DEMO:
            return _DEMO[self.name]()
        if self.name.startswith("wikitext-"):
            return _read_wikitext(self.name, option)
        if not self.name.endswith(".txt"):
            known = ", ".join([*_DEMO, "wikitext-2/SPLIT", "wikitext-103/SPLIT"])
            raise InputError(option, self.name, f"no such corpus; give {known} or the path of a .txt file")
        try:
            lines = Path(self.name).read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(option, self.name, f"cannot be read: {error}") from error
        if not any(line.strip() for line in lines):
            raise InputError(option, self.name, "the file is empty")
        return lines


_DEMO: dict[str, Callable[[], list[str]]] = {"demo/train": load_train_paragraphs, "demo/test": load_test_paragraphs}


def _read_wikitext(name: str, option: str) -> list[str]:
    """Such as ``wikitext-2/validation+test``: the raw version, at a pinned revision."""
    version, _, split = name.partition("/")
    try:
        import datasets

        if os.environ.get("HF_HUB_OFFLINE"):
            datasets.config.HF_HUB_OFFLINE = True
        data = datasets.load_dataset(
            WIKITEXT_REPOSITORY, f"{version}-raw-v1", split=split or "train", revision=WIKITEXT_REVISION
        )
    except (OSError, ValueError) as error:
        remedy = f"`hf download --repo-type dataset {WIKITEXT_REPOSITORY}` fetches it; demo/train needs none"
        raise InputError(option, name, f"cannot be loaded ({error}); {remedy}") from error
    texts: list[str] = data["text"][:]
    return texts
