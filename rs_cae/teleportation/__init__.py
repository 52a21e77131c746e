"""Teleports: the last token's residual stream set to other states, and where the model takes it from there."""

from rs_cae.teleportation.field import MEASURES, FieldSpec, Injection, field_at
from rs_cae.teleportation.intervene import Teleports
from rs_cae.teleportation.study import PROMPT, Study, injection_sublayers
from rs_cae.teleportation.targets import (
    SIZES,
    Offplane,
    Plane,
    grid_points,
    make_targets,
    principal_directions,
    widened_range,
)
from rs_cae.teleportation.teleporter import Teleported, Teleporter

__all__ = [
    "MEASURES",
    "PROMPT",
    "SIZES",
    "FieldSpec",
    "Injection",
    "Offplane",
    "Plane",
    "Study",
    "Teleported",
    "Teleporter",
    "Teleports",
    "field_at",
    "grid_points",
    "injection_sublayers",
    "make_targets",
    "principal_directions",
    "widened_range",
]
