"""What is said of recovery, each number against its own null and in words that can be read; variables by name."""

import numpy as np
import pytest
import torch
from planted_fields import GRID, NODE, STEPS, SUBLAYERS, linear, noise, recorded, results_of

from rs_cae.callbacks.perturbation import PromptBootstrap
from rs_cae.callbacks.perturbation.headlines import perturbation_headlines
from rs_cae.callbacks.perturbation.variables import UNRELATED, perturbation_variables

LABELS = ["L00.attn", "L01.attn", "L03.attn"]
LEFT = torch.tensor([STEPS, STEPS, 1])
ARROWS = [linear(NODE, [0.1, 0.2])] * 3
PROMPTS = PromptBootstrap(torch.arange(60), 499, 0)

CORRECTED = (
    "more than the stream's growth alone gives: the network corrects",
    "not told apart from what the stream's growth alone gives",
    "less than the stream's growth alone gives: the network does not correct",
)
AS_THOSE = "not told apart from those"
SENTENCES = {
    "recovery": (
        "Recovery in full width, 4 sublayers after L00.attn: ",
        "of random perturbations as large",
        ("more is recovered than of those", AS_THOSE, "less is recovered than of those"),
    ),
    "recovery_direction": ("Recovery of the direction, 4 sublayers after L00.attn: ", "if uncorrected", CORRECTED),
    "recovery_plane": ("Recovery in the plane, 4 sublayers after L00.attn: ", "if uncorrected", CORRECTED),
    "contraction": ("Contraction of the field of arrows, 4 sublayers after L00.attn: ", "if uncorrected", CORRECTED),
    "kl": (
        "KL divergence of the next-token distribution, perturbed at L00.attn: ",
        "after random perturbations as large",
        ("the next token changes more than by those", AS_THOSE, "the next token changes less than by those"),
    ),
}
NULL = {name: "_random" if name in ("recovery", "kl") else "_uncorrected" for name in SENTENCES}


def around(values, seed, prompts=60, spread=0.05):
    """[prompts, injections], with these means."""
    drawn = noise(prompts, len(values), seed=seed)
    return torch.tensor(values, dtype=torch.float64) + spread * (drawn - drawn.mean(dim=0))


def headlines(left=LEFT, prompts=PROMPTS, **curves):
    return perturbation_headlines(results_of(ARROWS, **curves), prompts, left, LABELS)


@pytest.mark.parametrize("name", list(SENTENCES))
@pytest.mark.parametrize(("beyond", "verdict"), [(0.2, 0), (0.0, 1), (-0.2, 2)])
def test_a_curve_is_held_against_its_own_null(name, beyond, verdict):
    curves = {f"{name}_mean": around([0.4 + beyond, 0.9, 0.9], 1), f"{name}{NULL[name]}_mean": around([0.4] * 3, 2)}
    headline = headlines(**curves)[f"{name}_first_injection"]
    subject, null, verdicts = SENTENCES[name]
    assert headline.value == pytest.approx(0.4 + beyond)
    assert headline.null == pytest.approx(0.4)
    assert headline.low < headline.value < headline.high
    assert (headline.p < 0.05) == (verdict != 1)
    unit = " nats" if name == "kl" else ""
    interval = f"{headline.value:.3g} [{headline.low:.3g}, {headline.high:.3g}]{unit}"
    assert headline.sentence == f"{subject}{interval}; {null} 0.4 (p = {headline.p:.2g}): {verdicts[verdict]}."


def test_one_sublayer_is_no_plural_and_none_says_nothing():
    one = headlines(left=torch.tensor([1, 1, 0]))["recovery_first_injection"].sentence
    assert ", 1 sublayer after L00.attn: " in one
    unknown = torch.full((60, 3), torch.nan).double()
    none = headlines(left=torch.zeros(3), recovery_mean=unknown, recovery_random_mean=unknown)[
        "recovery_first_injection"
    ]
    assert none.sentence == "Recovery in full width, 0 sublayers after L00.attn: not defined here."


