"""Autoencoders trained all at once: each is the one that a plain PyTorch loop makes of its sublayer alone."""

import math
from copy import deepcopy
from types import SimpleNamespace

import pytest
import torch
from lightning import Callback
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.trainer.states import TrainerFn
from memory import StatesInMemory, batches, fit, make_trainer
from torch.nn.functional import mse_loss

from rs_cae.modules import AutoencoderModule
from rs_cae.reducers import CompressingAutoencoder

SUBLAYERS, WIDTH, BATCH, EPOCHS, LR = 4, 8, 20, 6, 0.3
DOUBLE = {"precision": "64-true"}  # so that AdamW, which divides by a gradient's own size, does not magnify rounding
CLIP = {"gradient_clip_val": 0.1, **DOUBLE}
ARCHITECTURE = {"bottleneck": 2, "n_layers": 4}


def states(samples, seed):
    """Correlated states of few samples, which are soon overfitted; the first sublayers' are far smaller."""
    generator = torch.Generator().manual_seed(seed)
    mix = torch.randn(SUBLAYERS, WIDTH, WIDTH, generator=torch.Generator().manual_seed(9))
    drawn = torch.einsum("nsw,swu->nsu", torch.randn(samples, SUBLAYERS, WIDTH, generator=generator), mix)
    return (drawn * torch.tensor([0.02, 0.05, 1.0, 2.0])[:, None]).double()


TRAIN, VALIDATION = states(100, 0), states(40, 1)


def data():
    return StatesInMemory(TRAIN, VALIDATION, BATCH)


def module_of(**options):
    given = {"scope": "per_sublayer", "standardize": "none", "lr": LR, "init": "random", "seed": 0, **options}
    return AutoencoderModule(WIDTH, SUBLAYERS, **{**ARCHITECTURE, **given})


class Recorder(Callback):
    """Weights before the first step, and after every epoch; learning rates and losses."""

    def __init__(self):
        self.epochs, self.rates, self.losses = [], [], []

    def on_train_start(self, trainer, pl_module):
        self.start = deepcopy(pl_module.network.state_dict())
        self.epochs.append(self.start)

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        self.rates.append(trainer.optimizers[0].param_groups[0]["lr"])

    def on_train_epoch_end(self, trainer, pl_module):
        self.epochs.append(deepcopy(pl_module.network.state_dict()))

    def listen(self, module):
        keep_best = module.keep_best

        def heard(losses):
            self.losses.append(losses.tolist())
            return keep_best(losses)

        module.keep_best = heard


def fitted(epochs=EPOCHS, trainer=DOUBLE, **options):
    module, recorder, trainer = module_of(**options), Recorder(), dict(trainer)
    callbacks = [recorder, *trainer.pop("callbacks", [])]
    recorder.listen(module)
    trainer = fit(module, data(), epochs, callbacks=callbacks, **trainer)
    return module, recorder, trainer


def alone(index, start, rates, clip=math.inf, **options):
    """A single autoencoder in a plain loop: weights at first and after each epoch, their losses, norms of gradients."""
    given = {**ARCHITECTURE, "standardize": "none", "init": "random", **options}
    single = CompressingAutoencoder(WIDTH, 1, **given).double()
    single.network.load_state_dict({name: tensor[index : index + 1] for name, tensor in start.items()})
    optimizer = torch.optim.AdamW(single.network.parameters(), weight_decay=0.01)
    train, validation = TRAIN[:, index : index + 1], VALIDATION[:, index : index + 1]
    epochs, losses, norms, rates = [], [], [], iter(rates)
    for epoch in range(EPOCHS + 1):
        for batch in batches(train, BATCH) if epoch else []:
            optimizer.param_groups[0]["lr"] = next(rates)
            optimizer.zero_grad()
            mse_loss(single.decode(single.encode(batch.states)), batch.states).backward()
            norms.append(float(torch.nn.utils.clip_grad_norm_(single.network.parameters(), clip)))
            optimizer.step()
        with torch.no_grad():
            losses.append(float(mse_loss(single.decode(single.encode(validation)), validation)))
        epochs.append(deepcopy(single.network.state_dict()))
    return epochs, losses, norms


