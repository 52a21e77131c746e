"""What becomes of displacements at one sublayer: where they lead, and how much of them is left sublayers later."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import pad

from rs_cae.dynamics.recovery import direction_distances, distances, kl_divergence, pooled_recovery, recovery
from rs_cae.reducers.base import Reducer
from rs_cae.teleportation.targets import DIRECTIONS, SIZES, Offplane, Plane, Targets, make_targets
from rs_cae.teleportation.teleporter import Teleporter

MEASURES = ("recovery", "recovery_direction", "recovery_plane")
"""By what the distance from the control is measured: in full width, of states divided by their norms, of latents."""


@dataclass(frozen=True)
class FieldSpec:
    """What is tried at every injection.

    Attributes:
        points: [points, axes] of the reduced plane.
        steps: Sublayers that are read after an injection, if there are as many.
        offplane: See ``Plane``.
        logits: Whether the rest of the model is run too, for the distribution of the next token.
    """

    points: Tensor
    steps: int = 12
    offplane: Offplane = "mean"
    logits: bool = False


@dataclass(frozen=True)
class Injection:
    """A sublayer at which streams are displaced.

    Attributes:
        sublayer: Its number.
        here: The reducer for it alone.
        along: The reducer for it and those that are read after it.
        principal: [directions, width], in which states vary most there.
    """

    sublayer: int
    here: Reducer
    along: Reducer
    principal: Tensor

    @classmethod
    def of(cls, reducer: Reducer, sublayer: int, most_steps: int, principal: Tensor) -> "Injection":
        """With as many steps, or as there are."""
        after = range(sublayer, min(sublayer + most_steps + 1, reducer.sublayers))
        return cls(sublayer, reducer.at([sublayer]), reducer.at(after), principal)

    @property
    def steps(self) -> int:
        """Sublayers that are read after it."""
        return self.along.sublayers - 1


@torch.inference_mode()
def field_at(
    teleporter: Teleporter,
    injection: Injection,
    spec: FieldSpec,
    generator: torch.Generator,
    twin: Teleporter | None = None,
) -> dict[str, Tensor]:
    """What one prompt's stream makes of displacements at one sublayer.

    Args:
        teleporter: Of the prompt.
        injection: Where its stream is displaced.
        spec: What is tried.
        generator: Of what is drawn, on the CPU.
        twin: The same prompt in another model of the same shape, as a control.

    Returns:
        By name, in float64: ``latents`` [points, steps + 1, latents], NaN past the last sublayer; ``displacement`` and
        ``displacement_uncorrected`` [points, latents]; each of ``MEASURES`` and ``kl``, alone, with ``_random`` and
        with ``_uncorrected``, [points], and over all points with ``_mean`` at its end; ``recovery_by_step`` and
        ``recovery_random_by_step`` [steps + 1]; ``contraction_mean`` and ``contraction_uncorrected_mean``;
        ``dose_recovery`` and ``dose_kl`` [2, sizes]; ``recovery_untrained_mean`` of the twin. ``uncorrected`` is what
        would be, were a displacement carried along as it is.
    """
    displaced = _displace(teleporter, injection, spec, generator)
    latents, courses = _followed(displaced, injection.along)
    start, defined = latents[""][:, 0], 1.0 if injection.steps else torch.nan
    found = {
        "latents": pad(latents[""], (0, 0, 0, spec.steps - injection.steps), value=torch.nan),
        **{f"displacement{name}": (seen[:, -1] - start) * defined for name, seen in latents.items()},
        **_recoveries(courses, spec.steps),
        **{f"contraction{name}_mean": _contraction(seen) * defined for name, seen in latents.items()},
        "dose_recovery": _pooled(_by_dose(distances(displaced.streams["doses"], displaced.control), teleporter)),
    }
    if displaced.logits:
        found |= _divergences(teleporter, displaced)
    if twin is not None:
        found["recovery_untrained_mean"] = _recovery_of_twin(twin, injection, displaced)
    return found


class _Displaced(NamedTuple):
    """One prompt's streams, displaced at one sublayer.

    Attributes:
        control: [steps + 1, width], the stream left alone.
        streams: [points, steps + 1, width] of each of ``Targets``.
        logits: [points, vocabulary] of each of them; empty unless they were asked for.
    """

    control: Tensor
    streams: dict[str, Tensor]
    logits: dict[str, Tensor]


def _displace(teleporter: Teleporter, injection: Injection, spec: FieldSpec, generator: torch.Generator) -> _Displaced:
    sublayer, steps = injection.sublayer, injection.steps
    control = teleporter.control[sublayer : sublayer + steps + 1].to(injection.along.standardizer.scale)
    plane = Plane(injection.here, control[0], spec.offplane)
    targets = make_targets(plane, control[0], spec.points.to(control), injection.principal, generator)
    run, counts = teleporter.teleport(sublayer, torch.cat(targets), steps, spec.logits), [len(part) for part in targets]
    ends = {} if run.logits is None else dict(zip(Targets._fields, run.logits.split(counts), strict=True))
    return _Displaced(control, dict(zip(Targets._fields, run.states.to(control).split(counts), strict=True)), ends)


def _followed(displaced: _Displaced, along: Reducer) -> tuple[dict[str, Tensor], dict[str, Sequence[Tensor]]]:
    """Latents [points, steps + 1, latents] of what was put on the plane, and ``_courses``, both by suffix."""
    control, moved = displaced.control, displaced.streams["plane"]
    uncorrected = control + (moved[:, :1] - control[0])
    latents = {"": _latents(along, moved), "_uncorrected": _latents(along, uncorrected)}
    turned, own = _latents(along, displaced.streams["rotated"]), _latents(along, control)
    return latents, {
        "": _courses(moved, control, latents[""], own),
        "_random": _courses(displaced.streams["random"], control, turned, own),
        "_uncorrected": _courses(uncorrected, control, latents["_uncorrected"], own),
    }


def _latents(reducer: Reducer, states: Tensor) -> Tensor:
    """Latents in float64; NaN where those of different sublayers cannot be compared."""
    latents = reducer.encode(states).double()
    return latents if reducer.shares_latent_space else torch.full_like(latents, torch.nan)


def _courses(states: Tensor, control: Tensor, latents: Tensor, own: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """For each of ``MEASURES``, the distances [points, steps + 1] of displaced streams from the control.

    Args:
        states: [points, steps + 1, width].
        control: [steps + 1, width].
        latents: [points, steps + 1, latents].
        own: [steps + 1, latents], the control's.
    """
    return distances(states, control), direction_distances(states, control), distances(latents, own)


def _contraction(latents: Tensor) -> Tensor:
    """By how much points [points, steps + 1, latents] draw together: 1 less the last spread over the first.

    The spread is the root mean square distance from the mean point, so a shift of all of them does not count. Ours.
    """
    spread = (latents - latents.mean(dim=0)).square().sum(dim=(0, 2)).sqrt()
    return 1 - spread[-1] / spread[0]


def _pooled(courses: Tensor) -> Tensor:
    """Recovery of all points [..., points, steps + 1] together at the last step; NaN if there is none."""
    recovered = pooled_recovery(courses)
    return recovered[..., -1] if recovered.shape[-1] > 1 else recovered[..., 0] * torch.nan


def _recoveries(courses: Mapping[str, Sequence[Tensor]], most_steps: int) -> dict[str, Tensor]:
    """Recovery by each measure, of each point and of all of them together, and the latter after each sublayer.

    Args:
        courses: By suffix, for each of ``MEASURES`` the distances [points, steps + 1] from the control.
        most_steps: Steps where there are enough sublayers.
    """
    found: dict[str, Tensor] = {}
    for suffix, measured in courses.items():
        for measure, course in zip(MEASURES, measured, strict=True):
            found[f"{measure}{suffix}"], found[f"{measure}{suffix}_mean"] = recovery(course), _pooled(course)
    for suffix in ("", "_random"):
        by_step = pooled_recovery(courses[suffix][0])
        found[f"recovery{suffix}_by_step"] = pad(by_step, (0, most_steps + 1 - len(by_step)), value=torch.nan)
    return found


def _by_dose(values: Tensor, teleporter: Teleporter) -> Tensor:
    """Values [points, ...] of the doses as [2, sizes, directions, ...].

    NaN where a displacement is less than ten units of the model's rounding: in bfloat16, small ones are mostly that.
    """
    doses = values.unflatten(0, (2, len(SIZES), DIRECTIONS)).clone()
    doses[:, torch.tensor(SIZES) < 10 * torch.finfo(teleporter.control.dtype).eps] = torch.nan
    return doses


def _divergences(teleporter: Teleporter, displaced: _Displaced) -> dict[str, Tensor]:
    """KL divergence of the control's distribution of the next token from that after each displacement."""
    kl = {name: _kl(logits, teleporter).to(displaced.control.device) for name, logits in displaced.logits.items()}
    start = {name: states[:, 0] - displaced.control[0] for name, states in displaced.streams.items()}
    carried = teleporter.read_out(teleporter.output.to(displaced.control) + start["plane"])
    found = {
        "kl": kl["plane"],
        "kl_random": kl["random"],
        "kl_uncorrected": _kl(carried, teleporter).to(displaced.control.device),
    }
    doses = torch.where(start["doses"].norm(dim=1) > 0, kl["doses"], torch.nan)
    means = {f"{name}_mean": values.mean() for name, values in found.items()}
    return found | means | {"dose_kl": _by_dose(doses, teleporter).nanmean(dim=-1)}


def _kl(logits: Tensor, teleporter: Teleporter) -> Tensor:
    """Of logits [points, vocabulary], some points at a time: float64 is four times as large as bfloat16."""
    return torch.cat([kl_divergence(part, teleporter.logits) for part in logits.split(64)])


def _recovery_of_twin(twin: Teleporter, injection: Injection, displaced: _Displaced) -> Tensor:
    """Pooled recovery, in another model, of displacements that are as large beside its own states.

    Args:
        twin: The prompt in the other model.
        injection: Where.
        displaced: The streams of the first model.
    """
    sublayer, steps, state = injection.sublayer, injection.steps, displaced.control[0]
    own = twin.control[sublayer].to(state)
    apart = (displaced.streams["plane"][:, 0] - state) * (own.norm() / state.norm())
    states = twin.teleport(sublayer, own + apart, steps).states
    return _pooled(distances(states, twin.control[sublayer : sublayer + steps + 1]))
