"""``rs_cae perturb``: from a checkpoint alone, with any prompts, and what a test finds if it is asked the same."""

import json
import shutil
from pathlib import Path

import lightning
import numpy as np
import pytest
import xarray as xr
from workplace import quietly, stamps

from rs_cae.cli import main
from rs_cae.modules import AutoencoderModule
from rs_cae.results import open_dataset
from rs_cae.teleportation import PROMPT

FEW = ["--layers", "1", "--grid", "2", "--steps", "2", "--bootstrap", "39"]


@pytest.fixture
def run(tested, tmp_path):
    """A copy of the run, to which results may be added."""
    return shutil.copytree(tested[1], tmp_path / "run")


@pytest.fixture
def perturb(tested, tmp_path, monkeypatch):
    """Runs the command on the run's best checkpoint, without figures; gives back what it would write."""
    written = []
    monkeypatch.setattr("rs_cae.commands.perturb.write_report", lambda *_: None)
    monkeypatch.setattr("rs_cae.record.write_dataset", lambda _, dataset: written.append(dataset))  # the slowest part

    def command(*words):
        out = tmp_path / f"out-{len(list(tmp_path.iterdir()))}"
        best = tested[1] / "checkpoints" / "best.ckpt"
        code, printed = quietly(lambda: main(["perturb", f"--ckpt_path={best}", f"--out={out}", *FEW, *words]))
        assert code == 0, printed
        return written.pop()

    return command


def read(folder: Path) -> xr.Dataset:
    with xr.open_dataset(folder / "perturbation.nc", engine="h5netcdf") as dataset:
        return dataset.load()


def no_number(name):
    pytest.fail(f"{name} is not JSON")


def test_by_default_the_papers_prompt_into_numbered_folders(tested, run, monkeypatch, capsys):
    monkeypatch.setattr(lightning.Trainer, "__init__", lambda *_, **__: pytest.fail("there is a trainer"))
    monkeypatch.setattr(AutoencoderModule, "training_step", lambda *_: pytest.fail("it is trained again"))
    before = stamps(run)
    assert main(["perturb", f"--run_dir={run}"]) == 0
    printed = capsys.readouterr().out
    assert "llama: the prompt \"I'm sorry, Dave. I'm afraid I can't do that.\" of" in printed
    assert " at L00.attn, L01.attn, L02.attn" in printed
    assert f"results: {run / 'perturb-1' / 'perturbation.nc'}" in printed
    monkeypatch.setattr("rs_cae.commands.perturb.write_report", lambda *_: None)
    assert main(["perturb", f"--ckpt_path={run / 'checkpoints' / 'best.ckpt'}", *FEW]) == 0
    after = stamps(run)
    assert {name: stamp for name, stamp in after.items() if not name.startswith("perturb-")} == before
    names = ("dose_response", "perturbation_field", "recovery", "recovery_by_step")
    figures = {f"figures/{name}.{ending}" for name in names for ending in ("png", "pdf")}
    files = {f"perturb-{number}/{file}" for number in (1, 2) for file in ("perturbation.nc", "metrics.json")}
    assert after.keys() - before.keys() == files | {f"perturb-1/{name}" for name in {*figures, "report.html"}}
    assert {path.name for path in run.iterdir()} - {path.name for path in tested[1].iterdir()} == {
        "perturb-1",
        "perturb-2",
    }
    found = read(run / "perturb-1")
    assert found.attrs["prompt"] == PROMPT
    assert found.attrs["prompts"] == 1
    assert found.attrs["reducer"] == "AutoencoderModule"
    assert found.sizes["grid"] == 100
    assert found["steps_left"].values.tolist() == [5, 3, 1]
    assert not any(name.startswith(("kl", "dose_kl", "recovery_untrained")) for name in found)
    metrics = json.loads((run / "perturb-1" / "metrics.json").read_text(), parse_constant=no_number)
    assert metrics["recovery_first_injection"]["value"] == float(found["recovery_mean"][0])
    assert metrics["stable_fixed_points"]["value"] is None


def test_a_prompt_of_ones_own(perturb):
    found = perturb("--prompt", "Größe: the cat sat")
    assert found.attrs["prompt"] == "Größe: the cat sat"
    assert found.attrs["way"] == "prefix kept"
    other = perturb("--prompt", "Another one")
    assert not np.allclose(found["control"], other["control"], rtol=1e-3)


def test_prompts_of_a_file_without_its_blank_lines(perturb, tmp_path):
    texts = ["The cat sat on the mat.", "Paris is the capital"]
    (tmp_path / "prompts.txt").write_text("\ufeff" + "\n  \n".join(texts) + "\n\n", encoding="utf-8")
    both = perturb("--prompts_file", str(tmp_path / "prompts.txt"))
    assert both.attrs["prompts"] == 2
    assert "prompt" not in both.attrs
    alone = [perturb("--prompt", text)["control"] for text in texts]
    np.testing.assert_allclose(both["control"], (alone[0] + alone[1]) / 2, rtol=1e-12)


