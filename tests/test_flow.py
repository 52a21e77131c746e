"""Fields of arrows: linear systems with a known answer, curved ones, lines, folds."""

import pytest
import torch

from rs_cae.dynamics import fixed_points, grid_spacing, jacobians, mean_divergence

SYSTEMS = {
    "stable node": [[-1.0, 0.3], [0.1, -2.0]],
    "stable focus": [[-0.5, -2.0], [2.0, -0.5]],
    "saddle": [[1.0, 0.5], [0.2, -1.0]],
    "unstable node": [[1.5, 0.2], [0.4, 0.7]],
    "unstable focus": [[0.3, 1.0], [-1.0, 0.4]],
}
SHEAR = [[1.3, 0.7], [-0.4, 0.9]]


def grid(rows=7, columns=9, maps=((1.0, 0.0), (0.0, 1.0)), low=-1.0, high=1.0):
    """Places [rows, columns, 2]: an evenly spaced square, first latent slowest, sent through a matrix."""
    axes = [torch.linspace(low, high, count, dtype=torch.float64) for count in (rows, columns)]
    return torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1) @ torch.tensor(maps, dtype=torch.float64).T


def linear(matrix, centre, places):
    matrix = torch.tensor(matrix, dtype=torch.float64)
    return (places - torch.as_tensor(centre, dtype=torch.float64)) @ matrix.T


def double_well(places):
    first, second = places.unbind(dim=-1)
    return torch.stack([first - first**3, -second], dim=-1)


