"""Reducers read back: from checkpoints and runs, and from folders in the hub's format; no pickle that runs code."""

import json
import pickle

import huggingface_hub
import pytest
import torch
from safetensors.torch import load_file

import rs_cae
from rs_cae.cli import main
from rs_cae.modules import AutoencoderModule, PCAModule
from rs_cae.reducers import CompressingAutoencoder, PrincipalComponents

WIDTH, SUBLAYERS = 32, 6
MODELS = {
    "shared": ["--model=rs_cae.AutoencoderModule", "--model.standardize=global", "--trainer.precision=bf16-mixed"],
    "tied": [
        "--model=rs_cae.AutoencoderModule",
        "--model.widths=[12,5]",
        "--model.tied=true",
        "--model.layer_norm=true",
    ],
    "per_sublayer": ["--model=rs_cae.AutoencoderModule", "--model.scope=per_sublayer", "--model.activation=tanh"],
    "pca": ["--model=rs_cae.PCAModule", "--model.components=7"],
    "pca_per_sublayer": ["--model=rs_cae.PCAModule", "--model.scope=per_sublayer", "--model.bottleneck=3"],
}


@pytest.fixture(scope="module", params=MODELS)
def run_dir(request, place, tmp_path_factory):
    """A fitted run of each kind of reducer."""
    folder = tmp_path_factory.mktemp("load") / "run"
    quiet = ["--trainer.enable_progress_bar=false", "--trainer.max_epochs=2", "--data.batch_size=16"]
    assert main(["fit", *place.options(*quiet, f"--run_dir={folder}", *MODELS[request.param])]) == 0
    return folder


def states():
    return torch.randn(9, SUBLAYERS, WIDTH, generator=torch.Generator().manual_seed(0))


def assert_alike(one, other):
    assert type(one) is type(other)
    latents = one.encode(states())
    assert torch.equal(other.encode(states()), latents)
    assert torch.equal(other.decode(latents), one.decode(latents))
    assert not torch.allclose(one.decode(latents), torch.zeros(()))


def test_a_run_and_its_checkpoint_give_the_modules_reducer(run_dir):
    best = run_dir / "checkpoints" / "best.ckpt"
    reducer = rs_cae.load_reducer(run_dir)
    kind = PCAModule if isinstance(reducer, PrincipalComponents) else AutoencoderModule
    module = kind.load_from_checkpoint(best, weights_only=True)
    module.network = None  # of an autoencoder, the weights in training are no part of it
    assert_alike(module.reducer, reducer)
    assert_alike(rs_cae.load_reducer(str(best)), reducer)
    latents = reducer.encode(states().requires_grad_())
    assert not reducer.training
    assert not any(parameter.requires_grad for parameter in reducer.parameters())
    assert latents.device == torch.device("cpu")


def test_another_checkpoint_of_the_run_can_be_named(run_dir):
    last = run_dir / "checkpoints" / "last.ckpt"
    held = torch.load(last, weights_only=True)["state_dict"]
    for name, tensor in rs_cae.load_reducer(last).state_dict().items():
        assert torch.equal(tensor, held[f"reducer.{name}"])


def test_save_pretrained_and_from_pretrained(run_dir, tmp_path):
    reducer = rs_cae.load_reducer(run_dir)
    reducer.save_pretrained(tmp_path)
    files = {path.name for path in tmp_path.iterdir()}
    assert files == {"config.json", "model.safetensors", "README.md"}
    config = json.loads((tmp_path / "config.json").read_text())
    assert (config["width"], config["sublayers"], config["scope"]) == (WIDTH, SUBLAYERS, reducer.scope)
    assert load_file(tmp_path / "model.safetensors").keys() == reducer.state_dict().keys()
    again = type(reducer).from_pretrained(tmp_path)
    assert_alike(again, reducer)
    assert again.standardizer.mode == reducer.standardizer.mode


def test_push_to_hub_uploads_these_files(run_dir, monkeypatch):
    reducer, uploaded = rs_cae.load_reducer(run_dir), {}

    class Api:
        def __init__(self, **_):
            pass

        def create_repo(self, repo_id, **_):
            return type("Url", (), {"repo_id": f"someone/{repo_id}"})

        def upload_folder(self, repo_id, folder_path, **_):
            uploaded[repo_id] = {path.name for path in folder_path.iterdir()}

    monkeypatch.setattr(huggingface_hub.hub_mixin, "HfApi", Api)
    reducer.push_to_hub("reducer")
    assert uploaded == {"someone/reducer": {"config.json", "model.safetensors", "README.md"}}


def test_an_unfitted_reducer_is_kept_as_well(tmp_path):
    for reducer in (CompressingAutoencoder(WIDTH, SUBLAYERS, seed=1), PrincipalComponents(WIDTH, SUBLAYERS)):
        reducer.save_pretrained(tmp_path)
        assert_alike(type(reducer).from_pretrained(tmp_path), reducer)


class Touch:
    """What a pickle runs when it is read."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (type(self.path).touch, (self.path,))


@pytest.mark.parametrize(
    "content", [{}, {"hyper_parameters": {}}, {"hyper_parameters": {"width": 3}}, [1], torch.ones(2)]
)
def test_what_is_no_checkpoint_of_a_reducer_is_refused(tmp_path, content):
    torch.save(content, tmp_path / "foreign.ckpt")
    with pytest.raises(ValueError, match=r"foreign\.ckpt holds no module, not one of AutoencoderModule, PCAModule"):
        rs_cae.load_reducer(tmp_path / "foreign.ckpt")


def test_another_modules_checkpoint_is_refused(tmp_path):
    torch.save({"module": "Network", "state_dict": {}}, tmp_path / "foreign.ckpt")
    with pytest.raises(ValueError, match="holds Network, not one of AutoencoderModule"):
        rs_cae.load_reducer(tmp_path / "foreign.ckpt")


@pytest.mark.parametrize("how", ["torch", "pickle"])
def test_code_in_a_pickle_does_not_run(tmp_path, how):
    evil = {"hyper_parameters": {"_class_path": "rs_cae.PCAModule", "width": Touch(tmp_path / "ran")}}
    file = tmp_path / "evil.ckpt"
    torch.save(evil, file) if how == "torch" else file.write_bytes(pickle.dumps(evil))
    with pytest.raises(ValueError, match=r"evil\.ckpt"):
        rs_cae.load_reducer(file)
    assert not (tmp_path / "ran").exists()
    if how == "torch":  # negative control: it would have run
        torch.load(file, weights_only=False)
        assert (tmp_path / "ran").exists()


@pytest.mark.parametrize("text", ["no checkpoint", ""])
def test_a_damaged_file_is_refused(tmp_path, text):
    (tmp_path / "damaged.ckpt").write_text(text)
    with pytest.raises(ValueError, match=r"damaged\.ckpt"):
        rs_cae.load_reducer(tmp_path / "damaged.ckpt")


def test_what_is_not_there(tmp_path):
    for path in (tmp_path, tmp_path / "nowhere.ckpt"):
        with pytest.raises(FileNotFoundError):
            rs_cae.load_reducer(path)
