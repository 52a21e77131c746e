"""``rs_cae perturb``: streams of any prompts displaced on the plane of a fitted reducer; nothing is fitted again."""

import argparse
import re
import shutil
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import get_args

import torch
from jsonargparse import Namespace
from rich.progress import track
from torch import Tensor

from rs_cae.callbacks.perturbation import REFERENCE, PromptBootstrap, in_drawn_order, record_study
from rs_cae.commands.configs import configs_named
from rs_cae.commands.extent import plane_extent
from rs_cae.commands.joining import Joined, find_run
from rs_cae.commands.parser import CommandParser, named_path, parse_sections, true_or_false
from rs_cae.commands.prompts import read_prompts, shown, tokenize_prompts
from rs_cae.commands.provenance import attributes_of
from rs_cae.data import TrajectoryDataModule
from rs_cae.errors import InputError
from rs_cae.modules.checkpoints import load_reducer
from rs_cae.record import Record
from rs_cae.reducers import Reducer
from rs_cae.report import write_report
from rs_cae.results import headlines_as_json
from rs_cae.run_folder import RunFolder, refuse_unwritable
from rs_cae.stream.hookpoints import find_hook_points
from rs_cae.stream.language_model import LanguageModelSpec, context_of
from rs_cae.teleportation import (
    PROMPT,
    FieldSpec,
    Offplane,
    Study,
    Teleports,
    grid_points,
    injection_sublayers,
    principal_directions,
    widened_range,
)

DESCRIPTION = "Displace the residual streams of prompts, and see where the language model takes them."
SECTIONS = {"data": TrajectoryDataModule}
LEAST = {"grid": 2, "steps": 1, "bootstrap": 39, "seed": 0}
MOST = {"grid": 50, "seed": 2**32 - 1}
NEGATIVE = re.compile(r"^-(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?$")
OF_THE_MODEL = ("model", "revision", "random_init", "hook_points")
"""Data options that say whose states a reducer was fitted to."""


def run(arguments: list[str]) -> int:
    """Run the command.

    Returns:
        0.
    """
    options, rest = _parser().parse_beside(SECTIONS, arguments)
    _refuse_numbers(options)
    prompts = read_prompts(options.prompt, options.prompts_file, default=PROMPT)
    joined = find_run(options.run_dir, options.ckpt_path)
    _refuse_other_run(options)
    _refuse_unknown_model(joined, rest)
    settings = parse_sections("perturb", DESCRIPTION, SECTIONS, [*joined.config_for(rest), *rest])
    out, data, reducer = _out_folder(options.out, joined), _data(settings, joined), _reducer(joined)
    sublayers = injection_sublayers(data.layout, options.layers, options.site)
    extent, spec = plane_extent(options.extent, joined.folder, reducer.bottleneck), data.origin.model
    if options.untrained and spec.random_init:
        raise InputError("--untrained", "true", "the model is untrained itself")
    rows = tokenize_prompts(prompts, spec.tokenizer(), context_of(spec.config()))
    record = Record(_attributes(settings, joined, options, prompts))
    data.setup("test")
    print(_describe(prompts, rows, data, sublayers))
    model, points = data.language_model()[:2]
    study = _study(options, data, reducer.to(data.origin.device), sublayers, extent)
    teleports, twins = Teleports(model, points), _twins(spec, data.origin.device) if options.untrained else None
    for number, ids in enumerate(track(rows, "displaced streams", disable=len(rows) == 1)):
        study.add(teleports.of(ids), number, None if twins is None else twins.of(ids))
    record_study(
        record, study, PromptBootstrap(_numbers(prompts), options.bootstrap, options.seed), data.layout, teleports
    )
    _write(record, out)
    return 0


