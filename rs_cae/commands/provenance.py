"""What identifies a run, and what its results say of where they come from."""

import functools
import json
import os
import platform
import subprocess
from collections.abc import Iterator, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from jsonargparse import Namespace

RECORDED_PACKAGES = ("rs-cae", "torch", "lightning", "transformers", "numpy")
NOT_IDENTIFYING = {
    *("test_corpus", "n_test", "batch_size", "num_workers", "memory_budget_gb", "tokens_per_batch"),
    *("source", "cache_dir", "shard_size", "schedule", "device_map", "trust_remote_code", "allow_pickle_weights"),
}
"""Data options that another test of the same run may change, or that change no number beyond rounding."""

PACKAGE = Path(__file__).resolve().parent.parent
UNKNOWN, DIRTY = "unknown", "-dirty"
GIT = "git --no-optional-locks -c core.fsmonitor=false -c safe.directory=*"
STATUS = "status --porcelain=v2 --branch --untracked-files=normal"
GIT_SECONDS = 1.0
"""After which git is no longer waited for."""


def identity_of(options: Namespace) -> dict[str, Any]:
    """What makes a run this one: the language model, the training data, the reducer and the seed."""
    data = {f"data.{name}": value for name, value in options.data.items() if name not in NOT_IDENTIFYING}
    reducer = {f"model.{name}": value for name, value in options.model.init_args.items() if value is not None}
    name = options.model.class_path.rpartition(".")[2]
    return {**data, "model": name, **reducer, "seed_everything": options.seed_everything}


def attributes_of(config: dict[str, Any], identity: dict[str, Any]) -> dict[str, str | int | float]:
    """Attributes of every dataset: plain strings and numbers; settings, seeds and versions each as one JSON string."""
    data, seed = config["data"], identity["seed_everything"]
    versions = {name: version(name) for name in RECORDED_PACKAGES} | {"python": platform.python_version()}
    return {
        "language_model": data["model"],
        "random_init": int(data["random_init"]),
        "shuffle_tokens": int(data["shuffle_tokens"]),
        "train_corpus": data["train_corpus"],
        "test_corpus": data["test_corpus"],
        "reducer": identity["model"],
        "seed": "none" if seed is False else seed,
        "seeds": json.dumps(seeds_of(config)),
        "git_commit": git_commit(),
        "versions": json.dumps(versions),
        "settings": json.dumps(config),
    }


def seeds_of(config: Mapping[str, Any]) -> dict[str, int | None]:
    """Every seed among some options; one that is None is that of the whole run, ``seed_everything``.

    Example:
        >>> seeds_of({"seed_everything": 1, "data": {"seed": 2}, "model": {"init_args": {"seed": None}}})
        {'seed_everything': 1, 'data.seed': 2, 'model.seed': None}
    """
    return dict(_seeds(config, ""))


def _seeds(options: Mapping[str, Any], path: str) -> Iterator[tuple[str, int | None]]:
    for name, value in options.items():
        if name in ("seed", "seed_everything"):
            yield path + name, value
        elif isinstance(value, Mapping):
            yield from _seeds(value, path if name == "init_args" else f"{path}{name}.")


@functools.cache
def git_commit(package: Path = PACKAGE) -> str:
    """The commit of the checkout that a package lies in, as far as git tells; asked once, as code is loaded once.

    Args:
        package: Its folder; a checkout has it at its top.

    Returns:
        The commit's hash, with ``-dirty`` where a file of the commit differs, or the package has a file that git
        neither knows nor ignores; ``unknown`` where there is no checkout, no commit yet, or no answer.
    """
    if not (package.parent / ".git").exists():
        return UNKNOWN
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    try:
        answer = subprocess.run(
            [*GIT.split(), *STATUS.split()],
            cwd=package.parent,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=GIT_SECONDS,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return UNKNOWN
    lines = answer.stdout.decode(errors="replace").splitlines()
    about = dict(line[2:].partition(" ")[::2] for line in lines if line.startswith("# "))
    commit = about.get("branch.oid", "")
    changed = [line for line in lines if not line.startswith(("#", "?")) or line.startswith(f"? {package.name}/")]
    return commit + DIRTY * bool(changed) if commit.isalnum() else UNKNOWN