def assert_same(together, single, index, atol):
    for name, tensor in single.items():
        torch.testing.assert_close(together[name][index : index + 1], tensor, rtol=0, atol=atol, msg=name)


@pytest.mark.parametrize(
    ("options", "atol", "lr"),
    [
        ({}, 1e-12, LR),
        ({"tied": True, "layer_norm": True, "widths": [6, 6]}, 1e-8, LR),
        # where PCA ends, the gradient of what leads to the latents is nothing but rounding, and AdamW magnifies that
        ({"init": "pca"}, 1e-5, 3e-3),
    ],
)
def test_all_at_once_is_one_by_one(options, atol, lr):
    module, recorder, _ = fitted(trainer=CLIP, lr=lr, **options)
    clipped = []
    for index in range(SUBLAYERS):
        epochs, losses, norms = alone(index, recorder.start, recorder.rates, clip=0.1, **options)
        for together, single in zip(recorder.epochs, epochs, strict=True):
            assert_same(together, single, index, atol)
        assert_same(module.reducer.network.state_dict(), epochs[losses.index(min(losses))], index, atol)
        assert float(module.best_loss[index]) == pytest.approx(min(losses), rel=1e-5)
        clipped.append(sum(norm > 0.1 for norm in norms))
    assert len(norms) == 30
    assert clipped[0] < 10 < 20 < clipped[-1]  # clipping changes some and not others


def test_clipping_over_all_of_them_is_something_else(monkeypatch):
    # negative control: in Lightning's own way the large gradients shrink the small ones
    monkeypatch.delattr(AutoencoderModule, "configure_gradient_clipping")
    _, recorder, _ = fitted(trainer=CLIP)
    epochs, _, _ = alone(0, recorder.start, recorder.rates, clip=0.1)
    with pytest.raises(AssertionError):
        assert_same(recorder.epochs[-1], epochs[-1], 0, 1e-3)


def test_a_shared_autoencoder_is_clipped_by_its_whole_norm():
    module = module_of(scope="shared").double()
    module.network(TRAIN.reshape(1, -1, WIDTH)).square().mean().backward()
    expected = [parameter.grad.clone() for parameter in module.network.parameters()]
    norm = torch.stack([gradient.norm() for gradient in expected]).norm()
    module.configure_gradient_clipping(None, 0.01, "norm")
    for parameter, gradient in zip(module.network.parameters(), expected, strict=True):
        torch.testing.assert_close(parameter.grad, gradient * 0.01 / norm, rtol=1e-3, atol=0)


def fabricated(module, table, sanity_checking=False, function=TrainerFn.FITTING):
    """Give a module these validation losses by epoch, its weights being the epoch's number; which of them it keeps."""
    state = SimpleNamespace(fn=function)
    module.trainer = trainer = SimpleNamespace(state=state, sanity_checking=sanity_checking, should_stop=False)
    stops = []
    for epoch, losses in enumerate(table):
        for parameter in module.network.parameters():
            parameter.data.fill_(epoch)
        module.keep_best(torch.tensor(losses, dtype=torch.float64))
        stops.append(trainer.should_stop)
    weights = [torch.cat([part[index].flatten() for part in module.reducer.network.parameters()]) for index in range(4)]
    return [weight.unique().tolist() for weight in weights], stops


TABLE = [[3, 3, 3, 3], [2, 4, 4, 2], [1, 5, 2, 1], [5, 0.1, 5, math.nan], [5, 0.1, 5, 1]]


def test_each_keeps_its_best_and_is_final_when_it_has_waited():
    module = module_of(patience=2)
    kept, stops = fabricated(module, TABLE)
    assert kept == [[2], [0], [2], [2]]  # the second one's fourth loss came too late
    assert module.best_loss.tolist() == [1, 3, 2, 1]
    assert stops == [False, False, False, False, True]


