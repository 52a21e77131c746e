"""Sweep files: what they say is what W&B's agent would run, and what only its server can do is refused by name."""

import random
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import yaml

from rs_cae.commands.sweeping.axes import drawn, grid, read_axis
from rs_cae.commands.sweeping.runs import expand, option_of, runs_of
from rs_cae.commands.sweeping.sweep_file import read_sweep_file
from rs_cae.errors import InputError

ROOT = Path(__file__).resolve().parent.parent
COMMAND = ["python", "-m", "rs_cae", "fit", "--test_after", "true", "${args}"]
METRIC = {"name": "test/explained_variance_pooled", "goal": "maximize"}
TWO_AXES = {"model.lr": {"values": [0.1, 0.2]}, "model.bottleneck": {"values": [1, 2, 4]}}
WHOLE = {"method": "grid", "metric": METRIC, "parameters": TWO_AXES, "command": COMMAND}


@pytest.fixture
def written(tmp_path):
    """Reads a sweep of this content, but for some keys."""

    def read(**changed):
        content = {key: value for key, value in {**WHOLE, **changed}.items() if value is not None}
        (tmp_path / "sweep.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
        return read_sweep_file(tmp_path / "sweep.yaml")

    return read


def axis(**content):
    return read_axis("file", "x", content)


def many(count=4000, **content):
    generator = random.Random(0)
    one = axis(**content)
    return np.array([one.draw(generator) for _ in range(count)])


def test_a_grid_is_every_combination_the_last_axis_first(written):
    found = written().combinations(None, 0)
    assert [tuple(values.values()) for values in found] == list(product([0.1, 0.2], [1, 2, 4]))
    assert list(found[0]) == ["model.lr", "model.bottleneck"]
    assert written(run_cap=4).combinations(None, 0) == found[:4]
    assert written(run_cap=4).combinations(5, 0) == found[:5]


def test_a_value_that_is_listed_twice_is_run_once_but_true_is_not_one():
    twice = read_axis("file", "x", {"values": [1, 2, 1]})
    assert grid("file", [twice]) == [{"x": 1}, {"x": 2}]
    kinds = read_axis("file", "x", {"values": [1, True, 1.0]})
    assert [repr(values["x"]) for values in grid("file", [kinds])] == ["1", "True", "1.0"]


def test_integers_between_two_ends_are_a_grid():
    assert axis(min=2, max=5).values == (2, 3, 4, 5)
    with pytest.raises(InputError, match=r"parameters\.x .*integers min and max"):
        grid("file", [axis(min=0.5, max=2.0)])


def test_random_combinations_depend_on_the_seed_and_more_go_on_from_fewer(written):
    both = {"a": {"min": 0.0, "max": 1.0}, "b": {"values": ["x", "y"]}}
    sweep = written(method="random", parameters=both, run_cap=20)
    first = sweep.combinations(None, 1)
    assert first == sweep.combinations(None, 1)
    assert first != sweep.combinations(None, 2)
    assert first[:7] == sweep.combinations(7, 1)
    assert len(first) == 20


def test_no_random_combination_comes_twice_and_no_more_come_than_there_are():
    few = [read_axis("file", name, {"values": [1, 2, 3]}) for name in "ab"]
    found = drawn(few, 100, seed=0)
    assert sorted(tuple(values.values()) for values in found) == list(product([1, 2, 3], repeat=2))


def test_many_repeated_draws_do_not_end_it_while_new_ones_come():
    rare = read_axis("file", "a", {"values": list(range(500))})
    assert len(drawn([rare], 490, seed=0)) == 490


def test_distributions_are_what_they_are_called():
    uniform = many(min=1.0, max=3.0)
    assert uniform.min() >= 1
    assert uniform.max() <= 3
    assert uniform.mean() == pytest.approx(2, abs=0.05)
    assert uniform.std() == pytest.approx(2 / 12**0.5, abs=0.03)
    logarithmic = np.log10(many(distribution="log_uniform_values", min=1.0e-4, max=1.0e-2))
    assert (logarithmic.min(), logarithmic.max()) == pytest.approx((-4, -2), abs=0.01)
    assert logarithmic.mean() == pytest.approx(-3, abs=0.05)
    assert set(many(min=1, max=3)) == {1, 2, 3}
    continuous = many(distribution="uniform", min=1, max=3)
    assert len(set(continuous)) == len(continuous)
    assert (many(values=["a", "b"]) == "a").mean() == pytest.approx(0.5, abs=0.05)


def test_the_words_are_those_of_wandbs_agent(written, monkeypatch):
    utils = pytest.importorskip("wandb.sdk.launch.sweeps.utils")
    monkeypatch.setenv("EPOCHS", "3")
    command = ["${env}", "${interpreter}", "-m", "rs_cae", "fit", "--trainer.max_epochs=${envvar:EPOCHS}", "${args}"]
    values = {"config": "a.yaml", "model.lr": 1e-05, "data.random_init": True, "x": None, "y": [1, 2]}
    for macro in ("${args}", "${args_no_equals}"):
        given = [*command[:-1], macro]
        theirs = utils.create_sweep_command_args({"args": {key: {"value": value} for key, value in values.items()}})
        theirs |= {"env": ["/usr/bin/env"], "interpreter": ["python"]}
        expected = []
        for word in utils.create_sweep_command(list(given)):
            expected += theirs[word[2:-1]] if word.startswith("${") else [word]
        assert expand(written(command=given).arguments, values) == expected[expected.index("fit") + 1 :]


@pytest.mark.parametrize(
    "start",
    [
        ["python", "-m", "rs_cae"],
        ["${env}", "${interpreter}", "-m", "rs_cae"],
        ["python3.11", "rs_cae/__main__.py"],
        ["rs_cae"],
    ],
)
def test_a_fit_is_a_fit_however_it_is_started(written, start):
    sweep = written(command=[*start, "fit", "--test_after=True", "${args}"])
    run = runs_of(sweep, [{"model.bottleneck": 4}], ["--data.n_train", "20"])[0]
    assert run.arguments == ("--test_after=True", "--model.bottleneck=4", "--data.n_train", "20")


def test_names_are_readable_short_and_all_different(written):
    def names(*combinations):
        return [run.name for run in runs_of(written(), combinations, [])]

    readable = names({"config": "configs/model/pca.yaml", "model.bottleneck": 4})
    assert readable == ["config-pca_model.bottleneck-4"]
    for folders in (["a", "b"], ["a", "b", "a b", "a-b"]):
        same_stem = names(*({"config": f"{folder}/cae.yaml"} for folder in folders))
        assert len(set(same_stem)) == len(folders)
    assert all(name.startswith("config-") and "/" not in name for name in same_stem)
    long = names({"x": "y" * 300}, {"x": "y" * 301})
    assert len(set(long)) == 2
    assert max(map(len, long)) < 140


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"method": "bayes"}, "method bayes: needs W&B's server"),
        ({"method": "hyperband"}, "method hyperband: expected one of grid, random"),
        ({"method": None}, "method : expected one of"),
        ({"method": "random"}, "method random: wants run_cap in the file, or --count"),
        ({"run_cap": 0}, "run_cap 0: expected an integer"),
        ({"metrik": 1}, "metrik: is no key of a sweep"),
        ({"metric": {"name": "val/loss"}}, "metric.name val/loss: expected a headline number"),
        ({"metric": {**METRIC, "goal": "up"}}, "metric.goal up: expected one of maximize"),
        ({"parameters": None}, "parameters : expected options"),
        ({"parameters": {}}, "parameters : expected options"),
        ({"parameters": {"a": 3}}, "parameters.a 3: expected value"),
        ({"parameters": {"a": {"values": []}}}, r"parameters.a.values \[\]: expected a list"),
        ({"parameters": {"a": {"values": 3}}}, "parameters.a.values 3: expected a list"),
        ({"parameters": {"a": {"distribution": "beta"}}}, "parameters.a.distribution beta: needs W&B's server"),
        ({"parameters": {"a": {"min": 2, "max": 1}}}, "parameters.a.min 2: must be at most max"),
        ({"parameters": {"a": {"min": "1e-3", "max": 1}}}, "parameters.a.min 1e-3: expected a number, as YAML writes"),
        ({"parameters": {"a": {"min": 1}}}, "parameters.a {'min': 1}: expected value"),
        ({"parameters": {"a": {"values": [1], "mu": 1}}}, "parameters.a {.*}: expected value"),
        ({"parameters": {"a": {"parameters": {"b": {"value": 1}}}}}, "parameters.a {.*}: expected value"),
        ({"parameters": {"a": {"values": [1, 2], "probabilities": [1]}}}, "parameters.a {.*}: expected value"),
        ({"parameters": {"a": {"distribution": "q_uniform", "min": 0, "max": 1}}}, "a.distribution q_uniform: needs"),
        (
            {"parameters": {"a": {"distribution": "int_uniform", "min": 0.5, "max": 1}}},
            "a.min 0.5: expected an integer",
        ),
        ({"parameters": {"a": {"min": True, "max": 2}}}, "a.min True: expected a number"),
        ({"parameters": {"a": {"distribution": "uniform", "values": [1]}}}, "parameters.a {.*}: expected value"),
        ({"parameters": {**TWO_AXES, "run_dir": {"value": "x"}}}, "--run_dir : is not to be given"),
        ({"parameters": {"a": {"distribution": "log_uniform_values", "min": 0, "max": 1}}}, "a.min 0: must be above"),
        ({"parameters": {"a": {"min": 0.5, "max": 2.0}}}, "parameters.a : method grid wants"),
        ({"command": None}, "command : expected a list of words"),
        ({"command": "python -m rs_cae fit ${args}"}, r"command python -m .*: expected a list of words"),
        ({"command": COMMAND[:-1]}, r"command .*: wants \$\{args\}"),
        (
            {"command": ["python", "train.py", "${args}"]},
            r"command python train.py .*: expected \[python, -m, rs_cae, fit",
        ),
        (
            {"command": ["python", "-m", "rs_cae", "cache", "${args}"]},
            r"command .*: expected \[python, -m, rs_cae, fit",
        ),
        ({"command": ["python", "train.py", "fit", "${args}"]}, r"command .*: expected \[python, -m, rs_cae, fit"),
        ({"command": [*COMMAND, "${args_json}"]}, r"command \$\{args_json\}: expected one of \$\{args\}"),
        ({"command": ["python", "-m", "rs_cae", "fit", "${args}"]}, "command .*: wants --test_after true"),
        ({"command": [*COMMAND, "--run_dir=x"]}, "--run_dir : is not to be given"),
    ],
)
def test_what_cannot_be_run_is_refused_in_one_line(written, changed, named):
    def plan():
        sweep = written(**changed)
        return runs_of(sweep, sweep.combinations(None, 0), [])

    with pytest.raises(InputError, match=named) as refused:
        plan()
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("extra", "named"),
    [
        (["--model.bottleneck=3"], "--model.bottleneck : is varied by"),
        (["--model.init_args.bottleneck", "3"], "--model.bottleneck : is varied by"),
        (["--model", "PCAModule"], "--model : is varied by"),
        (["--run_dir", "x"], "--run_dir : is not to be given"),
    ],
)
def test_an_option_may_not_overrule_an_axis(written, extra, named):
    sweep = written()
    with pytest.raises(InputError, match=named):
        runs_of(sweep, sweep.combinations(None, 0), extra)


def test_configurations_go_before_the_parameters_and_other_options_behind(written):
    extra = ["--config", "b.yaml", "--data.n_train", "20", "--config=c.yaml"]
    words = runs_of(written(parameters={"config": {"value": "a.yaml"}}), [{"config": "a.yaml"}], extra)[0].arguments
    configs = ("--config", "b.yaml", "--config=c.yaml", "--config=a.yaml")
    assert words == ("--test_after", "true", *configs, "--data.n_train", "20")


def test_options_are_known_however_they_are_written():
    words = ["--a.b=3", "--a.b", "-c", "value", "--model.init_args.x=1"]
    assert [option_of(word) for word in words] == ["a.b", "a.b", "config", None, "model.x"]
