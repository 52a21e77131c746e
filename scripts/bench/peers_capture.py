"""Capture against other libraries that read the residual stream, on one model, in one process, in turn.

    pip install -c constraints.txt -e '.[bench]'
    python scripts/bench/peers_capture.py [--quick]

A random Llama of 16 layers and width 512 runs 32 x 128 tokens, and each way reads the stream before every attention and
every MLP at the last token (``output_hidden_states`` has the states before attention only). Each library is used the
fastest way its documentation gives: only the hooks needed, only the last position, and a stop as early as it offers
one. Ours and nnsight stop before the last MLP, about 4 % of the arithmetic; TransformerBridge and the bare pass run all
layers, HookedTransformer all layers but no head. Both classes of TransformerLens compute attention step by step, so
that its scores can be hooked, where transformers calls torch's fused kernel.

Each way's states are compared with ours. HookedTransformer was removed in transformer-lens 4, so only versions below 4
have both classes. A library that is missing is left out, and a note says so. Last line: JSON with each way's time over
the bare pass, the median of the ratios within a round.
"""

import argparse
import copy
import json
import os
import warnings
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from statistics import median

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"

import torch
from capture import build_model, paired_times, random_batch
from torch import Tensor
from transformers import LlamaForCausalLM

from rs_cae.stream import capture

LAYERS, WIDTH, TEXTS, TOKENS = 16, 512, 32, 128
TOLERANCE = 1e-4
HOOKS = [f"blocks.{layer}.hook_resid_{place}" for layer in range(LAYERS) for place in ("pre", "mid")]

Way = Callable[[], Tensor]


def hidden_states_way(model: LlamaForCausalLM, ids: Tensor) -> Way:
    """Every layer's input, all tokens of it, from transformers itself."""

    def way() -> Tensor:
        hidden = model.model(ids, use_cache=False, output_hidden_states=True).hidden_states
        return torch.stack([states[:, -1] for states in hidden[:LAYERS]], dim=1)

    return way


def transformer_bridge_way(model: LlamaForCausalLM, ids: Tensor) -> Way:
    """TransformerLens around a copy of the model, for the bridge replaces the modules it wraps."""
    from transformer_lens.model_bridge.sources import build_bridge_from_module

    wrapped = copy.deepcopy(model)
    bridge = build_bridge_from_module(wrapped, "LlamaForCausalLM", hf_config=wrapped.config)
    # A list of names would keep each state twice, under its name and under its alias.
    settings = {"names_filter": set(HOOKS).__contains__, "pos_slice": [-1], "return_cache_object": False}
    lean = {"return_type": None, "use_cache": False, "logits_to_keep": 1, "output_attentions": False}

    def way() -> Tensor:
        cache = bridge.run_with_cache(ids, **settings, **lean)[1]
        return torch.cat([cache[name] for name in HOOKS], dim=1)

    return way


def hooked_transformer_way(model: LlamaForCausalLM, ids: Tensor) -> Way:
    """TransformerLens's own transformer with the model's weights, neither folded nor centred."""
    from transformer_lens import HookedTransformer, HookedTransformerConfig
    from transformer_lens.pretrained.weight_conversions import convert_llama_weights

    config = HookedTransformerConfig(
        n_layers=LAYERS,
        d_model=WIDTH,
        d_head=model.config.head_dim,
        n_heads=model.config.num_attention_heads,
        d_mlp=model.config.intermediate_size,
        d_vocab=model.config.vocab_size,
        n_ctx=model.config.max_position_embeddings,
        eps=model.config.rms_norm_eps,
        act_fn=model.config.hidden_act,
        gated_mlp=True,
        normalization_type="RMS",
        final_rms=True,
        positional_embedding_type="rotary",
        rotary_dim=model.config.head_dim,
        rotary_base=int(model.config.rope_parameters["rope_theta"]),
        rotary_adjacent_pairs=False,
        original_architecture="LlamaForCausalLM",
        init_weights=False,
        device="cpu",
    )
    hooked = HookedTransformer(config).eval()
    unprocessed = dict.fromkeys(("fold_ln", "center_writing_weights", "center_unembed", "fold_value_biases"), False)
    hooked.load_and_process_state_dict(convert_llama_weights(model, config), **unprocessed)
    settings = {"names_filter": set(HOOKS).__contains__, "pos_slice": [-1], "return_cache_object": False}

    def way() -> Tensor:
        cache = hooked.run_with_cache(ids, stop_at_layer=LAYERS, **settings)[1]
        return torch.cat([cache[name] for name in HOOKS], dim=1)

    return way


