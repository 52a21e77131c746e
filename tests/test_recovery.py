"""Recovery: linear layers in closed form, the cases without an answer, and the divergence as scipy has it."""

import numpy as np
import pytest
import torch
from scipy.stats import entropy

from rs_cae.dynamics import direction_distances, distances, kl_divergence, pooled_recovery, recovery

STEPS = 5


def run(matrix, points=4, seed=0, control=None):
    """States [points, steps + 1, width] and the control's, through one linear layer after the other."""
    generator = torch.Generator().manual_seed(seed)
    start = torch.randn(len(matrix), generator=generator, dtype=torch.float64) if control is None else control
    states = torch.cat(
        [start[None], start + torch.randn(points, len(matrix), generator=generator, dtype=torch.float64)]
    )
    course = [states]
    for _ in range(STEPS):
        course.append(course[-1] @ matrix.T)
    course = torch.stack(course, dim=1)
    return course[1:], course[0]


@pytest.mark.parametrize("factor", [0.5, -0.8, 1.0, 1.2, 0.0])
def test_a_multiple_of_the_identity_in_closed_form(factor):
    found = distances(*run(factor * torch.eye(6, dtype=torch.float64)))
    expected = 1 - abs(factor) ** torch.arange(STEPS + 1, dtype=torch.float64)
    torch.testing.assert_close(recovery(found), expected[-1].expand(4))
    torch.testing.assert_close(pooled_recovery(found), expected)
    assert pooled_recovery(found)[0] == 0


def test_an_identity_recovers_nothing_and_a_growing_stream_recovers_its_direction():
    still = run(torch.eye(6, dtype=torch.float64))
    assert torch.equal(recovery(distances(*still)), torch.zeros(4, dtype=torch.float64))
    growing = torch.diag(torch.tensor([1.5, 1.1, 1.1], dtype=torch.float64))
    states = run(growing, control=torch.tensor([10.0, 0, 0], dtype=torch.float64))
    assert (recovery(distances(*states)) < 0).all()
    assert (recovery(direction_distances(*states)) > 0.5).all()


def test_distances_by_hand():
    states, control = run(torch.randn(3, 3, generator=torch.Generator().manual_seed(3), dtype=torch.float64))
    expected = np.linalg.norm(states.numpy() - control.numpy(), axis=-1)
    np.testing.assert_allclose(distances(states, control).numpy(), expected)
    units = [each.numpy() / np.linalg.norm(each.numpy(), axis=-1, keepdims=True) for each in (states, control)]
    np.testing.assert_allclose(
        direction_distances(states, control).numpy(), np.linalg.norm(units[0] - units[1], axis=-1), atol=1e-12
    )


def test_leading_axes_are_a_loop():
    pairs = [run(0.7 * torch.eye(3, dtype=torch.float64), seed=seed) for seed in range(3)]
    states, control = (torch.stack(each) for each in zip(*pairs, strict=True))
    for function in (distances, direction_distances):
        together = function(states, control)
        assert together.shape == (3, 4, STEPS + 1)
        torch.testing.assert_close(together, torch.stack([function(*pair) for pair in pairs]))
        torch.testing.assert_close(recovery(together), torch.stack([recovery(part) for part in together]))
        pooled = torch.stack([pooled_recovery(part) for part in together])
        torch.testing.assert_close(pooled_recovery(together), pooled)


def test_small_differences_survive_low_precision_of_the_control():
    control = torch.full((1, 4), 1024.0, dtype=torch.bfloat16)
    found = distances(torch.full((2, 1, 4), 1025.0), control)
    assert found.dtype == torch.float64
    assert torch.equal(found, torch.full((2, 1), 2.0, dtype=torch.float64))
    low, high = (torch.full((1, 1, 1), value, dtype=torch.bfloat16) for value in (1.0078125, 256.0))
    assert distances(high, low[0]).item() == 254.9921875


def test_what_has_no_answer_is_nan():
    no_displacement, no_step = torch.tensor([0.0, 1.0]), torch.tensor([2.0])
    assert recovery(no_displacement).isnan()
    assert recovery(no_step).isnan()
    assert recovery(torch.tensor([1.0, torch.nan])).isnan()
    assert pooled_recovery(torch.zeros(3, 4)).isnan().all()
    assert direction_distances(torch.zeros(1, 1, 3), torch.ones(1, 3)).isnan().all()
    states, control = run(0.5 * torch.eye(3, dtype=torch.float64))
    own = torch.cat([control[None], states])
    assert recovery(distances(own, control)).isnan().tolist() == [True] + [False] * 4


def test_points_pool_by_their_displacement():
    found = pooled_recovery(torch.tensor([[9.0, 0.0], [1.0, 2.0], [0.0, 0.0]]))
    torch.testing.assert_close(found, torch.tensor([0.0, 0.8], dtype=torch.float64))


def test_the_divergence_is_scipy_s():
    logits = 3 * torch.randn(2, 5, 40, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    control = 3 * torch.randn(2, 40, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    p, q = control.softmax(dim=-1).numpy(), logits.softmax(dim=-1).numpy()
    expected = entropy(np.broadcast_to(p[:, None], q.shape), q, axis=-1)
    np.testing.assert_allclose(kl_divergence(logits, control).numpy(), expected, rtol=1e-10)
    np.testing.assert_allclose(kl_divergence(logits + 100, control - 100).numpy(), expected, rtol=1e-10)
    rounded = kl_divergence(logits.float(), control.float())
    assert torch.equal(rounded, kl_divergence(logits.float().double(), control.float().double()))


def test_equal_logits_diverge_by_exactly_nothing():
    control = (10 * torch.randn(1001, generator=torch.Generator().manual_seed(0))).to(torch.bfloat16)
    found = kl_divergence(control.expand(7, -1), control)
    assert found.dtype == torch.float64
    assert torch.equal(found, torch.zeros(7, dtype=torch.float64))
    noise = torch.randn(50, 1001, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    assert (kl_divergence(control + 1e-9 * noise, control) >= 0).all()


def test_tokens_that_are_ruled_out():
    inf = torch.inf
    logits = torch.tensor([[0.0, 0.0, -inf], [0.0, 0.0, 0.0], [-inf, 0.0, 0.0], [-inf, -inf, -inf]])
    found = kl_divergence(logits, torch.tensor([0.0, 0.0, -inf]))
    assert found[0] == 0
    assert found[1] == pytest.approx(np.log(1.5))
    assert found[2] == inf
    assert found[3].isnan()
    underflow = kl_divergence(torch.tensor([[0.0, -inf]]), torch.tensor([0.0, -1e4]))
    assert underflow.tolist() == [0.0]
    assert kl_divergence(torch.zeros(1, 2), torch.tensor([-inf, -inf])).isnan().all()