def test_without_patience_nobody_is_final():
    module = module_of()
    kept, stops = fabricated(module, TABLE)
    assert kept == [[2], [3], [2], [2]]
    assert not any(stops)


def test_a_loss_that_stays_the_same_is_no_better():
    # 0.1 is less than what float32 makes of it
    kept, stops = fabricated(module_of(patience=2), [[0.1] * 4] * 3)
    assert kept == [[0]] * 4
    assert stops == [False, False, True]


@pytest.mark.parametrize("when", [{"sanity_checking": True}, {"function": TrainerFn.VALIDATING}])
def test_nothing_is_kept_of_a_validation_that_is_no_part_of_a_fit(when):
    module = module_of(patience=1)
    before = deepcopy(module.reducer.state_dict())
    _, stops = fabricated(module, TABLE, **when)
    assert all(torch.equal(tensor, before[name]) for name, tensor in module.reducer.state_dict().items())
    assert module.best_loss.isinf().all()
    assert not any(stops)


def test_one_that_is_final_neither_stops_nor_changes_the_others():
    patient, recorder, _ = fitted(30, patience=2)
    impatient = recorder.epochs
    _, recorder, _ = fitted(30)
    assert 2 < len(impatient) < 30  # until all of them were final
    assert patient.waited.tolist() == [2] * SUBLAYERS
    best = []
    for index in range(SUBLAYERS):
        losses = [epoch[index] for epoch in recorder.losses]
        best.append(next(e for e in range(31) if min(losses[e + 1 : e + 3]) >= losses[e] == min(losses[: e + 1])))
        kept = {name: tensor[index : index + 1] for name, tensor in recorder.epochs[best[-1]].items()}
        assert_same(patient.reducer.network.state_dict(), kept, index, 0)
    assert len(set(best)) > 1
    assert len(impatient) == max(best) + 3
    for one, other in zip(impatient, recorder.epochs, strict=False):
        assert all(torch.equal(one[name], other[name]) for name in one)


def test_a_resumed_run_goes_on_waiting(tmp_path):
    checkpoints = ModelCheckpoint(tmp_path, "{epoch}", save_top_k=-1)
    whole, _, _ = fitted(8, {"callbacks": [checkpoints], "enable_checkpointing": True}, patience=2)
    resumed, second = module_of(patience=2), tmp_path / "epoch=2.ckpt"
    resumed.prepare = lambda _: pytest.fail("what a checkpoint brings along is set anew")
    make_trainer(8).fit(resumed, data(), ckpt_path=second, weights_only=True)
    held = torch.load(second, weights_only=True)["state_dict"]
    assert held["waited"].any()
    assert held["best_loss"].isfinite().all()
    for name, tensor in whole.state_dict().items():
        assert torch.equal(resumed.state_dict()[name], tensor), name


def test_validation_and_test_of_a_checkpoint_are_by_the_best_weights(tmp_path):
    module, _, trainer = fitted()
    trainer.save_checkpoint(tmp_path / "last.ckpt")
    fresh, trainer = module_of(seed=1), make_trainer(1, **DOUBLE)
    validated = trainer.validate(fresh, data(), ckpt_path=tmp_path / "last.ckpt", weights_only=True, verbose=False)[0]
    kept, latest = fresh.reducer.network, fresh.network
    rows = VALIDATION.transpose(0, 1)
    errors = [mse_loss(network(rows), rows) for network in (kept, latest)]
    assert validated["val/loss"] == pytest.approx(float(errors[0]), rel=1e-9)
    assert validated["val/best_loss"] == validated["val/loss"]
    assert validated["val/loss"] == pytest.approx(float(module.best_loss.mean()), rel=1e-9)
    assert errors[0] < 0.999 * errors[1]
    outputs = fresh.test_step(batches(VALIDATION, 40)[0], 0)
    torch.testing.assert_close(outputs["reconstructions"].transpose(0, 1), kept(rows))
    torch.testing.assert_close(outputs["latents"].transpose(0, 1), kept.encode(rows))
