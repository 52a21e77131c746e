"""Two processes that fit and test together give the numbers of one, and write once."""

import pytest
from compared import attributes_of, differences, files_of, weights_of
from forked import side_by_side
from workplace import ODD, OF_TRAJECTORIES, quietly

from rs_cae import processes
from rs_cae.cli import main

SUMMED = 1e-12
"""What sums in float64 in another order may differ by, of a variable's largest value: 1e-16 each, some thousand."""

TRAINED = 1e-4
"""What follows from trained weights: gradients in float32 summed in another order, of which AdamW makes steps."""

NOTHING = {"perturbation/recovery_uncorrected_mean"}
"""Zero but for rounding: what is carried along has not recovered."""


@pytest.fixture
def counted(monkeypatch):
    """Instead of a report, a line for each that would be written."""

    def count(folder, datasets, headlines):
        with (folder / "report.html").open("a") as file:
            file.write(f"{len(datasets)} datasets\n")

    monkeypatch.setattr("rs_cae.commands.trainer.write_report", count)


def farther(one, two, than):
    """What differs by more between two runs; of fixed points there may be more or fewer."""
    found = differences(one, two).items()
    return {name for name, size in found if size > than and "fixed_point" not in name} - NOTHING


def test_every_result_of_a_fit_is_that_of_one_process(asked_everything, counted):
    (place, one), two = asked_everything, asked_everything[0].folder / "two"
    side_by_side(place.fit_words(two, *ODD, "--report=true"), place.folder)
    assert files_of(two) == sorted([*files_of(one), "report.html"])
    assert (two / "report.html").read_text() == "3 datasets\n"
    assert attributes_of(two) == attributes_of(one)
    assert farther(one, two, than=TRAINED) == set()
    assert max(differences(one, two, weights_of).values()) < TRAINED
    changed = farther(one, two, than=0)
    assert any(name.startswith("latent/") for name in changed)  # it was trained, and gradients were summed otherwise
    dynamics = {name for name in changed if name.startswith("dynamics/")}
    assert len(dynamics) < 60  # of more than 90
    assert not dynamics & farther(one, two, than=SUMMED)


@pytest.mark.parametrize(("environment", "count"), [({}, 1), ({"WORLD_SIZE": "1"}, 1), ({"WORLD_SIZE": "2"}, 2)])
def test_torchrun_says_how_many_there_are_to_be(monkeypatch, environment, count):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert processes.launched_count() == count
    assert processes.world_size() == 1  # they have not found each other


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "tolerance"),
    [
        (["--model=rs_cae.PCAModule", "--model.components=7", "--data.source=cached"], SUMMED),
        (["--model=rs_cae.PCAModule", "--data.schedule=layerwise", OF_TRAJECTORIES], SUMMED),
        ([*ODD, "--model.scope=per_sublayer", "--latent_trajectory.align=procrustes"], TRAINED),
        ([*ODD, "--data.token_position=all", "--data.max_positions=5"], TRAINED),
        ([*ODD, "--data.outlier_norm_factor=1.1", "--data.outliers=drop"], TRAINED),
        ([*ODD, "--trainer.accumulate_grad_batches=2"], TRAINED),
        ([*ODD, "--data.memory_budget_gb=0", "--perturbation.texts=1"], TRAINED),
    ],
)
def test_whatever_is_fitted_to_whatever(place, cache, words, tolerance, tmp_path):
    one, two, given = tmp_path / "one", tmp_path / "two", [*ODD[1:], f"--data.cache_dir={cache}", *words]
    assert quietly(lambda: place.fit(one, *given))[0] == 0
    side_by_side(place.fit_words(two, *given), tmp_path)
    assert files_of(two) == files_of(one)
    assert farther(one, two, than=tolerance) == set()


@pytest.mark.parametrize("command", ["perturb", "report", "sweep", "verify"])
def test_what_is_of_one_process_is_refused_under_torchrun(monkeypatch, capsys, command):
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert main([command]) == 2
    said = f"error: rs_cae {command}: is of one process, but torchrun has started 2: leave it out\n"
    assert capsys.readouterr().err == said
