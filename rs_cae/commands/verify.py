"""``rs_cae verify``: a cache against its checksums, or a model's hook points against the model itself."""

from collections.abc import Sequence
from pathlib import Path

import torch
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from rs_cae.commands.cache import ROLES
from rs_cae.commands.parser import live_origin, parse_sections
from rs_cae.data import TrajectoryDataModule
from rs_cae.errors import InputError
from rs_cae.stream.cache import verify_files
from rs_cae.stream.cache.manifest import MANIFEST
from rs_cae.stream.checks import Check
from rs_cae.stream.language_model import LanguageModelSpec
from rs_cae.stream.origins.capturing import find_and_verify


def run(arguments: list[str]) -> int:
    """Run the command.

    Returns:
        0 if everything holds, 1 if something does not.
    """
    if arguments and not arguments[0].startswith("-"):
        if arguments[1:]:
            raise InputError(
                "verify", " ".join(arguments), "wants a cache's folder alone, or --data options of a model"
            )
        return _verify_cache(Path(arguments[0]))
    description = "Check a cache, `verify DIR`, or the hook points of a model, `verify --data.model M`."
    options = parse_sections("verify", description, {"data": TrajectoryDataModule}, arguments)
    if any(word.partition("=")[0] == "--data.cache_dir" for word in arguments):
        hint = f"a cache is verified by `python -m rs_cae verify {options.data.cache_dir}`"
        raise InputError("--data.cache_dir", options.data.cache_dir, hint)
    return _verify_model(live_origin(options.data).model)


def _verify_cache(folder: Path) -> int:
    """Every part of every corpus of a cache against its checksum."""
    if not folder.is_dir():
        wrong = "is not a folder" if folder.exists() else "no such folder"
        raise InputError("verify", folder, f"{wrong}; give a cache's, or --data.model M to verify a model")
    corpora = [folder] if (folder / MANIFEST).is_file() else [folder / role for role in ROLES]
    if not any(corpus.is_dir() for corpus in corpora):
        raise InputError("verify", folder, "holds no cache; give its folder, or --data.model M to verify a model")
    table = Table("part", "state", title=escape(f"Cache {folder}"), title_justify="left")
    damaged = 0
    for corpus in corpora:
        for part, problem in verify_files(corpus):
            damaged += problem is not None
            table.add_row(escape(str(corpus.relative_to(folder) / part)), escape(problem or "intact"))
    console = Console()
    console.print(table)
    if damaged:
        console.print("mend it: run `python -m rs_cae cache` again; it captures what is damaged alone", soft_wrap=True)
    return int(damaged > 0)


def _verify_model(spec: LanguageModelSpec) -> int:
    """Every claim that a model's hook points make, at every sublayer."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model = spec.load(device)
    points, checks = find_and_verify(model, spec, every_layer=True)
    kind = f"{model.config.model_type}, {len(points.layout)} sublayers ({', '.join(points.layout.sites)} of each layer)"
    Console().print(_table(f"{spec.name}: {kind}, {spec.precision(device)}", checks))
    return int(not all(check.passed for check in checks))


def _table(title: str, checks: Sequence[Check]) -> Table:
    table = Table("claim", "largest error", "tolerance", "at", "holds", title=escape(title), title_justify="left")
    for check in checks:
        holds = "yes" if check.passed else "NO"
        table.add_row(check.claim, f"{check.error:.1e}", f"{check.tolerance:.1e}", check.where, holds)
    return table
