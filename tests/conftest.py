"""Fixtures that several test files share: a tiny random model and the demo's tokenizer, nothing downloaded."""

import shutil

import datasets
import huggingface_hub
import pytest
import torch
from corpora import ROWS, write_dataset
from tiny_models import TEXTS
from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM
from workplace import ODD, contents, make_workplace, quietly

import rs_cae
from rs_cae.cli import main
from rs_cae.stream import LanguageModelSpec, Tokenization

LAYERS, WIDTH, HEADS, KEY_VALUE_HEADS, VOCABULARY, CONTEXT = 3, 32, 4, 2, 2048, 256
DISPLACED = "--analyses=[latent_trajectory,perturbation]"


@pytest.fixture(scope="session", autouse=True)
def _one_thread():
    """Tensors are tiny here, and on a busy machine threads that wait for each other take ten times as long."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def tiny_llama():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        config = LlamaConfig(
            vocab_size=VOCABULARY,
            hidden_size=WIDTH,
            intermediate_size=2 * WIDTH,
            num_hidden_layers=LAYERS,
            num_attention_heads=HEADS,
            num_key_value_heads=KEY_VALUE_HEADS,
            max_position_embeddings=CONTEXT,
            initializer_range=0.2,
        )
        return LlamaForCausalLM(config).float().eval().requires_grad_(False)


@pytest.fixture
def demo_tokenizer():
    """A fresh one for each test, since some of them change its special tokens."""
    return AutoTokenizer.from_pretrained(LanguageModelSpec("demo").path)


@pytest.fixture(scope="session")
def tiny_llama_dir(tiny_llama, tmp_path_factory):
    folder = tmp_path_factory.mktemp("tiny_llama")
    tiny_llama.save_pretrained(folder)
    AutoTokenizer.from_pretrained(LanguageModelSpec("demo").path).save_pretrained(folder)
    return folder


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """An empty cache of the hub; no network is asked, and the libraries learn of that after their import only."""
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "arrow")
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(huggingface_hub.HfApi, "hf_hub_download", lambda *_, **__: pytest.fail("asks the network"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    return tmp_path / "hub"


@pytest.fixture
def dataset_folder(tmp_path):
    first = {
        "train": {"text": ROWS, "number": list(range(len(ROWS)))},
        "test": {"text": ["test text"], "number": [0]},
    }
    return write_dataset(tmp_path / "folder", {"first": first, "second": {"train": {"body": ["other text"]}}})


@pytest.fixture
def requests(demo_tokenizer):
    """Every token of the texts once, in a drawn order: two requests of several batches each."""
    texts = Tokenization(demo_tokenizer, 256, "all")(TEXTS)
    order = torch.randperm(len(texts), generator=torch.Generator().manual_seed(0)).tolist()
    made = [texts.request(order[:20], 40), texts.request(order[20:], 40)]
    assert all(len(request.batches) > 1 for request in made)
    assert len(made[0].order) > len(TEXTS)
    return made


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A tiny model and two corpora in a folder of their own; see ``workplace.Workplace``."""
    return make_workplace(tmp_path_factory.mktemp("workplace"))


@pytest.fixture(scope="session")
def tested(tmp_path_factory):
    """A run in which the streams of 14 short texts were displaced, and where it was made."""
    place = make_workplace(tmp_path_factory.mktemp("displaced"))
    place.shorten("test", 120)
    few = ["--perturbation.texts=14", "--perturbation.layers=[0,2]", "--perturbation.steps=3"]
    assert quietly(lambda: place.fit(place.folder / "run", DISPLACED, *few))[0] == 0
    return place, place.folder / "run"


@pytest.fixture(scope="session")
def loaded(tested):
    """The model and the tokenizer of that run."""
    return rs_cae.load_model(str(tested[0].model), device="cpu")


@pytest.fixture(scope="session")
def asked_everything(tmp_path_factory):
    """A run of layers alone that was asked everything, on odd numbers of samples and prompts, and where it was made."""
    place = make_workplace(tmp_path_factory.mktemp("asked_everything"))
    assert quietly(lambda: place.fit(place.folder / "run", *ODD))[0] == 0
    return place, place.folder / "run"


@pytest.fixture
def test_again(tested, tmp_path):
    """Tests that run's reducer again in a folder of its own; gives back that folder and what was printed."""
    best, few = tested[1] / "checkpoints" / "best.ckpt", ["--report=false", "--trainer.enable_progress_bar=false"]

    def again(*words):
        folder = tmp_path / f"run-{len(list(tmp_path.iterdir()))}"
        asked = ["test", f"--ckpt_path={best}", f"--run_dir={folder}", DISPLACED, *few, *words]
        code, printed = quietly(lambda: main(asked))
        assert code == 0, printed
        return folder, printed

    return again


@pytest.fixture(scope="module")
def cache(place):
    """A cache whose making nothing disturbed."""
    assert quietly(lambda: place.cache(place.folder / "cache"))[0] == 0
    return place.folder / "cache"


@pytest.fixture(scope="module")
def whole(cache):
    """Every file of it, by name."""
    return contents(cache)


@pytest.fixture
def copy(cache, tmp_path):
    """To be damaged."""
    return shutil.copytree(cache, tmp_path / "copy")


@pytest.fixture
def no_model(monkeypatch):
    """Fails whoever loads the language model."""

    def fail(*_):
        pytest.fail("the language model was loaded")

    monkeypatch.setattr(LanguageModelSpec, "load", fail)
