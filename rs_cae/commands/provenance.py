"""What identifies a run, and what its results say of where they come from."""

import json
import platform
from importlib.metadata import version
from typing import Any

from jsonargparse import Namespace

RECORDED_PACKAGES = ("rs-cae", "torch", "lightning", "transformers", "numpy")
NOT_IDENTIFYING = {
    *("test_corpus", "n_test", "batch_size", "num_workers", "memory_budget_gb", "tokens_per_batch"),
    *("source", "cache_dir", "shard_size", "schedule", "device_map", "trust_remote_code", "allow_pickle_weights"),
}
"""Data options that another test of the same run may change, or that change no number beyond rounding."""


def identity_of(options: Namespace) -> dict[str, Any]:
    """What makes a run this one: the language model, the training data, the reducer and the seed."""
    data = {f"data.{name}": value for name, value in options.data.items() if name not in NOT_IDENTIFYING}
    reducer = {f"model.{name}": value for name, value in options.model.init_args.items() if value is not None}
    name = options.model.class_path.rpartition(".")[2]
    return {**data, "model": name, **reducer, "seed_everything": options.seed_everything}


def attributes_of(config: dict[str, Any], identity: dict[str, Any]) -> dict[str, str | int | float]:
    """Attributes of every dataset: plain strings and numbers, the settings as one JSON string."""
    data = config["data"]
    versions = {name: version(name) for name in RECORDED_PACKAGES} | {"python": platform.python_version()}
    return {
        "language_model": data["model"],
        "random_init": int(data["random_init"]),
        "shuffle_tokens": int(data["shuffle_tokens"]),
        "train_corpus": data["train_corpus"],
        "test_corpus": data["test_corpus"],
        "reducer": identity["model"],
        "seed": identity["seed_everything"],
        "versions": json.dumps(versions),
        "settings": json.dumps(config),
    }
