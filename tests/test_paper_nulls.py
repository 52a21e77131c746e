"""The paper beside states that are given: what a random walk shows too is no finding, and what it does not is one."""

import numpy as np
import pytest
import torch
from made_up_findings import found, measured

from rs_cae.callbacks import depth, verdicts
from rs_cae.dynamics import TransitionMoments, correlation_of_unrelated_updates
from rs_cae.report.paper import Verdict
from rs_cae.report.paper.numbers import SIGNIFICANT, WITHOUT_EMBEDDING, Results, third_of
from rs_cae.report.paper.vectors import _correlations

HOLDS, FAILS, NOT_TESTABLE = Verdict
UNRELATED = "no more than unrelated updates of that size make it"


def test_thirds_and_names_are_those_of_the_headlines():
    assert (SIGNIFICANT, WITHOUT_EMBEDDING) == (verdicts.SIGNIFICANT, depth.WITHOUT_EMBEDDING)
    for length in (5, 11, 12, 23):
        curve = torch.rand(length, generator=torch.Generator().manual_seed(length)).double()
        for name, part in depth.PARTS.items():
            expected = float(depth.part_mean(curve, name))
            assert third_of([curve.numpy()] * 4, part.third, part.skips).value == pytest.approx(expected)


def test_the_correlations_of_unrelated_updates_are_those_of_the_states():
    states = torch.randn(50, 7, 5, generator=torch.Generator().manual_seed(0)).cumsum(dim=1)
    datasets, _ = measured(states, surrogates=19)
    expected = correlation_of_unrelated_updates(TransitionMoments.of(states)).numpy()
    np.testing.assert_allclose(_correlations(Results(datasets, {}))[1], expected, atol=1e-9)


def test_of_random_walks_nothing_is_found_that_a_walk_shows_too():
    """Their correlations and cosines rise and their units rotate: the paper's picture, and its control agrees."""
    walks = torch.randn(200, 24, 64, generator=torch.Generator().manual_seed(0), dtype=torch.float64).cumsum(dim=1)
    world = measured(walks + 3 * walks[:1], surrogates=199)
    for words, reason in {
        "Activations grow over": "no straighter than one of unrelated steps",
        "Of most units": UNRELATED,
        "highly correlated": "as highly correlated",
        "after attention": UNRELATED,
        "after the MLP": UNRELATED,
        "unstable periodic": "not told apart from a random walk",
        "walks of their steps": "",
    }.items():
        line = found(world, words)
        assert line.verdict == FAILS, line
        assert reason in line.reason, line
    assert found(world, "with their points shuffled").verdict == HOLDS


def test_orbits_are_told_from_walks_and_drift_from_unrelated_steps():
    generator = torch.Generator().manual_seed(1)
    phase = 2 * np.pi * (torch.arange(24) / 3)[:, None]  # eight turns, of which a walk has four
    orbits = torch.sin(phase + 6.28 * torch.rand(64, generator=generator)) + 0.02 * torch.arange(24)[:, None]
    states = (1 + orbits) + 0.1 * torch.randn(60, 24, 64, generator=generator)
    world = measured(states.double() * torch.linspace(1, 8, 24)[:, None], surrogates=199)
    assert found(world, "unstable periodic").verdict == HOLDS
    assert found(world, "walks of their steps").verdict == HOLDS
    drift = torch.arange(1, 25)[:, None] * torch.ones(64) + torch.randn(60, 24, 64, generator=generator)
    assert found(measured(drift.double(), surrogates=19), "Activations grow over").verdict == HOLDS
