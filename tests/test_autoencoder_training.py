"""What the training's options do: loss, noise, learning rate, precision, and refusals of what is out of range."""

import math

import pytest
import torch
from lightning import Callback
from memory import StatesInMemory, batches, fit, prepare

from rs_cae.cli import main
from rs_cae.dynamics import Moments
from rs_cae.modules import AutoencoderModule

SUBLAYERS, WIDTH, BOTTLENECK = 3, 8, 2
STILL = {"lr": 0.0, "weight_decay": 0.0, "seed": 0}


def states(samples=4000, seed=0):
    """States that vary twice as much from one sublayer to the next, about a mean."""
    drawn = torch.randn(samples, SUBLAYERS, WIDTH, generator=torch.Generator().manual_seed(seed))
    return 3 + drawn * torch.tensor([1.0, 2.0, 4.0])[:, None] * torch.linspace(1, 0.2, WIDTH)


def fitted(epochs=1, trainer=None, data=None, **options):
    module = AutoencoderModule(WIDTH, SUBLAYERS, BOTTLENECK, n_layers=4, **options)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        trainer = fit(module, data or StatesInMemory(states(), batch_size=400), epochs, **(trainer or {}))
    return module, {name: float(value) for name, value in trainer.callback_metrics.items()}


@pytest.mark.parametrize("scope", ["shared", "per_sublayer"])
@pytest.mark.parametrize("standardize", ["none", "global", "per_sublayer"])
def test_the_relative_loss_is_in_units_of_each_sublayers_variance(scope, standardize):
    h, options = states(), {"scope": scope, "standardize": standardize, "init": "random", **STILL}
    relative, logged = fitted(loss="relative", **options)
    plain, squared = fitted(**options)
    standardized = relative.reducer.standardizer(h)
    error = (relative._by_network(standardized) - standardized).double().square().mean(dim=(0, 2))
    variance = standardized.double().var(dim=0, correction=0).mean(dim=1)
    for name in ("val/loss", "train/loss", "val/best_loss"):
        assert logged[name] == pytest.approx(float((error / variance).mean()), rel=1e-5), name
        assert squared[name] == pytest.approx(float(error.mean()), rel=1e-5), name
    batch = batches(h, len(h))[0]
    for module, expected in ((relative, error / variance), (plain, error)):
        total = expected.sum() if scope == "per_sublayer" else expected.mean()
        assert float(module.training_step(batch, 0)) == pytest.approx(float(total), rel=1e-5)


def test_noise_is_on_what_is_encoded_in_training_alone():
    _, plain = fitted(**STILL)
    noisy, logged = fitted(noise=0.5, **STILL)
    assert logged["val/loss"] == plain["val/loss"]
    # the target has no noise: a projection onto k of D directions lets k/D of its variance pass; 96,000 draws
    passed = 0.5**2 * BOTTLENECK / WIDTH
    assert logged["train/loss"] - plain["train/loss"] == pytest.approx(passed, rel=0.05)
    batch = batches(states(20), 20)[0]
    assert torch.equal(noisy.test_step(batch, 0)["latents"], noisy.test_step(batch, 0)["latents"])


class Rates(Callback):
    def __init__(self):
        self.rates = []

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        self.rates.append(trainer.optimizers[0].param_groups[0]["lr"])


@pytest.mark.parametrize(("warmup", "rise"), [(0.25, 5), (0.0, 1), (1.0, 20)])
def test_the_learning_rate_rises_to_its_peak_and_falls_as_a_cosine(warmup, rise):
    rates = Rates()
    fitted(2, {"callbacks": [rates]}, lr=0.1, warmup=warmup)
    cosine = [0.05 * (1 + math.cos(math.pi * step / max(1, 20 - rise))) for step in range(20 - rise)]
    assert rates.rates == pytest.approx([0.1 * (step + 1) / rise for step in range(rise)] + cosine, abs=1e-12)


def test_weights_decay_as_asked():
    weights = {}
    for decay in (0.0, 0.5):
        still = {"lr": 0.1, "init": "random", "seed": 0, "warmup": 0.0, "weight_decay": decay}
        zeros = StatesInMemory(torch.zeros(20, SUBLAYERS, WIDTH), batch_size=20)
        weights[decay] = fitted(data=zeros, **still)[0].network.encoder.weights[0]
    # states of zeros give no gradient to the first layer; one step at the peak takes lr * decay of it
    torch.testing.assert_close(weights[0.5], weights[0.0] * 0.95)


