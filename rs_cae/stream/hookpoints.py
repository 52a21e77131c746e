"""The residual stream of one model: which modules receive it, and which add to it."""

from collections.abc import Mapping
from operator import attrgetter
from typing import NamedTuple

from torch import nn
from transformers import PretrainedConfig, PreTrainedModel

from rs_cae.stream.families import FAMILIES, Family
from rs_cae.sublayers import SublayerLayout

HookNames = Mapping[str, str] | None
"""Names that a user gives for a family that is not in the table; see ``Family.by_hand``."""


class HookPoints(NamedTuple):
    """A model's residual stream, sublayer by sublayer in the order in which they run.

    Attributes:
        layout: Layer and site of each sublayer.
        readers: S modules; the first input of each is the stream, [batch, tokens, width].
        adders: For each sublayer the modules whose outputs, summed, are added to the stream; empty where not known.
        multiplier: By which that sum is multiplied first.
        layers: The layers' modules.
    """

    layout: SublayerLayout
    readers: list[nn.Module]
    adders: list[list[nn.Module]]
    multiplier: float
    layers: nn.ModuleList


def family_of(config: PretrainedConfig, names: HookNames = None) -> Family:
    """Where a model with this configuration keeps its residual stream.

    Raises:
        ValueError: If the family is not known and no names were given, which lists those that are known; if the model
            has no residual stream; or if the names cannot be used.
    """
    if names:
        return Family.by_hand(names)
    if config.model_type not in FAMILIES:
        known = ", ".join(sorted(FAMILIES))
        raise ValueError(
            f"family {config.model_type!r} is not a known decoder; known: {known}. Where its modules are named in "
            f"another way, give them: --data.hook_points '{{layers: model.layers, attn: input_layernorm, mlp: "
            f"post_attention_layernorm}}', and check with `rs_cae verify`"
        )
    return FAMILIES[config.model_type].of(config)


def layout_of(config: PretrainedConfig, names: HookNames = None) -> SublayerLayout:
    """The sublayers of a model, from its configuration alone: 2L, or L where attention and MLP run in parallel."""
    text = config.get_text_config()
    return SublayerLayout(text.num_hidden_layers, tuple(family_of(config, names).sites))


def find_hook_points(model: PreTrainedModel, names: HookNames = None) -> HookPoints:
    """The modules of a model at which its residual stream is read.

    Raises:
        ValueError: If the model's family is not known and no names were given, it has no residual stream, or a name is
            not that of a module.
    """
    family = family_of(model.config, names)
    layers = _layers(model, family.layers)
    text = model.config.get_text_config()
    layout = SublayerLayout(len(layers), tuple(family.sites))
    try:
        readers = [layer.get_submodule(site.reads) for layer in layers for site in family.sites.values()]
        adders = [
            [layer.get_submodule(name) for name in site.adds] for layer in layers for site in family.sites.values()
        ]
    except AttributeError as error:
        held = ", ".join(name for name, _ in layers[0].named_children())
        raise ValueError(f"{error}; a layer has {held}") from error
    if family.multiplier and not hasattr(text, family.multiplier):
        raise ValueError(f"the model's configuration has no {family.multiplier}")
    multiplier = float(getattr(text, family.multiplier)) if family.multiplier else 1.0
    return HookPoints(layout, readers, adders, multiplier, layers)


def _layers(model: PreTrainedModel, path: str) -> nn.ModuleList:
    """The list of layers by its path from the headless model or, as a printed model shows it, from the whole."""
    for root in (model.base_model, model):
        try:
            found = attrgetter(path)(root)
        except AttributeError:
            continue
        if isinstance(found, nn.ModuleList) and len(found):
            return found
    raise ValueError(f"the model has no list of layers {path!r}")
