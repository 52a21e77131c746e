"""Fixtures that several test files share: a tiny random model and the demo's tokenizer, nothing downloaded."""

import pytest
import torch
from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

from rs_cae.stream import LanguageModelSpec

LAYERS, WIDTH, HEADS, KEY_VALUE_HEADS, VOCABULARY, CONTEXT = 3, 32, 4, 2, 2048, 256


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
