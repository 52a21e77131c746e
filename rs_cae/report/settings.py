"""Where results come from: what their attributes say of the model, the texts, settings and versions."""

import json
import shlex
from collections.abc import Mapping
from typing import Any

import xarray as xr
import yaml

FACTS = {
    "language_model": "language model",
    "model_commit": "its commit",
    "random_init": "untrained weights",
    "reducer": "reducer",
    "train_corpus": "train texts",
    "test_corpus": "test texts",
    "prompts_source": "prompts",
    "shuffle_tokens": "shuffled tokens",
    "truncated_texts": "truncated texts",
    "seed": "seed",
    "git_commit": "git commit of rs_cae",
}
"""What a reader wants to know first, by attribute."""

YES_OR_NO = ("random_init", "shuffle_tokens")


def attributes_of(datasets: Mapping[str, xr.Dataset]) -> dict[str, Any]:
    """The attributes of all datasets, plain numbers and strings; they agree where they say the same thing."""
    attributes: dict[str, Any] = {}
    for dataset in datasets.values():
        attributes.update(
            {name: value.item() if hasattr(value, "item") else value for name, value in dataset.attrs.items()}
        )
    return attributes


def settings_of(datasets: Mapping[str, xr.Dataset], name: str) -> dict[str, Any]:
    """What an attribute holds as JSON; empty if there is none."""
    return json.loads(attributes_of(datasets).get(name, "{}"))


def facts(datasets: Mapping[str, xr.Dataset]) -> dict[str, str]:
    """What a reader wants to know first, in words, and the versions of packages."""
    attributes = attributes_of(datasets)
    for name in YES_OR_NO:
        if name in attributes:
            attributes[name] = "yes" if attributes[name] else "no"
    known = {words: str(attributes[name]) for name, words in FACTS.items() if name in attributes}
    return known | {f"version of {name}": text for name, text in settings_of(datasets, "versions").items()}


def configuration(datasets: Mapping[str, xr.Dataset]) -> str:
    """All options of the run, as YAML."""
    return yaml.safe_dump(settings_of(datasets, "settings"), sort_keys=False, allow_unicode=True)


def is_study(datasets: Mapping[str, xr.Dataset]) -> bool:
    """Whether these are results of ``perturb``, which has no run of its own."""
    return "perturb" in settings_of(datasets, "settings")


def again(datasets: Mapping[str, xr.Dataset]) -> str:
    """The command that gives these results once more."""
    perturb = settings_of(datasets, "settings").get("perturb")
    if perturb is None:
        return "python -m rs_cae fit --config config.yaml --run_dir runs/again --test_after true"
    words = ["python", "-m", "rs_cae", "perturb"]
    for name, value in perturb.items():
        if value is not None and name != "out":
            several = value if isinstance(value, list) else [value]
            words += [f"--{name}", *(str(one).lower() if isinstance(one, bool) else str(one) for one in several)]
    return shlex.join(words)
