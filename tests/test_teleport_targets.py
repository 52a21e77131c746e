"""What is put in place of a stream's state: on the plane, turned on it, as far away at random, and by size."""

import numpy as np
import pytest
import torch

from rs_cae.dynamics.covariance import PrincipalAxes
from rs_cae.reducers import CompressingAutoencoder, PrincipalComponents
from rs_cae.teleportation import SIZES, Plane, grid_points, make_targets, principal_directions
from rs_cae.teleportation.targets import DIRECTIONS

WIDTH = 7


@pytest.fixture
def state():
    return torch.randn(WIDTH, generator=torch.Generator().manual_seed(3), dtype=torch.float64)


def pca(latents=3, seed=0):
    reducer = PrincipalComponents(WIDTH, 1, latents, standardize="none").double()
    generator = torch.Generator().manual_seed(seed)
    basis = torch.linalg.qr(torch.randn(WIDTH, WIDTH, generator=generator, dtype=torch.float64)).Q.T
    mean = torch.randn(1, WIDTH, generator=generator, dtype=torch.float64)
    reducer.set_axes(PrincipalAxes(mean, basis[None], torch.ones(1, WIDTH)))
    return reducer.eval().requires_grad_(False)


def generator():
    return torch.Generator().manual_seed(0)


def test_the_grid_covers_the_first_two_latents_row_by_row():
    points = grid_points(torch.tensor([[-1.0, 1.0], [2.0, 6.0], [9.0, 9.0]]), 3)
    expected = np.stack(np.meshgrid([-1, 0, 1], [2, 4, 6], indexing="ij"), axis=-1).reshape(9, 2)
    np.testing.assert_array_equal(points.numpy(), expected)


def test_a_reducer_of_one_latent_gives_a_line():
    points = grid_points(torch.tensor([[0.0, 4.0]]), 5)
    assert points.tolist() == [[0.0], [1.0], [2.0], [3.0], [4.0]]


def test_points_become_states_with_the_other_latents_the_states_own(state):
    plane = Plane(pca(), state, "mean")
    states = plane.states(torch.tensor([[5.0, -2.0], [0.0, 1.0]]))
    latents = pca().encode(states[:, None])[:, 0]
    own = pca().encode(state[None])[0]
    torch.testing.assert_close(latents[:, :2], torch.tensor([[5.0, -2.0], [0.0, 1.0]], dtype=torch.float64))
    torch.testing.assert_close(latents[:, 2], own[2].expand(2))


def test_off_the_plane_there_is_nothing_or_what_the_state_has_there(state):
    own = pca().encode(state[None])[0]
    nothing = Plane(pca(), state, "mean").states(own[None, :2])[0]
    kept = Plane(pca(), state, "keep").states(own[None, :2])[0]
    torch.testing.assert_close(kept, state)
    torch.testing.assert_close(nothing, pca().decode(own[None])[0])
    assert (nothing - state).norm() > 0.5


def test_an_autoencoder_too_leads_back_to_the_state_where_its_rest_is_kept(state):
    reducer = CompressingAutoencoder(WIDTH, 1, 2, n_layers=4, seed=0).double().eval().requires_grad_(False)
    plane = Plane(reducer, state, "keep")
    torch.testing.assert_close(plane.states(plane.latents[None])[0], state)


def test_turned_points_lie_as_far_from_the_states_own_place_at_angles_of_their_own(state):
    plane = Plane(pca(), state, "mean")
    points = grid_points(torch.tensor([[-3.0, 3.0], [-3.0, 3.0]]), 6)
    turned = plane.rotated(points, generator())
    centre = plane.latents[:2]
    before, after = points - centre, turned - centre
    torch.testing.assert_close(before.norm(dim=1), after.norm(dim=1))
    angles = torch.atan2(*after.T.flip(0)) - torch.atan2(*before.T.flip(0))
    assert len(angles.round(decimals=6).unique()) == len(points)
    assert abs(torch.exp(1j * angles).mean()) < 0.35  # of 36 even angles, the mean is this large once in 80


def test_on_a_line_points_are_mirrored(state):
    plane = Plane(pca(latents=1), state, "mean")
    turned = plane.rotated(torch.tensor([[0.0], [4.0]]), generator())
    torch.testing.assert_close((turned + torch.tensor([[0.0], [4.0]])).flatten(), 2 * plane.latents.repeat(2))


def test_random_states_lie_as_far_away_as_those_on_the_plane_in_no_direction_of_theirs(state):
    points = grid_points(torch.tensor([[-3.0, 3.0], [-3.0, 3.0]]), 10)
    targets = make_targets(Plane(pca(), state, "mean"), state, points, torch.eye(WIDTH)[:4], generator())
    on_plane, random = targets.plane - state, targets.random - state
    torch.testing.assert_close(on_plane.norm(dim=1), random.norm(dim=1))
    cosines = torch.nn.functional.cosine_similarity(on_plane, random)
    assert abs(cosines.mean()) < 4 / (WIDTH * len(points)) ** 0.5


def test_doses_have_their_sizes_and_directions(state):
    principal = torch.linalg.qr(torch.randn(WIDTH, 4, generator=generator(), dtype=torch.float64)).Q.T
    targets = make_targets(Plane(pca(), state, "mean"), state, torch.zeros(1, 2), principal, generator())
    apart = (targets.doses - state).unflatten(0, (2, len(SIZES), DIRECTIONS)) / state.norm()
    sizes = torch.tensor(SIZES, dtype=torch.float64)
    torch.testing.assert_close(apart.norm(dim=-1), sizes[None, :, None].expand(2, len(SIZES), DIRECTIONS))
    forwards, backwards = apart[1].split(DIRECTIONS // 2, dim=1)
    torch.testing.assert_close(forwards, sizes[:, None, None] * principal)
    torch.testing.assert_close(backwards, -forwards)
    same = apart[0] / sizes[:, None, None]
    torch.testing.assert_close(same, same[:1].expand_as(same))  # a ladder along each direction


def test_principal_directions_are_those_of_scikit_learn():
    decomposition = pytest.importorskip("sklearn.decomposition")
    drawn = torch.randn(40, 3, WIDTH, generator=generator()) * torch.arange(1.0, WIDTH + 1)
    found = principal_directions(drawn)
    assert found.shape == (3, DIRECTIONS // 2, WIDTH)
    for sublayer in range(3):
        theirs = decomposition.PCA(DIRECTIONS // 2, svd_solver="full").fit(drawn[:, sublayer].double().numpy())
        overlap = (found[sublayer].numpy() * theirs.components_).sum(axis=1)
        np.testing.assert_allclose(np.abs(overlap), 1, atol=1e-9)


def test_where_states_vary_in_few_directions_the_rest_is_zero():
    line = torch.randn(20, 1, 1, generator=generator()) * torch.ones(WIDTH)
    found = principal_directions(torch.cat([line, torch.ones(20, 1, WIDTH)], dim=1))
    assert found[0].norm(dim=-1).tolist() == pytest.approx([1, 0, 0, 0])
    assert not found[1].any()
    assert principal_directions(torch.randn(3, 1, 2)).shape == (1, DIRECTIONS // 2, 2)