def _parser() -> CommandParser:
    parser = CommandParser("perturb", DESCRIPTION)
    parser._negative_number_matcher = NEGATIVE  # before Python 3.13, argparse takes -1e-3 for an option
    parser.add_run()
    parser.add_argument("--prompt", help="A prompt, whose last token's stream is perturbed; by default the paper's.")
    parser.add_argument("--prompts_file", type=named_path, metavar="FILE", help="Prompts, one a line, instead of one.")
    parser.add_argument("--layers", type=int, nargs="+", metavar="L", help="By default 0 7 15 23 31 of 32, scaled.")
    parser.add_argument("--site", help="attn, mlp or layer; by default the first of a layer.")
    parser.add_argument("--grid", type=int, default=10, metavar="N", help="Points along each latent of the plane.")
    parser.add_argument("--steps", type=int, default=12, metavar="K", help="Sublayers that are read afterwards.")
    parser.add_argument(
        "--offplane", choices=get_args(Offplane), default="mean", help="keep: add what the stream has off the plane."
    )
    parser.add_argument("--extent", type=float, nargs="+", metavar="X", help="Low and high of each axis of the plane.")
    parser.add_argument(
        "--logits", type=true_or_false, default=False, metavar="BOOL", help="Run the rest of the model: the next token."
    )
    parser.add_argument(
        "--untrained", type=true_or_false, default=False, metavar="BOOL", help="And the untrained model, in full width."
    )
    parser.add_argument("--bootstrap", type=int, default=1000, metavar="N", help="Resamples behind intervals.")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="Of everything that is drawn.")
    parser.add_argument(
        "--out", type=named_path, metavar="DIR", help="A new folder; by default RUN_DIR/perturb-1, -2, ..."
    )
    return parser


def _refuse_numbers(options: argparse.Namespace) -> None:
    """Raise an InputError of the first number that is too small or too large."""
    for name, least in LEAST.items():
        if getattr(options, name) < least:
            raise InputError(f"--{name}", getattr(options, name), f"must be at least {least}")
    for name, most in MOST.items():
        if getattr(options, name) > most:
            raise InputError(f"--{name}", getattr(options, name), f"must be at most {most}")


def _refuse_other_run(options: argparse.Namespace) -> None:
    """Raise an InputError if the checkpoint is that of another run, whose plane and settings would be mixed with it."""
    own = options.ckpt_path and RunFolder.of_checkpoint(options.ckpt_path)
    if own and options.run_dir is not None and own.path.resolve() != options.run_dir.resolve():
        raise InputError("--run_dir", options.run_dir, f"the checkpoint {options.ckpt_path} is that of another run")


def _refuse_unknown_model(joined: Joined, rest: list[str]) -> None:
    """Raise an InputError if nothing says to which model the reducer was fitted."""
    named = configs_named(rest) or any(word.partition("=")[0] == "--data.model" for word in rest)
    if joined.config is None and not named:
        problem = f"is wanted, or --data.model: {joined.checkpoint} lies in no run that would name its model"
        raise InputError("--config", "", problem)


def _data(settings: Namespace, joined: Joined) -> TrajectoryDataModule:
    """The data module of the run, if its model is the one that the reducer was fitted to."""
    held = joined.identity
    for name in (*OF_THE_MODEL, *(["seed"] if settings.data.random_init else [])):
        asked, fitted = getattr(settings.data, name), held.get(f"data.{name}")
        if f"data.{name}" in held and asked != fitted:
            problem = f"{joined.checkpoint} was fitted to a model with --data.{name} {fitted}"
            raise InputError(f"--data.{name}", asked, problem)
    data = TrajectoryDataModule(**settings.data)
    joined.refuse_other_shape(data)
    data.origin.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return data


def _out_folder(given: Path | None, joined: Joined) -> Path:
    """Where the results go: a folder that is not there yet."""
    if given is None:
        if joined.folder is None:
            raise InputError("--out", "", f"is wanted: {joined.checkpoint} lies in no run")
        given = next(path for number in count(1) if not (path := joined.folder / f"perturb-{number}").exists())
    if given.resolve().exists():
        raise InputError("--out", given, "is there already; name a new folder")
    refuse_unwritable("--out", given)
    return given


