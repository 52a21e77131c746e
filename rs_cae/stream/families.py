"""How each family of decoders names the modules around its residual stream: a table, and the same by hand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

PARALLEL_SITE = "layer"
"""The one site of a layer whose attention and MLP read the same state: there is none between them."""


@dataclass(frozen=True)
class Site:
    """A place of a layer at which the residual stream is read.

    Attributes:
        reads: The module whose first input is the stream there; empty for the layer itself.
        adds: The modules whose outputs, summed, are what is then added to the stream; empty where nobody named them.
    """

    reads: str
    adds: tuple[str, ...] = ()


@dataclass(frozen=True)
class Family:
    """Where a family keeps its residual stream.

    Attributes:
        layers: Path of the list of layers, from the model without its head.
        sites: The sites of one layer, in the order in which the stream passes them.
        parallel_if: Settings of a model any of which, if true, makes its attention and MLP read the same state.
        refused_if: Settings and the value at which the model has no residual stream to read, with the reason.
        multiplier: The setting by which everything is multiplied before it is added, if there is one.
    """

    layers: str
    sites: Mapping[str, Site]
    parallel_if: tuple[str, ...] = ()
    refused_if: tuple[tuple[str, Any, str], ...] = ()
    multiplier: str = ""

    def of(self, config: Any) -> Family:
        """The family as this configuration has it.

        Raises:
            ValueError: If its stream is normalized on its way, so that no sublayer adds to it.
        """
        for name, value, reason in self.refused_if:
            if getattr(config, name, None) == value:
                raise ValueError(f"with {name} {str(value).lower()} {reason}")
        if not any(getattr(config, name, False) for name in self.parallel_if):
            return self
        adds = tuple(module for site in self.sites.values() for module in site.adds)
        return Family(self.layers, {PARALLEL_SITE: Site("", adds)}, multiplier=self.multiplier)

    @classmethod
    def by_hand(cls, names: Mapping[str, str]) -> Family:
        """A family from names that a user gives.

        Args:
            names: ``layers``, the path of the list of layers; ``attn`` and ``mlp``, the modules of a layer whose input
                is the stream (or ``layer`` alone, for parallel attention and MLP; a dot is the layer itself); and, if
                its sums are to be verified, ``attn_adds`` and ``mlp_adds`` (or ``layer_adds``), the modules whose
                outputs are added, joined by ``+``, and ``multiplier``, the setting by which they are multiplied first.

        Raises:
            ValueError: If a name is missing or not one of these.

        Example:
            >>> Family.by_hand({"layers": "h", "attn": "ln_1", "mlp": "ln_2"}).sites["mlp"]
            Site(reads='ln_2', adds=())
        """
        sites = (PARALLEL_SITE,) if PARALLEL_SITE in names else ("attn", "mlp")
        known = {"layers", "multiplier", *sites, *(f"{site}_adds" for site in sites)}
        missing, unknown = {"layers", *sites} - set(names), set(names) - known
        if missing or unknown:
            wrong = f"lacks {min(missing)}" if missing else f"has {min(unknown)}, which is none of them"
            raise ValueError(f"wants layers, attn and mlp (or layers and {PARALLEL_SITE}), and {wrong}")

        def site(name: str) -> Site:
            adds = names.get(f"{name}_adds", "")
            return Site(names[name].strip("."), tuple(adds.split("+")) if adds else ())

        return cls(names["layers"], {name: site(name) for name in sites}, multiplier=names.get("multiplier", ""))


def _sequential(
    layers: str, attn: tuple[str, str], mlp: tuple[str, str], parallel_if: tuple[str, ...] = (), **rest: Any
) -> Family:
    """A family whose two sites each have one module that reads and one whose output is added."""
    sites = {"attn": Site(attn[0], (attn[1],)), "mlp": Site(mlp[0], (mlp[1],))}
    return Family(layers, sites, parallel_if, **rest)


_ATTENTION = ("input_layernorm", "self_attn")
_MLP = ("post_attention_layernorm", "mlp")
_LLAMA = _sequential("layers", _ATTENTION, _MLP)
_GEMMA = _sequential(
    "layers",
    ("input_layernorm", "post_attention_layernorm"),
    ("pre_feedforward_layernorm", "post_feedforward_layernorm"),
)
_OLMO = _sequential("layers", ("", "post_attention_layernorm"), ("mlp", "post_feedforward_layernorm"))
_AFTER_THE_NORM = (
    "apply_residual_connection_post_layernorm",
    True,
    "each layer adds to its normalized input: there is no residual stream",
)

FAMILIES: dict[str, Family] = {
    "bloom": _sequential(
        "h",
        ("input_layernorm", "self_attention.dense"),
        ("post_attention_layernorm", "mlp.dense_4h_to_h"),
        refused_if=(_AFTER_THE_NORM,),
    ),
    "falcon": _sequential(
        "h", ("input_layernorm", "self_attention"), _MLP, ("parallel_attn", "new_decoder_architecture")
    ),
    "gemma2": _GEMMA,
    "gemma3_text": _GEMMA,
    "gpt2": _sequential("h", ("ln_1", "attn"), ("ln_2", "mlp")),
    "gpt_neox": _sequential("layers", ("input_layernorm", "attention"), _MLP, ("use_parallel_residual",)),
    "granite": _sequential("layers", _ATTENTION, _MLP, multiplier="residual_multiplier"),
    "llama": _LLAMA,
    "mistral": _LLAMA,
    "mixtral": _LLAMA,
    "olmo2": _OLMO,
    "olmo3": _OLMO,
    "opt": _sequential(
        "decoder.layers",
        ("self_attn_layer_norm", "self_attn"),
        ("final_layer_norm", "fc2"),
        refused_if=(("do_layer_norm_before", False, "every sum is normalized: there is no residual stream"),),
    ),
    "phi3": _LLAMA,
    "qwen2": _LLAMA,
    "qwen3": _LLAMA,
    "smollm3": _LLAMA,
    "stablelm": _sequential("layers", _ATTENTION, _MLP, ("use_parallel_residual",)),
}
"""Known families by their ``config.model_type``."""
