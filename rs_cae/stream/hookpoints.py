"""Where each model family keeps its residual stream: the modules whose input it is."""

from operator import attrgetter
from typing import NamedTuple

from torch import nn
from transformers import PretrainedConfig, PreTrainedModel

from rs_cae.sublayers import SublayerLayout


class Family(NamedTuple):
    """The names of a family's modules.

    Attributes:
        layers: Path of the list of layers in the headless model.
        readers: Per site, the module of a layer whose first input is the residual stream at that site.
    """

    layers: str
    readers: dict[str, str]


_PRE_NORM = Family("layers", {"attn": "input_layernorm", "mlp": "post_attention_layernorm"})

FAMILIES = {"llama": _PRE_NORM, "mistral": _PRE_NORM, "qwen2": _PRE_NORM, "qwen3": _PRE_NORM}
"""Known families by their ``config.model_type``."""


class HookPoints(NamedTuple):
    """A model's residual stream: the modules that receive it, in the order in which they run.

    Attributes:
        layout: Sublayer of each module.
        readers: S modules; the first positional input of each is the stream, [batch, tokens, width].
    """

    layout: SublayerLayout
    readers: list[nn.Module]


def family_of(config: PretrainedConfig) -> Family:
    """The family's table entry.

    Raises:
        KeyError: If the family is not known; the message lists those that are.
    """
    if config.model_type not in FAMILIES:
        raise KeyError(f"family {config.model_type!r} is not a known decoder; known: {', '.join(sorted(FAMILIES))}")
    return FAMILIES[config.model_type]


def layout_of(config: PretrainedConfig) -> SublayerLayout:
    """The sublayers of a model, from its configuration alone."""
    return SublayerLayout(config.num_hidden_layers, tuple(family_of(config).readers))


def find_hook_points(model: PreTrainedModel) -> HookPoints:
    """The modules of a loaded model at which its residual stream is read.

    Raises:
        KeyError: If the model's family is not known.
    """
    family = family_of(model.config)
    layers = attrgetter(family.layers)(model.base_model)
    readers = [layer.get_submodule(name) for layer in layers for name in family.readers.values()]
    return HookPoints(layout_of(model.config), readers)
