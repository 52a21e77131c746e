"""Updates exchanged between samples: what a sum alone gives is not taken for a likeness."""

import numpy as np
import pytest
import torch

from rs_cae.callbacks.dynamics.vectors import correlation_findings, kinematics_findings
from rs_cae.callbacks.verdicts import Verdict, compare_with_null, with_sentence
from rs_cae.dynamics import (
    Kinematics,
    TransitionMoments,
    cosine_beyond_exchange,
    exchange_order,
    exchange_updates,
    resampled_mean,
    update_correlation,
)
from rs_cae.metrics import MeanKinematics, UnitBootstrap
from rs_cae.results import Headline

VERDICT = Verdict("null", "above", "undecided", "below")
KINDS = ["within", "across"] * 4


def walks(seed, samples=150, width=48, scale=1.0, pull=0.0):
    """[samples, 9, width], whose updates have nothing to do with the state but for a pull towards zero."""
    generator = torch.Generator().manual_seed(seed)
    states = [torch.randn(samples, width, generator=generator, dtype=torch.float64)]
    for _ in range(8):
        update = scale * torch.randn(samples, width, generator=generator, dtype=torch.float64)
        states.append(states[-1] * (1 - pull) + update)
    return torch.stack(states, dim=1)


def headlines(states, draws=199, seed=0):
    texts = torch.arange(len(states))
    bootstrap = UnitBootstrap(9, states.shape[2], draws=draws, seed=seed)
    mean = MeanKinematics(9, draws=draws, seed=seed)
    bootstrap.update(states, texts)
    mean.update(Kinematics.of(states), texts)
    beyond = resampled_mean(cosine_beyond_exchange(states, seed=seed), texts, draws, seed)
    found = correlation_findings(TransitionMoments.of(states), bootstrap.compute()).headlines
    kinematics = kinematics_findings(Kinematics.of(states), mean.curves(), beyond, states.shape[2], KINDS)
    return found | kinematics.headlines


@pytest.mark.parametrize("samples", [2, 3, 100])
def test_nobody_keeps_his_own_and_everybody_gets_one(samples):
    order = exchange_order(samples, seed=3)
    assert sorted(order.tolist()) == list(range(samples))
    assert (order != torch.arange(samples)).all()


def test_an_exchange_by_hand():
    states = walks(0, samples=5)
    order = exchange_order(5)
    start, end = exchange_updates(states, order)
    assert torch.equal(start, states[:, :-1])
    for sample in range(5):
        update = states[order[sample], 1:] - states[order[sample], :-1]
        torch.testing.assert_close(end[sample], states[sample, :-1] + update)
    cosine = torch.nn.functional.cosine_similarity(start, end, dim=-1)
    expected = Kinematics.of(states).cosine_similarity - cosine
    torch.testing.assert_close(cosine_beyond_exchange(states, exchanges=1), expected)


def test_the_correlation_with_the_update_is_numpy_s():
    states = walks(0, pull=0.3)
    found = update_correlation(TransitionMoments.of(states)).numpy()
    values, updates = states[:, :-1].numpy(), states.diff(dim=1).numpy()
    expected = [[np.corrcoef(values[:, t, u], updates[:, t, u])[0, 1] for u in range(48)] for t in range(8)]
    np.testing.assert_allclose(found, expected, atol=1e-10)
    assert found.mean() < -0.2


@pytest.mark.parametrize("scale", [1.0, 0.3])
def test_walks_are_told_from_their_nulls_no_more_often_than_chance_has_it(scale):
    runs = [headlines(walks(seed, scale=scale), seed=seed) for seed in range(30)]
    names = [name for name in runs[0] if name.startswith(("correlation", "cosine"))]
    rates = {name: np.mean([run[name].p <= 0.05 for run in runs]) for name in names}
    assert max(rates.values()) <= 0.2, rates  # 5 of 30 or more at a rate of 0.05: 1.6 %
    assert np.mean(list(rates.values())) < 0.08


def test_a_pull_towards_zero_is_told_from_a_walk():
    found = headlines(walks(0, pull=0.2))
    for name in ("correlation_last_third", "cosine_similarity_last_third"):
        assert found[name].p <= 0.05
        assert found[name].value < found[name].null
        assert "less alike" in found[name].sentence


def test_speeds_are_compared_within_a_kind():
    states = torch.zeros(30, 9, 4, dtype=torch.float64)
    states[:, :, 0] = 1 + torch.tensor([0, 1, 11, 12, 22, 24, 34, 37, 47])  # attention steps 1, 1, 2, 3; MLP steps 10
    found = headlines(states + 1e-6 * torch.randn(30, 9, 4, generator=torch.Generator().manual_seed(0)))
    assert found["velocity_ratio"].value == pytest.approx(1, abs=1e-3)
    assert "last MLP step" in found["velocity_ratio"].sentence
    assert found["velocity_ratio_attention"].value == pytest.approx(3, abs=1e-3)
    assert found["velocity_ratio_attention_without_embedding"].value == pytest.approx(3, abs=1e-3)
    assert "last attention step over that of the first after the embedding" in (
        found["velocity_ratio_attention_without_embedding"].sentence
    )
    assert found["velocity_ratio_attention"].null == pytest.approx(35, abs=0.01)  # the norm where these steps begin


def test_the_sentence_of_a_number_without_an_interval_decides_nothing():
    line = with_sentence(Headline(-0.01, "nat", np.nan, np.nan, -0.02), "Drop", VERDICT)
    assert line.sentence == "Drop: -0.01 nats; null -0.02: too few texts to tell."
    nothing = with_sentence(Headline(np.nan, "1", np.nan, np.nan, 0.0), "Drop", VERDICT)
    assert nothing.sentence == "Drop: not defined here."


@pytest.mark.parametrize(("shift", "words"), [(0.5, "above"), (-0.5, "below"), (0.0, "undecided")])
def test_the_verdict_follows_the_difference(shift, words):
    draws = torch.cat([torch.zeros(1), torch.randn(99, generator=torch.Generator().manual_seed(0)) / 10])
    line = compare_with_null("Value", 3 + draws, draws + shift, VERDICT)
    assert (line.value, line.null) == (3.0, pytest.approx(3 - shift))
    assert line.sentence.endswith(f": {words}.")