def test_what_is_asked_for(perturb):
    asked = ["--layers", "2", "0", "--site", "mlp", "--grid", "4", "--steps", "3", "--offplane", "keep"]
    found = perturb(*asked, "--extent", "-1", "1.5", "-2e0", "2", "--logits", "true", "--untrained", "true", "--seed=4")
    assert found["injection"].values.tolist() == ["L00.mlp", "L02.mlp"]
    assert found["steps_left"].values.tolist() == [3, 0]
    assert found["step"].values.tolist() == [0, 1, 2, 3]
    expected = [[x, y] for x in np.linspace(-1, 1.5, 4) for y in np.linspace(-2, 2, 4)]
    np.testing.assert_allclose(found["points"], expected, atol=1e-12)
    assert {name: found.attrs[name] for name in ("offplane", "steps", "seed")} == {
        "offplane": "keep",
        "steps": 3,
        "seed": 4,
    }
    assert json.loads(found.attrs["settings"])["perturb"]["site"] == "mlp"
    assert {"kl", "kl_random", "kl_mean", "dose_kl"} <= set(found)
    np.testing.assert_array_equal(np.isfinite(found["kl"]), True)  # the last sublayer has a next token, too
    np.testing.assert_array_equal(np.isnan(found["recovery_untrained_mean"]), [False, True])
    # the tiny model was drawn as an untrained one is with the seed 0, so the control is the model itself
    np.testing.assert_allclose(found["recovery_untrained_mean"][0], found["recovery_mean"][0], rtol=1e-5)
    words = ["--extent", "-1", "1.5", "-2", "2", "--untrained=true", "--data.seed=3"]
    mean = perturb(*asked[:-1], "mean", *words)
    assert not np.isclose(mean["recovery_untrained_mean"][0], mean["recovery_mean"][0], rtol=1e-3)
    assert not np.allclose(found["recovery"][0], mean["recovery"][0], rtol=1e-3)


def test_the_grid_is_that_of_the_test_or_of_the_first_states_where_there_was_none(tested, run, perturb):
    extent = open_dataset(tested[1], "latent")["grid_extent"].values
    np.testing.assert_allclose(perturb()["points"].values[[0, 3]].T, extent, rtol=1e-12)
    shutil.rmtree(run / "results")
    found = perturb(f"--run_dir={run}", f"--ckpt_path={run / 'checkpoints' / 'best.ckpt'}")
    # the same 14 texts in the same batches, whose latents the test keeps in float32
    np.testing.assert_allclose(found["points"].values[[0, 3]].T, extent, rtol=1e-5)


def test_a_test_that_is_asked_the_same_finds_the_same(tested, perturb):
    """PromptBootstrap are run one by one in both, with the same draws: to the last digits of float32, for safety."""
    place, run_dir = tested
    same = ["--layers", "0", "2", "--grid", "3", "--steps", "3", "--logits", "true", "--bootstrap", "39"]
    found, test = (
        perturb("--prompts_file", str(place.folder / "test.txt"), *same),
        open_dataset(run_dir, "perturbation"),
    )
    assert set(found.variables) == set(test.variables)
    assert "recovery_mean_low" in found
    for name in test.variables:
        if test[name].dtype.kind == "U":
            np.testing.assert_array_equal(found[name], test[name], err_msg=name)
        else:
            np.testing.assert_allclose(found[name], test[name], rtol=1e-5, atol=1e-6, err_msg=name)
    assert found.attrs["prompts"] == test.attrs["prompts"] == 14


def test_a_checkpoint_outside_a_run_wants_a_folder_and_a_configuration(tested, perturb, tmp_path, capsys):
    alone = shutil.copy(tested[1] / "checkpoints" / "best.ckpt", tmp_path / "alone.ckpt")
    config = f"--config={tested[1] / 'config.yaml'}"
    assert main(["perturb", f"--ckpt_path={alone}", config]) == 2
    assert "--out : is wanted" in capsys.readouterr().err
    assert main(["perturb", f"--ckpt_path={alone}", f"--out={tmp_path / 'out'}"]) == 2
    assert "--config : is wanted, or --data.model: " in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
    found = perturb(f"--ckpt_path={alone}", config)
    expected = perturb()
    np.testing.assert_allclose(found["control"], expected["control"], rtol=1e-12)
    np.testing.assert_allclose(found["points"], expected["points"], rtol=1e-5)  # of the first states' latents


def test_options_of_the_data_overrule_the_runs(perturb):
    exact, rough = perturb()["control"].values, perturb("--data.dtype=bfloat16", "--data.n_test", "3")["control"].values
    assert not np.array_equal(exact, rough)
    assert np.abs(exact - rough).max() < 0.1 * np.abs(exact).max()  # 8 bits a number, a few sublayers deep


@pytest.mark.parametrize("taken", [".", "empty", "full", "full/file", "new/.."])
def test_what_is_there_is_left_as_it_is(tested, tmp_path, capsys, monkeypatch, no_model, taken):
    monkeypatch.chdir(tmp_path)
    Path("empty").mkdir()
    Path("full").mkdir()
    Path("full/file").write_text("precious")
    before = stamps(tmp_path)
    assert main(["perturb", f"--run_dir={tested[1]}", *FEW, f"--out={taken}"]) == 2
    assert capsys.readouterr().err == f"error: --out {taken}: is there already; name a new folder\n"
    assert stamps(tmp_path) == before


def test_a_full_disk_leaves_nothing(tested, tmp_path, monkeypatch, capsys):
    def write_report(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("rs_cae.commands.perturb.write_report", write_report)
    assert main(["perturb", f"--run_dir={tested[1]}", *FEW, f"--out={tmp_path / 'out'}"]) == 2
    error = capsys.readouterr().err
    assert error == f"error: --out {tmp_path / 'out'}: results cannot be written: [Errno 28] No space left on device\n"
    assert list(tmp_path.iterdir()) == []