def random_fields(count, rows=5, columns=6, seed=0):
    return torch.randn(count, rows, columns, 2, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("name", SYSTEMS)
@pytest.mark.parametrize(
    "maps", [((1.0, 0.0), (0.0, 1.0)), SHEAR, ((0.0, 1.0), (1.0, 0.0)), ((-40.0, 0.0), (0.0, 1e-3))]
)
def test_linear_systems_are_found_and_classified(name, maps):
    places = grid(maps=maps)
    centre = torch.tensor(maps, dtype=torch.float64) @ torch.tensor([0.21, -0.37], dtype=torch.float64)
    found = fixed_points(places, linear(SYSTEMS[name], centre, places))
    assert found.names == [name]
    torch.testing.assert_close(found.place[0], centre, rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(
        found.jacobian[0], torch.tensor(SYSTEMS[name], dtype=torch.float64), rtol=1e-6, atol=1e-6
    )


@pytest.mark.parametrize("name", SYSTEMS)
@pytest.mark.parametrize("u", [0.0, 1 / 3, 0.5, 2 / 3, -1 / 3, -1.0, 1.0, 0.1])
@pytest.mark.parametrize("v", [0.25, 0.1, -1.0, 1.0])
def test_zeros_on_nodes_edges_and_the_boundary_are_found_once(name, u, v):
    for maps in (((1.0, 0.0), (0.0, 1.0)), SHEAR):
        centre = torch.tensor(maps, dtype=torch.float64) @ torch.tensor([u, v], dtype=torch.float64)
        places = grid(maps=maps)
        found = fixed_points(places, linear(SYSTEMS[name], centre, places))
        assert found.names == [name]
        torch.testing.assert_close(found.place[0], centre, rtol=1e-9, atol=1e-12)


def test_stars_are_nodes():
    places = grid(maps=SHEAR)
    for sign, name in ((-0.3, "stable node"), (0.7, "unstable node")):
        assert fixed_points(places, sign * (places - 0.1)).names == [name]


def test_a_slight_turn_makes_a_focus_and_a_slight_shear_a_node():
    places = grid(maps=SHEAR)
    for back, name in ((-0.01, "stable focus"), (0.01, "stable node")):
        assert fixed_points(places, linear([[-1.0, 0.01], [back, -1.0]], (0, 0.1), places)).names == [name]


@pytest.mark.parametrize("centre", [(1.01, 0.0), (0.0, -1.01), (2.0, 2.0)])
def test_no_zero_no_finding(centre):
    places = grid()
    assert fixed_points(places, linear(SYSTEMS["stable node"], centre, places)).names == []


def test_fields_without_isolated_zeros_have_none():
    places = grid()
    slope = places[..., :1] - 0.1
    fields = [
        torch.zeros_like(places),
        torch.full_like(places, torch.nan),
        torch.ones_like(places),
        torch.cat([slope, torch.zeros_like(slope)], dim=-1),
        torch.cat([slope, 0.3 * slope], dim=-1),
        slope * torch.cat([1 + places[..., 1:], 0.3 + places[..., 1:]], dim=-1),
    ]
    found = fixed_points(places, torch.stack(fields))
    assert found.batch.tolist() == []
    assert found.place.shape == (0, 2)
    assert found.jacobian.shape == (0, 2, 2)


def test_cells_with_a_nan_hide_no_others():
    places = grid()
    field = double_well(1.2 * places - torch.tensor([0.05, 0.1]))
    field[-1, 0, 0] = torch.nan  # of one latent
    assert fixed_points(places, field).names == ["stable node", "saddle", "stable node"]
    known = jacobians(places, field).isfinite().any(dim=-1).any(dim=-1)
    assert known.sum() == 6 * 8 - 1
    assert not known[-1, 0]
    assert mean_divergence(places, field).isfinite()


def test_a_double_well_converges_as_the_square_of_the_spacing():
    errors = []
    for count in (11, 21, 41):
        places = grid(count, count, maps=((1.53, 0.2), (0.1, 1.31)))
        found = fixed_points(places, double_well(places))
        assert sorted(found.names) == ["saddle", "stable node", "stable node"]
        place = found.place[found.place[:, 0].argsort()]
        assert [found.names[i] for i in found.place[:, 0].argsort()] == ["stable node", "saddle", "stable node"]
        errors.append((place - torch.tensor([[-1.0, 0], [0, 0], [1, 0]], dtype=torch.float64)).norm().item())
    spacing = 2 * 1.53 / 40
    assert errors[2] < 2 * spacing**2
    assert errors[2] < errors[0] / 8  # 16 at best


def test_batches_are_a_loop():
    places, fields = grid(5, 6) + 0.05 * random_fields(12, seed=5), random_fields(12)
    together = fixed_points(places.reshape(3, 4, 5, 6, 2), fields.reshape(3, 4, 5, 6, 2))
    divergence = mean_divergence(places.reshape(3, 4, 5, 6, 2), fields.reshape(3, 4, 5, 6, 2))
    assert divergence.shape == (3, 4)
    for number in range(12):
        alone, here = fixed_points(places[number], fields[number]), together.batch == number
        for one, other in zip(alone[1:], together[1:], strict=True):
            torch.testing.assert_close(one, other[here])
        torch.testing.assert_close(mean_divergence(places[number], fields[number]), divergence.flatten()[number])
    torch.testing.assert_close(
        fixed_points(grid(5, 6), fields).place, fixed_points(grid(5, 6).expand(12, -1, -1, -1), fields).place
    )


def test_units_and_the_order_of_latents_and_of_grid_axes_do_not_matter():
    places, field = grid(5, 6) + 0.05 * random_fields(1, seed=5)[0], random_fields(1)[0]
    found, scale = fixed_points(places, field), torch.tensor([1e4, 1e-7], dtype=torch.float64)
    assert len(found.kind) >= 4
    scaled = fixed_points(scale * places, scale * field)
    assert scaled.names == found.names
    torch.testing.assert_close(scaled.place, scale * found.place)
    assert fixed_points(places, 1e-12 * field).names == found.names
    expected = found.place[:, 0].argsort()
    variants = {
        "latents swapped": (fixed_points(places.flip(-1), field.flip(-1)), (1, 0)),
        "axes swapped": (fixed_points(places.transpose(0, 1), field.transpose(0, 1)), (0, 1)),
        "backwards": (fixed_points(places.flip(0), field.flip(0)), (0, 1)),
    }
    for name, (other, latents) in variants.items():
        order = other.place[:, latents[0]].argsort()
        assert [other.names[i] for i in order] == [found.names[i] for i in expected], name
        torch.testing.assert_close(other.place[order][:, latents], found.place[expected])
        torch.testing.assert_close(other.jacobian[order][:, latents][:, :, latents], found.jacobian[expected])
    torch.testing.assert_close(mean_divergence(scale * places, scale * field), mean_divergence(places, field))


@pytest.mark.parametrize("name", SYSTEMS)
def test_the_divergence_of_a_linear_field_is_its_trace(name):
    matrix = torch.tensor(SYSTEMS[name], dtype=torch.float64)
    for places in (grid(), grid(maps=SHEAR), grid(5, 6) + 0.05 * random_fields(1, seed=5)[0]):
        field = linear(SYSTEMS[name], (3.0, -4.0), places)
        torch.testing.assert_close(mean_divergence(places, field), matrix.trace())
        found = jacobians(places.float(), field.float())
        assert found.dtype == torch.float64
        torch.testing.assert_close(found, matrix.expand_as(found), rtol=0, atol=1e-4)


def test_jacobians_are_those_of_the_middle_of_a_cell():
    places = grid(4, 5)
    first, second = places.unbind(dim=-1)
    found = jacobians(places, torch.stack([first * second, first], dim=-1))
    middle = (places[:-1, :-1] + places[1:, 1:]) / 2
    torch.testing.assert_close(found[..., 0, :], middle.flip(-1))
    torch.testing.assert_close(found[..., 1, :], torch.tensor([1.0, 0.0], dtype=torch.float64).expand_as(middle))


def test_the_divergence_of_a_curved_field():
    places = grid(41, 41, maps=((1.5, 0.0), (0.0, 1.0)))
    expected = 1 - 3 * 1.5**2 / 3 - 1  # mean of 1 - 3 z^2 - 1 over z from -1.5 to 1.5
    assert mean_divergence(places, double_well(places)).item() == pytest.approx(expected, abs=0.01)


def test_folded_places_have_no_jacobian():
    places = grid(5, 5)
    flat = places.clone()
    flat[3] = flat[2]
    field = linear(SYSTEMS["stable node"], (0.25, 0.1), places)
    found = jacobians(flat, field)
    assert found[2].isnan().all()
    assert found[[0, 1, 3]].isfinite().all()
    both = fixed_points(torch.stack([flat, places, 1e-4 * places]), field)
    assert both.batch.tolist() == [1, 2]
    assert both.names == ["stable node"] * 2
    diagonal = places.sum(dim=-1, keepdim=True) * torch.ones(2) + 1e-8 * random_fields(1, 5, 5)[0]
    assert mean_divergence(diagonal, field).isnan()
    assert mean_divergence(torch.zeros_like(places), field).isnan()


def test_on_a_line():
    line = torch.linspace(-1.5, 1.5, 31, dtype=torch.float64)[:, None]
    fields = torch.stack([line - line**3, 0.04 - line, 0 * line, 0 * line + 1, line - line**3 + torch.nan])
    found = fixed_points(line, fields)
    assert found.batch.tolist() == [0, 0, 0, 1]
    assert found.names == ["stable node", "unstable node", "stable node", "stable node"]
    torch.testing.assert_close(found.place[:, 0], torch.tensor([-1, 0, 1, 0.04], dtype=torch.float64))
    torch.testing.assert_close(found.jacobian[3], torch.tensor([[-1.0]], dtype=torch.float64))
    assert jacobians(line, fields).shape == (5, 30, 1, 1)
    torch.testing.assert_close(mean_divergence(line, fields)[1:4], torch.tensor([-1.0, 0, 0], dtype=torch.float64))
    assert mean_divergence(line, fields)[4].isnan()
    assert mean_divergence(line, fields)[0].item() == pytest.approx(1 - 1.5**2)
    assert fixed_points(line.flip(0), fields[0].flip(0)).names == ["stable node", "unstable node", "stable node"]
    torch.testing.assert_close(grid_spacing(line), torch.tensor([0.1], dtype=torch.float64))


def test_the_spacing_leaves_nan_out():
    for offset in (10, -10):
        places = offset + grid(5, 9, maps=((4.0, 0.0), (0.0, 2.0)))
        places[2, 2] = torch.nan
        expected = torch.tensor([[2.0, 0.5]] * 2, dtype=torch.float64)
        torch.testing.assert_close(grid_spacing(places.expand(2, -1, -1, -1)), expected)


OTHER_SHAPES = [
    ((4, 4, 3), (4, 4, 3)),
    ((1, 4, 2), (1, 4, 2)),
    ((4, 2), (4, 2)),
    ((4, 4, 2), (4, 5, 2)),
    ((4, 4, 2), (4, 4, 1)),
]


@pytest.mark.parametrize(("places", "field"), OTHER_SHAPES)
def test_other_shapes_are_refused(places, field):
    for function in (jacobians, mean_divergence, fixed_points):
        with pytest.raises(ValueError, match="expected places and displacement"):
            function(torch.zeros(places), torch.zeros(field))
