"""Planted curvature is recovered, walks are told from nothing, and what cannot say no is not taken for a null."""

from itertools import pairwise, permutations, product

import numpy as np
import pytest
import torch
from paths import angles_by_hand, arcs, straightness_by_hand, walks

from rs_cae.dynamics import (
    angles_between_steps,
    expected_turning_angle,
    flipped_straightness,
    rearranged_steps,
    reordered_turning_angle,
    steps_gram,
    straightness,
    tortuosity,
    turning_angle,
    two_sided_p,
)
from rs_cae.sublayers import SublayerLayout

KINDS = SublayerLayout(4).transition_kinds  # 7 of them
EXACT = {"rtol": 1e-11, "atol": 1e-11}


@pytest.mark.parametrize("angle", [0.7, 20.0, 90.0, 175.0])
def test_a_planted_angle_is_recovered(angle):
    assert (turning_angle(arcs(angle)) - angle).abs().max() < 1e-9


@pytest.mark.parametrize("shared", [0.0, 2.0])
def test_walks_are_told_from_their_nulls_no_more_often_than_chance_has_it(shared):
    """Samples that share their steps are no more samples of the order than one is."""
    orders = rearranged_steps("increment_shuffle", KINDS, 199).orders
    signs = rearranged_steps("increment_sign_flip", KINDS, 199).signs
    p = []
    for seed in range(200):
        gram = steps_gram(walks(12, seed=seed) + shared * walks(1, seed=1000 + seed))
        angles = angles_between_steps(gram).mean(dim=0)
        turning = two_sided_p(angles.diagonal(1).mean(), reordered_turning_angle(angles, orders))
        p.append([turning, two_sided_p(straightness(gram).mean(), flipped_straightness(gram, signs).mean(dim=0))])
    rates, means = (torch.tensor(p) <= 0.05).double().mean(dim=0), torch.tensor(p).mean(dim=0)
    assert (rates <= 0.105).all(), rates  # 22 of 200 or more at 0.05: 0.1 %
    assert ((means - 0.5).abs() < 0.08).all(), means


def test_no_order_of_the_steps_changes_how_straight_a_path_is():
    """So that a shuffle cannot say no; signs can."""
    states = walks(drift=1.0)
    for order in rearranged_steps("increment_shuffle", KINDS, 20).orders:
        shuffled = states[:, :1] + torch.nn.functional.pad(states.diff(dim=1)[:, order].cumsum(dim=1), (0, 0, 1, 0))
        torch.testing.assert_close(straightness(steps_gram(shuffled)), straightness(steps_gram(states)), **EXACT)
    gram, signs = steps_gram(states), rearranged_steps("increment_sign_flip", KINDS, 199).signs
    assert two_sided_p(straightness(gram).mean(), flipped_straightness(gram, signs).mean(dim=0)) < 0.05


@pytest.mark.parametrize("name", ["increment_shuffle", "increment_shuffle_within_kind", "increment_sign_flip"])
def test_draws_are_those_of_rearranged_paths(name):
    states = walks(samples=7)
    orders, signs = rearranged_steps(name, KINDS, 25, seed=3)
    gram = steps_gram(states)
    turning = reordered_turning_angle(angles_between_steps(gram).mean(dim=0), orders)
    straight = flipped_straightness(gram, signs)
    for draw, (order, sign) in enumerate(zip(orders, signs, strict=True)):
        steps = (sign[:, None] * states.diff(dim=1))[:, order]
        path = torch.nn.functional.pad(steps.cumsum(dim=1), (0, 0, 1, 0))
        np.testing.assert_allclose(straight[:, draw], straightness_by_hand(path), rtol=1e-11)
        if name != "increment_sign_flip":
            assert turning[draw] == pytest.approx(angles_by_hand(path).mean(), rel=1e-11)
    if name == "increment_shuffle_within_kind":
        assert all((order % 2 == torch.arange(7) % 2).all() for order in orders)


def test_the_mean_over_all_orders():
    states, kinds = walks(samples=1, sublayers=6), SublayerLayout(3).transition_kinds
    angles = angles_between_steps(steps_gram(states))[0]
    every = np.mean([[angles[a, b] for a, b in pairwise(o)] for o in permutations(range(5))], axis=0)
    np.testing.assert_allclose(expected_turning_angle(angles), every)
    apart = [
        [angles[a, b] for a, b in pairwise(o)]
        for even, odd in product(permutations([0, 2, 4]), permutations([1, 3]))
        for o in [[even[0], odd[0], even[1], odd[1], even[2]]]
    ]
    np.testing.assert_allclose(expected_turning_angle(angles, kinds), np.mean(apart, axis=0))


def test_place_size_and_direction_do_not_matter():
    states = walks()
    rotation = torch.linalg.qr(walks(1, 6)[0]).Q
    moved = 50 * (states @ rotation) - 7
    torch.testing.assert_close(turning_angle(moved), turning_angle(states), **EXACT)
    torch.testing.assert_close(straightness(steps_gram(moved)), straightness(steps_gram(states)), **EXACT)


def test_what_does_not_move_has_no_angle():
    states = torch.tensor([[[0.0, 0], [1, 0], [1, 0], [1, 1], [0, 0]], [[2.0, 2]] * 5])
    assert turning_angle(states).isnan().tolist() == [[True, True, False], [True] * 3]
    straight = straightness(steps_gram(states))
    assert straight[0] == 0
    assert straight[1].isnan()
    assert tortuosity(straight).isnan().all()
    loops = walks()
    loops[:, -1] = loops[:, 0]
    straight = straightness(steps_gram(loops))
    assert (straight > 0).any()  # by rounding
    assert tortuosity(straight).isnan().all()
    with pytest.raises(ValueError, match="at least 2 sublayers"):
        steps_gram(torch.zeros(3, 1, 2))