@pytest.mark.parametrize("loss", ["mse", "relative"])
@pytest.mark.parametrize(
    "clip", [{}, {"gradient_clip_val": 0.1}, {"gradient_clip_val": 0.1, "gradient_clip_algorithm": "value"}]
)
@pytest.mark.parametrize("scope", ["shared", "per_sublayer"])
def test_bfloat16_trains_and_its_statistics_stay_in_float64(scope, clip, loss):
    options = {"scope": scope, "loss": loss, "seed": 0, "layer_norm": True}
    module, logged = fitted(3, {"precision": "bf16-mixed", **clip}, **options)
    _, exact = fitted(3, clip, **options)
    assert logged["val/loss"] == pytest.approx(exact["val/loss"], rel=0.02)
    assert logged["val/loss"] != exact["val/loss"]
    assert module.best_loss.dtype == module.val_errors.sums.dtype == torch.float64
    assert module.val_moments.targets_mean.dtype == torch.float64
    expected = Moments.of(states()).squares.mean(dim=(0, 2)).div(4000).sqrt()
    torch.testing.assert_close(module.reducer.standardizer.scale, expected.float(), rtol=1e-6, atol=0)


def test_the_parameters_of_single_values_are_clipped_by_lightning():
    module = prepare(AutoencoderModule(WIDTH, SUBLAYERS, n_layers=4, scope="per_sublayer"), states(100))
    called = []
    module.clip_gradients = lambda *given: called.append(given)
    for value, algorithm in ((0.1, "value"), (None, None), (0, "norm")):
        module.configure_gradient_clipping("optimizer", value, algorithm)
    assert called == [("optimizer", 0.1, "value"), ("optimizer", None, None), ("optimizer", 0, "norm")]


REFUSED = [
    ("noise", -0.5, "-0.5", "must be at least 0"),
    ("lr", -1.0, "-1.0", "must be at least 0"),
    ("lr", math.nan, "nan", "must be at least 0"),
    ("lr", math.inf, "inf", "must be at least 0"),
    ("weight_decay", -0.1, "-0.1", "must be at least 0"),
    ("warmup", 1.5, "1.5", "must be at most 1"),
    ("warmup", -0.1, "-0.1", "must be at least 0"),
    ("patience", 0, "0", "must be at least 1, or null"),
    ("bottleneck", 8, "8", "must be at least 1 and below the width 8"),
    ("widths", [4, 0], "[4,0]", "must be at least 1 each"),
    ("n_layers", 5, "5", "must be even and at least 2"),
]


@pytest.mark.parametrize(("name", "value", "shown", "problem"), REFUSED)
def test_values_out_of_range_are_refused_by_name(name, value, shown, problem):
    with pytest.raises(ValueError, match="must") as caught:
        AutoencoderModule(WIDTH, SUBLAYERS, **{name: value})
    assert str(caught.value).startswith(f"{name} {shown} {problem}")


def test_an_unknown_loss_is_refused():
    with pytest.raises(ValueError, match="loss 'mae' is none of mse, relative"):
        AutoencoderModule(WIDTH, SUBLAYERS, loss="mae")


LINES = [
    (f"--model.{name}={shown}", f"error: --model.{name} {shown}: {problem}")
    for name, value, shown, problem in REFUSED
    if name not in ("bottleneck", "lr")
]
LINES += [
    ("--model.lr=-1", "error: --model.lr -1.0: must be at least 0"),
    ("--model.activation=swish", "error: --model.activation swish: expected one of gelu, relu, silu, tanh, identity"),
    ("--model.init=PCA", "error: --model.init PCA: expected one of pca, random"),
    ("--model.loss=mae", "error: --model.loss mae: expected one of mse, relative"),
    ("--model.scope=both", "error: --model.scope both: expected one of shared, per_sublayer"),
    ("--model.widths=cubic", "error: --model.widths cubic: "),
    ("--model.patience=1.5", "error: --model.patience 1.5: expected int or null"),
]


@pytest.mark.parametrize(("word", "line"), LINES)
def test_the_command_line_refuses_them_in_one_line(tmp_path, monkeypatch, capsys, word, line):
    monkeypatch.chdir(tmp_path)
    assert main(["fit", word]) == 2
    error = capsys.readouterr().err
    assert error.startswith(line)
    assert error.count("\n") == 1
    assert not list(tmp_path.iterdir())