def _describe(
    prompts: list[tuple[str, str]], rows: list[Tensor], data: TrajectoryDataModule, sublayers: list[int]
) -> str:
    """One line: whose streams are displaced, and where."""
    one = f"the prompt {shown(prompts[0][1])} of {len(rows[0])} tokens"
    whose = one if len(rows) == 1 else f"{len(rows)} prompts"
    return f"{data.origin.model.name}: {whose}, displaced at {', '.join(data.layout.labels[s] for s in sublayers)}"


def _numbers(prompts: list[tuple[str, str]]) -> Tensor:
    """[prompts], the same number for the same text: a repeated prompt is no other one."""
    texts = [text for _, text in prompts]
    return torch.tensor([texts.index(text) for text in texts])


def _reducer(joined: Joined) -> Reducer:
    assert joined.checkpoint is not None
    try:
        return load_reducer(joined.checkpoint)
    except ValueError as error:
        raise InputError("--ckpt_path", joined.checkpoint, str(error)) from error


def _study(
    options: argparse.Namespace,
    data: TrajectoryDataModule,
    reducer: Reducer,
    sublayers: list[int],
    extent: Tensor | None,
) -> Study:
    """What is done to every prompt, on the plane of the reducer and along the directions in which test states vary."""
    reference = in_drawn_order(data.splits["test"], options.seed)[:REFERENCE].sort().values
    states = data.trajectories("test", reference).states.to(data.origin.device)
    if extent is None:
        print(f"the plane is that of {len(reference)} test texts: the run was not tested, and there is no --extent")
        extent = widened_range(reducer.encode(states).double())
    spec = FieldSpec(grid_points(extent, options.grid), options.steps, options.offplane, options.logits)
    return Study(reducer, sublayers, spec, principal_directions(states[:, sublayers]), options.seed)


def _twins(spec: LanguageModelSpec, device: torch.device) -> Teleports:
    """The untrained model, as a control."""
    model = replace(spec, random_init=True).load(device)
    return Teleports(model, find_hook_points(model, spec.hook_points))


def _attributes(
    settings: Namespace, joined: Joined, options: argparse.Namespace, prompts: list[tuple[str, str]]
) -> dict[str, str | int | float]:
    """What every dataset says of where it comes from."""
    identity = {"model": joined.class_path.rpartition(".")[2], "seed_everything": options.seed}
    asked = {name: str(value) if isinstance(value, Path) else value for name, value in vars(options).items()}
    config = {name: value for name, value in joined.identity.items() if name == "seed_everything"}  # of the fit
    config |= {"model": {"class_path": joined.class_path, "init_args": joined.hyperparameters}}
    config |= {"data": dict(settings.data), "perturb": asked | {"ckpt_path": str(joined.checkpoint)}}
    only = {"prompt": prompts[0][1]} if len(prompts) == 1 else {}
    source = f"{len(prompts)} prompts of {options.prompts_file}" if len(prompts) > 1 else shown(prompts[0][1])
    return attributes_of(config, identity) | only | {"prompts_source": source}


def _write(record: Record, out: Path) -> None:
    """Everything into a new folder, which is there whole or not at all."""
    folder = out.resolve()
    temporary = folder.with_name(f".{folder.name}.partial")
    try:
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(parents=True)
        record.write(temporary, temporary / "metrics.json")
        write_report(temporary, record.described(), headlines_as_json(record.headlines))
        temporary.replace(folder)
    except OSError as error:
        raise InputError("--out", out, f"results cannot be written: {error}") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    record.print_table("Perturbed streams")
    for headline in record.headlines.values():
        print(headline.sentence)
    print(f"results: {out / 'perturbation.nc'}\nreport: {out / 'report.html'}")
