"""The origin of trajectories that were captured before: a cache."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import Tensor

from rs_cae.errors import InputError
from rs_cae.stream.cache import CachedTrajectories, Manifest, read_manifest
from rs_cae.stream.corpus import CorpusSpec
from rs_cae.stream.language_model import LanguageModelSpec
from rs_cae.stream.origins.base import CaptureSpec, LanguageModel, Origin
from rs_cae.stream.origins.live import LayerwiseOrigin, LiveOrigin

OF_THE_MODEL = ("config", "weights", "tokenizer")
"""What a manifest says of the language model itself."""


class CachedOrigin(Origin):
    """The trajectories lie in a cache; the language model is loaded only if it is asked for by ``language_model``.

    Args:
        folder: Of the cache: ``train`` and ``test`` lie in it.
        model: The language model it should be of.
        corpora: The corpora it should be of.
        capture: What should have been read.

    Raises:
        InputError: If there is no cache, or it is of something else.
    """

    def __init__(
        self, folder: str | None, model: LanguageModelSpec, corpora: Mapping[str, CorpusSpec], capture: CaptureSpec
    ) -> None:
        super().__init__(model, corpora, capture)
        if folder is None:
            raise InputError("--data.source", "cached", "wants --data.cache_dir, the folder of the cache")
        self.folder = Path(folder)
        self.manifests: dict[str, Manifest] = {}
        self.opened: dict[str, CachedTrajectories] = {}
        self.live: dict[str, LiveOrigin] = {}
        held = [role for role in corpora if (self.folder / role).is_dir()]
        if not held:
            raise InputError("--data.cache_dir", folder, "holds no cache; `python -m rs_cae cache` makes one")
        first = self.manifest(held[0])
        self.layout, self.width = first.layout, first.identity["width"]

    def manifest(self, role: str) -> Manifest:
        """Of a corpus, checked against what the options say."""
        if role not in self.manifests:
            folder = self.folder / role
            try:
                manifest = read_manifest(folder)
            except (OSError, ValueError) as error:
                problem = f"cannot be read ({error}); `python -m rs_cae cache` makes or mends it"
                raise InputError("--data.cache_dir", folder, problem) from error
            if not manifest.complete:
                there = len(list(folder.glob("shard-*.json")))
                problem = f"is not complete ({there} of {manifest.shard_count} shards are there)"
                raise InputError("--data.cache_dir", folder, f"{problem}: run `python -m rs_cae cache` again")
            self._refuse_other(role, manifest)
            self.manifests[role] = manifest
        return self.manifests[role]

    def open(self, role: str) -> CachedTrajectories:
        """Map a corpus's shards into memory."""
        if role not in self.opened:
            folder, manifest = self.folder / role, self.manifest(role)
            try:
                self.opened[role] = CachedTrajectories(folder, manifest)
            except ValueError as error:
                problem = f"{error}; `python -m rs_cae cache` with the same options mends it"
                raise InputError("--data.cache_dir", folder, problem) from error
            count, held = self.corpora[role].count, manifest.identity[f"data.n_{role}"]
            if count is not None and count > held:
                raise InputError(f"--data.n_{role}", count, f"the cache {folder} holds only {held} texts")
        return self.opened[role]

    def verify(self) -> None:
        """Nothing is left to find out: the manifest was read when the corpus was opened."""

    def prepare(self, role: str) -> None:
        """Nothing is to be done."""

    def language_model(self, role: str) -> LanguageModel:
        """Loaded now, in the precision of the cache, and compared with what the cache says of the model it is of."""
        if role not in self.live:
            self.live[role] = self._live(role)
        return self.live[role].language_model(role)

    def token_texts(self, role: str, tokens: Tensor) -> list[str]:
        """The text of each of the tokens [n], as the cache remembers it."""
        texts = self.manifest(role).token_texts
        return [texts[token] for token in tokens.tolist()]

    def notes(self, role: str) -> dict[str, Any]:
        """See ``Origin``."""
        return self.manifest(role).origin

    def reading(self, corpus: CorpusSpec) -> LiveOrigin:
        """See ``Origin``; in the precision of the cache, and as it was captured."""
        role = next(role for role in self.corpora if (self.folder / role).is_dir())
        layerwise = self.manifest(role).identity["data.schedule"] == "layerwise"
        return self._running(role, corpus, OF_THE_MODEL, LayerwiseOrigin if layerwise else LiveOrigin)

    def _live(self, role: str) -> LiveOrigin:
        """What would capture this corpus again."""
        held = self.manifest(role).identity
        if held["data.schedule"] == "layerwise":
            problem = "was captured layer by layer, and what is asked for runs the whole model"
            raise InputError("--data.cache_dir", self.folder / role, problem)
        corpus = replace(self.corpora[role], count=held[f"data.n_{role}"])
        return self._running(role, corpus, (*OF_THE_MODEL, "texts", "tokens"), LiveOrigin)

    def _running(self, role: str, corpus: CorpusSpec, unchanged: Sequence[str], kind: type[LiveOrigin]) -> LiveOrigin:
        """The model that a corpus of the cache is of, reading a corpus, if nothing of it has changed."""
        held = self.manifest(role).identity
        model = replace(self.model, dtype=held["data.dtype"], hook_points=held["data.hook_points"])
        live = kind(model, {corpus.role: corpus}, self.capture)
        live.device = self.device
        now = live.identity(corpus.role)
        changed = [name for name in unchanged if now[name] != held[name]]
        if changed:
            problem = f"is of another model or corpus than there is now: its {changed[0]} has changed since"
            raise InputError("--data.cache_dir", self.folder / role, problem)
        return live

    def _refuse_other(self, role: str, manifest: Manifest) -> None:
        held = manifest.identity
        asked = self.options(role)
        for name in ("data.dtype", "data.hook_points"):  # left out, they are whatever the cache was made with
            asked[name] = asked[name] or held.get(name)
        for name, value in asked.items():
            if held.get(name) != value:
                problem = f"holds another capture: its {name} is {held.get(name)}, not {value}"
                raise InputError("--data.cache_dir", self.folder / role, problem)