def test_of_few_texts_nothing_is_told():
    few = headlines(prompts=PromptBootstrap(torch.arange(60) % 9, 99, 0), recovery_mean=around([0.9] * 3, 1))[
        "recovery_first_injection"
    ]
    assert few.sentence.endswith("0.9; of random perturbations as large 0.1: too few texts to tell.")


@pytest.mark.parametrize(
    ("values", "random", "words"),
    [
        ([0.7, 0.2, 9.0], [0.3, 0.2, 5.0], "beside that, more in lower layers"),
        ([0.7, 0.2, 9.0], [0.6, 0.1, 5.0], "beside that, not told apart"),
        ([0.7, 0.6, 9.0], [0.6, 0.1, 5.0], "beside that, less in lower layers"),
    ],
)
def test_injections_are_compared_where_as_many_sublayers_are_left(values, random, words):
    curves = {"recovery_mean": around(values, 1), "recovery_random_mean": around(random, 2)}
    headline = headlines(**curves)["recovery_early_minus_late"]
    assert headline.value == pytest.approx(values[0] - values[1])
    assert headline.null == pytest.approx(random[0] - random[1])
    assert headline.sentence.startswith("Recovery in full width, at L00.attn less that at L01.attn: ")
    assert headline.sentence.endswith(f": {words}.")
    assert "recovery_early_minus_late" not in headlines(left=torch.tensor([4, 3, 1]), **curves)


def test_without_logits_nothing_is_said_of_the_next_token():
    record, found = recorded(results_of(ARROWS, logits=False))
    assert "kl_first_injection" not in record.headlines
    assert not [name for name in found if "kl" in name]
    measures = ("recovery", "recovery_direction", "recovery_plane", "contraction")
    curves = {f"{name}_{end}" for name in measures for end in ("first_injection", "early_minus_late")}
    assert set(record.headlines) == curves | {"stable_fixed_points"}


def test_variables_are_means_over_prompts_of_what_bears_their_name():
    results = results_of(ARROWS, untrained=True)
    for number, name in enumerate(results):
        results[name] = number + noise(*results[name].shape, seed=number)
    variables = perturbation_variables(results, PROMPTS, GRID).variables
    renamed = {"trajectories": "latents"}
    for name, (dimensions, values, _) in variables.items():
        if name == "points" or name.endswith(("_low", "_high")):
            continue
        np.testing.assert_allclose(values, results[renamed.get(name, name)].mean(dim=0), atol=1e-12)
        assert len(dimensions) == values.ndim
        if f"{name}_low" in variables:
            assert (variables[f"{name}_low"][1] < values).all()
            assert (variables[f"{name}_high"][1] > values).all()
    sizes = {"injection": 3, "grid": 81, "latent": 2, "step": STEPS + 1, "sublayer": SUBLAYERS}
    for dimensions, values, described in variables.values():
        assert all(sizes.get(name, length) == length for name, length in zip(dimensions, values.shape, strict=True))
        assert described["units"] in ("1", "nat", "latent unit")
        assert not described["long_name"].startswith("the same")
    without = {name for name in results if name not in variables and name != "latents"}
    assert without == {f"{name}_uncorrected" for name in NULL if name != "contraction"}


def test_only_latents_that_share_no_space_have_a_note():
    nothing, known = torch.full((60, 3, len(GRID), 2), torch.nan).double(), results_of(ARROWS)
    last = known | {"displacement": nothing, "displacement_uncorrected": nothing}
    unrelated = last | {"latents": torch.full_like(known["latents"], torch.nan)}
    for results, note in ((known, None), (last, None), (unrelated, UNRELATED)):
        record, found = recorded(results)
        for name in ("displacement", "displacement_uncorrected", "trajectories"):
            assert found[name].attrs.get("note") == note
        assert found["divergence"].isnull().all() == (results is not known)
        assert np.isnan(record.headlines["stable_fixed_points"].value) == (results is not known)
