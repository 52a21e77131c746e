"""Norms, densities, velocities and cosines of trajectories against plain NumPy, and what they are of nothing."""

import numpy as np
import pytest
import torch

from rs_cae.dynamics import (
    Kinematics,
    TransitionMoments,
    information_of_unrelated_updates,
    layer_distance,
    mutual_information,
    participation_ratio_of_noise,
    velocity,
)

SAMPLES, SUBLAYERS, WIDTH = 60, 5, 7

# Sums of seven squares in float64; at a mean of 1e4 a norm keeps 1e-16 of itself and a step, which is exact, as well
EXACT = {"rtol": 1e-10, "atol": 0}


def planted(dtype=torch.float32, seed=0):
    """States whose norm grows with depth; unit 0 has mean 1e4, in which the steps of the others would drown."""
    generator = torch.Generator().manual_seed(seed)
    states = torch.randn(SAMPLES, SUBLAYERS, WIDTH, generator=generator) * torch.arange(1, SUBLAYERS + 1)[:, None]
    states[:, :, 0] += 1e4
    return states.to(dtype)


def by_numpy(states):
    """Every quantity, sample by sample and sublayer by sublayer."""
    h = states.double().numpy()
    norm = np.sqrt((h**2).sum(-1))
    step = np.sqrt(((h[:, 1:] - h[:, :-1]) ** 2).sum(-1))
    return {
        "norm": norm,
        "mean_abs": np.abs(h).mean(-1),
        "participation_ratio": (h**2).sum(-1) ** 2 / (h.shape[-1] * (h**4).sum(-1)),
        "velocity": step,
        "relative_velocity": step / norm[:, :-1],
        "cosine_similarity": (h[:, 1:] * h[:, :-1]).sum(-1) / (norm[:, 1:] * norm[:, :-1]),
    }


def cosine(a, b):
    return torch.nn.functional.cosine_similarity(a, b, dim=-1)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_every_quantity_is_numpy_s(dtype):
    states = planted(dtype)
    found = Kinematics.of(states)._asdict()
    expected = by_numpy(states)
    assert found.keys() == expected.keys()
    for name, values in expected.items():
        assert found[name].dtype == torch.float64
        np.testing.assert_allclose(found[name], values, err_msg=name, **EXACT)
    np.testing.assert_allclose(velocity(states), expected["velocity"], **EXACT)
    np.testing.assert_allclose(layer_distance(states), expected["velocity"].mean(0), **EXACT)


def test_float32_would_not_do():
    """Negative control of the oracle: the same norms in float32 miss its tolerance a thousandfold."""
    norms = torch.linalg.vector_norm(planted(), dim=-1).double().numpy()
    assert (np.abs(norms / by_numpy(planted())["norm"] - 1) > 1e-9).any()


def test_two_states_by_hand():
    states = torch.tensor([[[3.0, 4.0], [6.0, 8.0]], [[1.0, 0.0], [0.0, 1.0]], [[1.0, 1.0], [-1.0, -1.0]]])
    found = Kinematics.of(states)
    root = 2**0.5
    expected = {
        "norm": [[5, 10], [1, 1], [root, root]],
        "mean_abs": [[3.5, 7], [0.5, 0.5], [1, 1]],
        "participation_ratio": [[625 / 674] * 2, [0.5, 0.5], [1, 1]],  # (9 + 16)^2 / (2 (81 + 256))
        "velocity": [[5], [root], [2 * root]],
        "relative_velocity": [[1], [root], [2]],
        "cosine_similarity": [[1], [0], [-1]],
    }
    for name, values in expected.items():
        torch.testing.assert_close(getattr(found, name), torch.tensor(values, dtype=torch.float64))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_states_are_left_as_they_were(dtype):
    states = planted(dtype)
    Kinematics.of(states)
    assert torch.equal(states, planted(dtype))


def test_a_sample_s_numbers_do_not_depend_on_the_others():
    alone = [Kinematics.of(sample) for sample in planted().split(1)]
    for name, values in Kinematics.of(planted())._asdict().items():
        torch.testing.assert_close(torch.cat([getattr(one, name) for one in alone]), values, rtol=1e-15, atol=0)


def test_scale_cancels_where_it_should():
    once, larger = Kinematics.of(planted()), Kinematics.of(planted() * 8)
    for name in ("norm", "mean_abs", "velocity"):
        assert torch.equal(getattr(larger, name), getattr(once, name) * 8)
    for name in ("participation_ratio", "relative_velocity", "cosine_similarity"):
        assert torch.equal(getattr(larger, name), getattr(once, name))


