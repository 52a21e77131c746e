"""A study of one or many prompts: the same displacements at the same sublayers of each."""

from collections.abc import Sequence

import torch
from torch import Tensor

from rs_cae.errors import InputError
from rs_cae.metrics.samples import PerSample
from rs_cae.reducers.base import Reducer
from rs_cae.sublayers import SublayerLayout
from rs_cae.teleportation.field import FieldSpec, Injection, field_at
from rs_cae.teleportation.teleporter import Teleporter

LAYERS = (0, 7, 15, 23, 31)
"""Of 32, before which the paper displaces the stream."""

PROMPT = "I'm sorry, Dave. I'm afraid I can't do that."
"""The paper's, at second hand."""


def injection_sublayers(
    layout: SublayerLayout, layers: Sequence[int] | None, site: str | None, section: str = ""
) -> list[int]:
    """The sublayers at which the stream is displaced.

    Args:
        layout: Of the model.
        layers: Before or within which; by default the paper's, scaled to the model's depth.
        site: Of each layer; by default the first.
        section: Of the options, with a dot at its end, for messages.

    Raises:
        InputError: If the model has no such layer or site.

    Example:
        >>> injection_sublayers(SublayerLayout(12), None, None)
        [0, 4, 10, 16, 22]
    """
    site = layout.sites[0] if site is None else site
    if site not in layout.sites:
        raise InputError(f"--{section}site", site, f"expected one of {', '.join(layout.sites)}, the model's")
    if layers is None:
        layers = [round(layer * (layout.layers - 1) / LAYERS[-1]) for layer in LAYERS]
    if not layers:
        raise InputError(f"--{section}layers", "[]", "expected one layer or more")
    for layer in layers:
        if not 0 <= layer < layout.layers:
            raise InputError(f"--{section}layers", layer, f"the model has layers 0 to {layout.layers - 1}")
    return [layer * len(layout.sites) + layout.sites.index(site) for layer in sorted(set(layers))]


class Study:
    """Collects what prompts' streams make of displacements; processes may share the prompts.

    Args:
        reducer: Of the model's states.
        sublayers: At which streams are displaced.
        spec: What is tried at each.
        principal: [injections, directions, width], of the states at these sublayers.
        seed: Of what is drawn; each prompt has draws of its own, whoever runs it.
    """

    def __init__(
        self, reducer: Reducer, sublayers: Sequence[int], spec: FieldSpec, principal: Tensor, seed: int = 0
    ) -> None:
        self.reducer = reducer
        self.spec = spec
        self.injections = [
            Injection.of(reducer, sublayer, spec.steps, there)
            for sublayer, there in zip(sublayers, principal, strict=True)
        ]
        self.seed = seed
        self.found: dict[str, PerSample] = {}

    def add(self, teleporter: Teleporter, number: int, twin: Teleporter | None = None) -> None:
        """Take in a prompt.

        Args:
            teleporter: Of the prompt.
            number: Of the prompt.
            twin: The same prompt in another model of the same shape, as a control.
        """
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + number)
        by_injection = [field_at(teleporter, injection, self.spec, generator, twin) for injection in self.injections]
        rows = {name: torch.stack([found[name] for found in by_injection]) for name in by_injection[0]}
        rows["control"] = self.reducer.encode(teleporter.control.to(self.reducer.standardizer.scale)).double()
        for name, values in rows.items():
            held = self.found.setdefault(name, PerSample().to(values.device))
            held.update(values[None], torch.tensor([number]))

    def results(self) -> dict[str, Tensor]:
        """What was found of all prompts [prompts, injections, ...], by name; see ``field_at``.

        Also ``control`` [prompts, sublayers, latents], of the streams left alone.
        """
        return {name: held.rows().cpu() for name, held in self.found.items()}
