"""Zeros of bilinear cells: against scipy, and against the turns of the field along the grid's boundary."""

import numpy as np
import pytest
import torch
from scipy.optimize import root

from rs_cae.dynamics import KINDS, fixed_points
from rs_cae.dynamics.bilinear import zeros


def random_fields(count, rows=2, columns=2, seed=0):
    return torch.randn(count, rows, columns, 2, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def index_places(rows, columns):
    axes = [torch.arange(count, dtype=torch.float64) for count in (rows, columns)]
    return torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1)


def interpolated(place, corners):
    """Value of a cell [2, 2, 2] at (u, v), as a weighted mean of its corners."""
    weights = np.outer([1 - place[0], place[0]], [1 - place[1], place[1]])
    return np.einsum("uv,uvx->x", weights, corners)


def zeros_by_scipy(corners):
    """From nine starts."""
    found = set()
    for start in np.stack(np.meshgrid([0, 0.5, 1], [0, 0.5, 1]), axis=-1).reshape(-1, 2):
        solved = root(interpolated, start, args=(corners,), tol=1e-13)
        if np.abs(solved.fun).max() < 1e-10 and (solved.x >= 0).all() and (solved.x <= 1).all():
            found.add(tuple(np.round(solved.x, 7)))
    return found


def boundary_index(field):
    """Turns of a field along the boundary; along an edge of a cell it is linear and turns by less than half."""
    ring = torch.cat([field[:-1, 0], field[-1, :-1], field[1:, -1].flip(0), field[0, 1:].flip(0)]).numpy()
    angle = np.arctan2(ring[:, 1], ring[:, 0])
    steps = np.diff(angle, append=angle[:1])
    return round(float(np.sum((steps + np.pi) % (2 * np.pi) - np.pi)) / (2 * np.pi))


def test_cells_are_scipy_s():
    cells = random_fields(100, seed=1)
    found = zeros(cells)
    assert (torch.bincount(torch.bincount(found.cell[:, 0], minlength=100)) >= 3).all()  # of none, one, two
    place = torch.stack([found.u, found.v], dim=-1)
    for number, corners in enumerate(cells.numpy()):
        ours = {tuple(np.round(each, 7)) for each in place[found.cell[:, 0] == number].numpy()}
        assert ours == zeros_by_scipy(corners), number


def test_the_interpolants_are_0_there():
    fields = random_fields(200, 4, 5)
    found = zeros(fields)
    cells = found.within(fields)
    assert len(found.u) > 500
    assert cells.at(found.u, found.v).abs().max() < 1e-9
    ahead = cells.at(found.u + 1e-3, found.v), cells.at(found.u, found.v + 1e-3)
    torch.testing.assert_close(torch.stack(ahead, dim=-1), 1e-3 * cells.slopes(found.u, found.v), rtol=0, atol=1e-9)


def test_they_add_up_to_the_turns_along_the_boundary():
    fields = random_fields(300, 5, 6)
    found = fixed_points(index_places(5, 6), fields)
    sign = torch.where(found.kind == KINDS.index("saddle"), -1, 1)
    total = torch.zeros(300, dtype=torch.int64).index_add_(0, found.batch, sign)
    assert total.tolist() == [boundary_index(field) for field in fields]
    assert len(found.kind) > 1000


@pytest.mark.parametrize("swap", [False, True])
@pytest.mark.parametrize(("low", "high"), [(0.3, 0.7), (0.0, 0.5), (0.5, 1.0), (0.0, 1.0)])
def test_two_zeros_in_one_cell(low, high, swap):
    places = index_places(2, 2)
    u, v = places.unbind(dim=-1)
    field = torch.stack([u * v - u * (low + high) / 2 - v * (low + high) / 2 + low * high, u - v], dim=-1)
    found = fixed_points(places, field.flip(-1) if swap else field)
    order = found.place[:, 0].argsort()
    expected = torch.tensor([[low, low], [high, high]], dtype=torch.float64)
    torch.testing.assert_close(found.place[order], expected)
    assert [found.names[i] == "saddle" for i in order] == ([True, False] if swap else [False, True])


def test_two_zeros_side_by_side_along_one_axis():
    u, v = index_places(2, 2).unbind(dim=-1)
    for tilt in (0.0, 1e-12, 1e-5):
        field = torch.stack([u - 0.5 + 0.1 * (v - 0.5), tilt * v + (u - 0.5) * (v - 0.5) + 0.009], dim=-1)
        found = zeros(torch.stack([field, field.transpose(0, 1)]))
        assert found.cell[:, 0].tolist() == [0, 0, 1, 1]
        torch.testing.assert_close(found.v[:2].sort().values, torch.tensor([0.2, 0.8]).double(), rtol=0, atol=1e-3)
        torch.testing.assert_close(found.u[2:].sort().values, found.v[:2].sort().values)
        assert found.within(torch.stack([field, field.transpose(0, 1)])).at(found.u, found.v).abs().max() < 1e-12


def test_a_zero_of_which_two_cells_disagree_is_found_once():
    u, v = index_places(3, 3).unbind(dim=-1)
    for column in (0.25, 1.0, 2.0):
        field = torch.stack([(u - 1).abs(), v - column], dim=-1)
        assert fixed_points(index_places(3, 3), field).names == ["unstable node"]
        assert fixed_points(index_places(3, 3), -field).names == ["stable node"]


def test_what_rounding_puts_beside_the_boundary_is_on_it():
    u, v = index_places(3, 3).unbind(dim=-1)
    for centre, expected in ((-3e-8, 0.0), (2 + 3e-8, 1.0)):
        found = zeros(torch.stack([u - centre, v - centre], dim=-1)[None])
        assert found.u.tolist() == found.v.tolist() == [expected]
    assert len(zeros(torch.stack([u + 3e-7, v - 1], dim=-1)[None]).u) == 0
