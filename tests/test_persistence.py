"""In how many resampled fields a zero is still there: by hand, and for tilts of known spread."""

import math

import torch

from rs_cae.dynamics import KINDS, FixedPoints, fixed_points, grid_spacing, persistence


def at(kinds, places, batch):
    count = len(kinds)
    kind = torch.tensor([KINDS.index(kind) for kind in kinds])
    return FixedPoints(torch.tensor(batch), torch.tensor(places).double(), torch.zeros(count, 2, 2).double(), kind)


def test_persistence_by_hand():
    found = at(["stable node", "saddle", "unstable focus"], [[0.0, 0.0], [1.0, 0.0], [5.0, 5.0]], [0, 0, 0])
    draws = at(
        ["stable focus", "stable focus", "saddle", "stable node", "saddle", "stable node"],
        [[0.1, 0.0], [0.0, 0.1], [0.9, 0.0], [0.0, 1.0], [0.0, 0.0], [0.45, 0.95]],
        [0, 0, 1, 2, 3, 3],
    )
    share = persistence(found, draws, 4, torch.tensor([0.5, 1.0]))
    assert share.tolist() == [0.5, 0.25, 0.0]
    assert persistence(found, draws, 8, torch.tensor([0.5, 1.0])).tolist() == [0.25, 0.125, 0.0]
    nothing = at(["saddle"], [[0.0, 0.0]], [0])
    empty = FixedPoints(*(values[:0] for values in nothing))
    assert persistence(found, empty, 4, torch.ones(2)).tolist() == [0, 0, 0]
    assert persistence(empty, draws, 4, torch.ones(2)).shape == (0,)
    assert persistence(found, empty, 0, torch.ones(2)).isnan().all()


def test_persistence_of_resampled_fields():
    axis = torch.linspace(-1.5, 1.5, 10, dtype=torch.float64)
    places = torch.cartesian_prod(axis, axis).reshape(10, 10, 2)
    field = torch.stack([places[..., 0] - places[..., 0] ** 3, -places[..., 1]], dim=-1)
    found, radius = fixed_points(places, field), grid_spacing(places)
    same = fixed_points(places, field.expand(20, -1, -1, -1))
    assert persistence(found, same, 20, radius).tolist() == [1, 1, 1]
    shifted = fixed_points(places, (field + torch.tensor([0.0, 0.9])).expand(20, -1, -1, -1))
    assert len(shifted.kind) == 60
    assert persistence(found, shifted, 20, radius).tolist() == [0, 0, 0]
    tilts = torch.randn(2000, 1, 1, 1, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    tilted = fixed_points(places, field + tilts * torch.tensor([0.0, 1.0]))
    inside = math.erf(radius[1].item() / math.sqrt(2))  # a tilt moves all three along the second latent by as much
    torch.testing.assert_close(
        persistence(found, tilted, 2000, radius), torch.full((3,), inside).double(), rtol=0, atol=0.03
    )
    assert 0.2 < inside < 0.4