def nnsight_way(model: LlamaForCausalLM, ids: Tensor) -> Way:
    """A trace of a copy of the model's body that stops once the last state is read."""
    import nnsight

    body = nnsight.NNsight(copy.deepcopy(model.model))

    def way() -> Tensor:
        with body.trace(ids, use_cache=False) as tracer:
            states = nnsight.save([])
            for layer in body.layers:
                states.append(layer.input[:, -1].clone())
                states.append(layer.post_attention_layernorm.input[:, -1].clone())
            tracer.stop()
        return torch.stack(states, dim=1)

    return way


PEERS = {
    "hidden_states": hidden_states_way,
    "transformer_bridge": transformer_bridge_way,
    "hooked_transformer": hooked_transformer_way,
    "nnsight": nnsight_way,
}


def error_against(ours: Tensor, states: Tensor) -> float:
    """The largest relative L2 error of a state; fewer states than ours are those before attention."""
    reference = ours if states.shape == ours.shape else ours[:, ::2]
    return float(((states - reference).norm(dim=-1) / reference.norm(dim=-1)).max())


def peer_versions() -> str:
    """The installed peers and their versions, with those of torch and transformers."""
    found = []
    for package in ("torch", "transformers", "transformer-lens", "nnsight"):
        try:
            found.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            continue
    return ", ".join(found)


def build_ways(model: LlamaForCausalLM) -> tuple[dict[str, Callable[[], object]], list[str]]:
    """The bare pass, ours, and each peer that can be imported; then the names of the others."""
    batch = random_batch(TEXTS, TOKENS)
    ways: dict[str, Callable[[], object]] = {
        "bare": lambda: model.model(batch.input_ids, use_cache=False),
        "ours": lambda: capture(model, batch),
    }
    skipped = []
    for name, build in PEERS.items():
        try:
            ways[name] = build(model, batch.input_ids)
        except ImportError as error:
            print(f"{name} is skipped: {error}")
            skipped.append(name)
    return ways, skipped


@torch.inference_mode()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer rounds, under a minute")
    quick = parser.parse_args().quick
    warnings.filterwarnings("ignore", category=DeprecationWarning)
    ways, skipped = build_ways(build_model(LAYERS, WIDTH))
    states: dict[str, object] = {}
    timed = {name: lambda name=name, way=way: states.update({name: way()}) for name, way in ways.items()}
    times = paired_times(timed, repeats=2 if quick else 9)
    print(peer_versions())
    print(f"{'':20}{'states':>7}{'median ms':>11}{'over bare':>11}{'least':>8}{'most':>8}{'error':>10}")
    figures, wrong = {}, []
    for name, seconds in times.items():
        ratios = [one / bare for one, bare in zip(seconds, times["bare"], strict=True)]
        line = f"{median(seconds) * 1e3:11.1f}{median(ratios):11.3f}{min(ratios):8.3f}{max(ratios):8.3f}"
        if name == "bare":
            print(f"{name:20}{0:7}{line}")
            continue
        error = error_against(states["ours"], states[name])
        print(f"{name:20}{states[name].shape[1]:7}{line}{error:10.1e}")
        figures[f"{name}_over_bare"] = round(median(ratios), 4)
        wrong += [name] if not error <= TOLERANCE else []
    if wrong:
        raise SystemExit(f"states differ from ours by more than {TOLERANCE}: {', '.join(wrong)}")
    extra = "`pip install -c constraints.txt -e '.[bench]'` installs what they need"
    notes = {"notes": [f"left out: {', '.join(skipped)}; {extra}"]} if skipped else {}
    print(json.dumps(figures | notes))


if __name__ == "__main__":
    main()
