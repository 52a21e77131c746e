"""What a real trainer makes of the data module: new batches every epoch, the same ones again after a resume."""

import pytest
import torch
from lightning import Callback, Trainer
from safetensors.torch import load_file, save_file
from tiny_models import tiny_model

from rs_cae import AutoencoderModule, TrajectoryDataModule
from rs_cae.cli import main


class Recorder(Callback):
    """The numbers of the samples of every training batch, by epoch."""

    def __init__(self):
        self.epochs = []

    def on_train_epoch_start(self, trainer, pl_module):
        self.epochs.append([])

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        self.epochs[-1].append(batch.samples.tolist())


def fitted(folder, epochs, checkpoint=None):
    data = TrajectoryDataModule(str(folder), train_corpus="demo/test", n_train=50, batch_size=20)
    recorder = Recorder()
    quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False, "accelerator": "cpu"}
    trainer = Trainer(
        max_epochs=epochs,
        callbacks=[recorder],
        default_root_dir=folder,
        num_sanity_val_steps=0,
        use_distributed_sampler=False,
        enable_checkpointing=False,
        **quiet,
    )
    torch.manual_seed(0)
    trainer.fit(AutoencoderModule(data.width, data.sublayers), data, ckpt_path=checkpoint, weights_only=True)
    trainer.save_checkpoint(folder / "last.ckpt")
    return recorder.epochs


@pytest.fixture
def folder(tmp_path, demo_tokenizer):
    tiny_model("llama").save_pretrained(tmp_path)
    demo_tokenizer.save_pretrained(tmp_path)
    return tmp_path


def test_every_epoch_has_other_batches_of_the_same_samples(folder):
    epochs = fitted(folder, 3)
    assert len({str(batches) for batches in epochs}) == 3
    for batches in epochs:
        assert sorted(sample for batch in batches for sample in batch) == list(range(45))
        assert [len(batch) for batch in batches] == [15, 15, 15]


def test_a_resumed_run_goes_on_with_the_batches_it_would_have_had(folder):
    whole = fitted(folder, 3)
    assert fitted(folder, 1) == whole[:1]
    assert fitted(folder, 3, folder / "last.ckpt") == whole[1:]


def without_a_weight(folder):
    tensors = load_file(folder / "model.safetensors")
    del tensors["model.layers.1.mlp.down_proj.weight"]
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


def cut_short(folder):
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-1000])


def of_another_vocabulary(folder):
    tiny_model("llama", vocab_size=100).save_pretrained(folder)


@pytest.mark.parametrize(
    ("break_it", "message"),
    [
        (without_a_weight, "1 weights are missing, model.layers.1.mlp.down_proj.weight among them"),
        (cut_short, "no weights can be loaded"),
        (of_another_vocabulary, "they do not belong together"),
    ],
)
@pytest.mark.parametrize("schedule", ["batchwise", "layerwise"])
def test_a_broken_model_is_one_line(folder, capsys, break_it, message, schedule):
    break_it(folder)
    words = ["cache", "--data.model", str(folder), "--data.train_corpus", "demo/test", "--data.n_train", "20"]
    words += ["--data.n_test", "20", "--data.cache_dir", str(folder / "cache"), "--data.schedule", schedule]
    capsys.readouterr()
    assert main(words) == 2
    error = capsys.readouterr().err.strip().splitlines()
    assert len(error) == 1, error
    assert error[0].startswith("error: --data.")
    if schedule == "batchwise" or break_it is of_another_vocabulary:
        assert message in error[0]
