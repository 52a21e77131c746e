"""A random tiny model of every known family, built from its configuration class: nothing is downloaded."""

import torch
import transformers

from rs_cae.stream import Tokenization

SHAPE = {
    "vocab_size": 2048,
    "hidden_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "initializer_range": 0.2,
}
GROUPED = {"intermediate_size": 48, "num_key_value_heads": 2, "max_position_embeddings": 256, "pad_token_id": 0}
SLIDING = {"sliding_window": 8}  # shorter than the texts, so that the window matters

FAMILIES = {
    "bloom": ("Bloom", {}),
    "falcon": ("Falcon", {"num_kv_heads": 4, "multi_query": False}),
    "falcon-sequential": ("Falcon", {"parallel_attn": False, "multi_query": False}),
    "falcon-alibi": ("Falcon", {"parallel_attn": False, "multi_query": False, "alibi": True}),
    "falcon-new": ("Falcon", {"new_decoder_architecture": True, "num_kv_heads": 2}),
    "gemma2": ("Gemma2", {**GROUPED, **SLIDING, "head_dim": 8, "query_pre_attn_scalar": 8}),
    "gemma3_text": ("Gemma3", {**GROUPED, **SLIDING, "head_dim": 8, "query_pre_attn_scalar": 8}),
    "gpt2": ("GPT2", {"n_positions": 256}),
    "gpt_neox": ("GPTNeoX", {"intermediate_size": 48, "max_position_embeddings": 256}),
    "gpt_neox-sequential": (
        "GPTNeoX",
        {"intermediate_size": 48, "max_position_embeddings": 256, "use_parallel_residual": False},
    ),
    "granite": ("Granite", {**GROUPED, "residual_multiplier": 0.5, "embedding_multiplier": 3.0}),
    "llama": ("Llama", GROUPED),
    "mistral": ("Mistral", {**GROUPED, **SLIDING}),
    "mixtral": ("Mixtral", {**GROUPED, "num_local_experts": 4}),
    "olmo2": ("Olmo2", GROUPED),
    "olmo3": ("Olmo3", {**GROUPED, **SLIDING}),
    "opt": ("OPT", {"ffn_dim": 48, "max_position_embeddings": 256, "word_embed_proj_dim": 32, "pad_token_id": 1}),
    "phi3": ("Phi3", GROUPED),
    "qwen2": ("Qwen2", GROUPED),
    "qwen3": ("Qwen3", {**GROUPED, "head_dim": 8}),
    "smollm3": ("SmolLM3", GROUPED),
    "stablelm": ("StableLm", {**GROUPED, "partial_rotary_factor": 0.5}),
    "stablelm-parallel": ("StableLm", {**GROUPED, "partial_rotary_factor": 0.5, "use_parallel_residual": True}),
}
"""Class prefix and settings of a tiny model, by family and variant."""

PARALLEL = {"falcon", "falcon-new", "gpt_neox", "stablelm-parallel"}
"""Those whose attention and MLP read the same state."""


def tiny_config(name, **overrides):
    prefix, settings = FAMILIES[name]
    suffix = "TextConfig" if prefix == "Gemma3" else "Config"
    sizes = {**SHAPE, **settings, **overrides}
    if prefix in ("GPT2", "Bloom"):
        short = {"GPT2": "n_embd", "Bloom": "hidden_size"}[prefix]
        sizes = {
            {"hidden_size": short, "num_hidden_layers": "n_layer", "num_attention_heads": "n_head"}.get(key, key): value
            for key, value in sizes.items()
        }
    return getattr(transformers, prefix + suffix)(**sizes)


def tiny_model(name, **overrides):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = transformers.AutoModelForCausalLM.from_config(tiny_config(name, **overrides), dtype=torch.float32)
    with torch.no_grad():  # norms and biases start at one and at zero, where a mistake could hide
        generator = torch.Generator().manual_seed(1)
        for parameter in model.parameters():
            parameter += 0.05 * torch.randn(parameter.shape, generator=generator)
    return model.eval().requires_grad_(False)


TEXTS = [
    "The garden lies behind the house.",
    "No",
    "A function returns the number of items in the container, or zero where there are none at all.",
    "Every object has an identity, a type and a value.",
]
"""Texts of 14, 3, 24 and 15 tokens: right-padded when they run together, and all but one longer than a window of 8."""


def together(tokenizer, texts=TEXTS, context=256, **options):
    """All texts in one batch, its samples in their order."""
    tokenized = Tokenization(tokenizer, context, **options)(texts)
    (batch,) = tokenized.request(range(len(tokenized)), tokens_per_batch=10**6).batches
    return batch


def inputs(batch):
    return {"input_ids": batch.input_ids, "attention_mask": batch.attention_mask, "use_cache": False}