def test_the_participation_ratio_is_the_share_of_units_in_use():
    width = 16
    one_hot, even = torch.eye(width)[3] * -7, torch.tensor([2.5, -2.5]).repeat(width // 2)
    half = even * (torch.arange(width) < width // 2)
    found = Kinematics.of(torch.stack([one_hot, even, half])[:, None].expand(-1, 2, -1)).participation_ratio
    torch.testing.assert_close(found[:, 0], torch.tensor([1 / width, 1, 0.5], dtype=torch.float64))


def test_the_participation_ratio_of_a_gaussian_is_a_third():
    states = torch.randn(100, 2, 20_000, generator=torch.Generator().manual_seed(0))
    found = Kinematics.of(states).participation_ratio.flatten()
    error = found.std() / len(found) ** 0.5
    assert error < 1e-3
    assert abs(found.mean() - 1 / 3) < 4 * error + 1e-4  # the ratio of two estimates is off by 4.7 / width of itself


def test_a_state_at_the_origin_has_no_direction():
    states = planted()
    states[2, 1] = 0
    found = Kinematics.of(states)
    places = {name: values.isnan().nonzero().tolist() for name, values in found._asdict().items()}
    assert places == {
        "norm": [],
        "mean_abs": [],
        "participation_ratio": [[2, 1]],
        "velocity": [],
        "relative_velocity": [[2, 1]],
        "cosine_similarity": [[2, 0], [2, 1]],
    }
    assert found.norm[2, 1] == found.mean_abs[2, 1] == 0
    assert found.velocity[2, 0] == found.norm[2, 0]
    assert found.relative_velocity[2, 0] == 1


@pytest.mark.parametrize("bad", [torch.nan, torch.inf])
def test_what_is_not_finite_stays_where_it_is(bad):
    states = planted()
    states[4, 2, 5] = bad
    touched = {"norm": [2], "mean_abs": [2], "participation_ratio": [2], "velocity": [1, 2]}
    touched |= {"relative_velocity": [1, 2], "cosine_similarity": [1, 2]}
    clean = Kinematics.of(planted())
    for name, values in Kinematics.of(states)._asdict().items():
        assert not values[4, touched[name]].isfinite().any() or bad == torch.inf
        others = torch.ones_like(values, dtype=torch.bool)
        others[4, touched[name]] = False
        assert torch.equal(values[others], getattr(clean, name)[others])


def test_a_state_that_stays_moves_by_nothing():
    generator = torch.Generator().manual_seed(0)
    still = torch.randn(500, 1, 33, generator=generator).expand(-1, 3, -1)
    found = Kinematics.of(still)
    assert (found.velocity == 0).all()
    assert (found.relative_velocity == 0).all()
    assert (found.cosine_similarity <= 1).all()  # rounding alone would go beyond for some
    assert ((1 - found.cosine_similarity).abs() < 1e-15).all()


def test_columns_come_back():
    found = Kinematics.of(planted())
    for one, other in zip(Kinematics.from_columns(found.to_columns(), planted().shape[1]), found, strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("width", [32, 128, 4096])
def test_the_participation_ratio_of_noise(width):
    # of a Gaussian vector (sum x^2)^2 / (width sum x^4), by another thousand of them
    vectors = torch.randn(1000, width, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    ratios = vectors.square().sum(1).square() / (width * vectors.pow(4).sum(1))
    error = ratios.std() / 1000**0.5
    assert abs(participation_ratio_of_noise(width) - ratios.mean()) < 4 * 2**0.5 * error
    assert width < 4096 or abs(participation_ratio_of_noise(width) - 1 / 3) < 0.001


@pytest.mark.parametrize("shape", [(3,), (3, 4), (2, 3, 4, 5), (5, 1, 3)])
@pytest.mark.parametrize(
    "function",
    [Kinematics.of, velocity, TransitionMoments.of, mutual_information, information_of_unrelated_updates],
    ids=lambda function: function.__qualname__,
)
def test_other_shapes_are_refused(function, shape):
    with pytest.raises(ValueError, match="expected \\[samples, sublayers, width\\] with at least 2 sublayers"):
        function(torch.zeros(shape))


def test_one_transition_of_one_sample():
    found = Kinematics.of(planted()[:1, :2])
    assert [values.shape for values in found] == [(1, 2)] * 3 + [(1, 1)] * 3


def test_no_sample_is_no_row():
    assert [len(values) for values in Kinematics.of(planted()[:0])] == [0] * 6
