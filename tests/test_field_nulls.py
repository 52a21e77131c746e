"""What displacements are held against: random ones as large, ones that are only carried along, another model's."""

import numpy as np
import pytest
import torch
from linear_fields import (
    DIRECTIONS,
    GRID,
    HALF,
    IDS,
    STEPS,
    SUBLAYERS,
    WIDTH,
    along_directions,
    close,
    courses,
    field,
    norms,
    pca,
    pooled,
    recording,
    stack,
    teleporter_of,
    turning,
    unit,
)

from rs_cae.callbacks.perturbation import PromptBootstrap
from rs_cae.callbacks.perturbation.headlines import perturbation_headlines
from rs_cae.teleportation import MEASURES, SIZES, FieldSpec, Study


def test_identities_correct_nothing():
    found, _, _ = field(stack(torch.eye(WIDTH))[0], 2, logits=True)
    for name in MEASURES:
        for of in ("", "_random", "_mean", "_random_mean"):
            assert (found[f"{name}{of}"] == 0).all()
    assert (found["displacement"] == 0).all()
    assert (found["recovery_by_step"] == 0).all()
    assert found["kl"].min() > 0.01
    close(found["kl_uncorrected"], found["kl"])
    close(found["kl_uncorrected_mean"], found["kl_mean"])


def test_a_stream_that_grows_seems_to_recover_in_the_plane_and_as_direction_but_no_more_than_if_only_carried_along():
    growing = torch.eye(WIDTH)
    growing[5, 5] = 1.5  # nothing on the plane is changed
    model, matrices = stack(along_directions(growing))
    scale = norms(teleporter_of(model).control.numpy())
    found, teleporter, (plane, *_) = field(model, 1, pca(scale=scale), offplane="keep")
    np.testing.assert_allclose(found["recovery"], 0, atol=1e-10)
    close(found["recovery_plane"], 1 - scale[1] / scale[13])
    moved, control = courses(plane, matrices, 1, STEPS), teleporter.control.numpy()[1:14]
    gone = norms(unit(moved) - unit(control))
    close(found["recovery_direction"], 1 - gone[:, -1] / gone[:, 0])
    close(found["recovery_direction_mean"], pooled(gone))
    assert min(found["recovery_plane"].min(), found["recovery_direction"].min()) > 0.5
    for name in MEASURES:
        for of in ("", "_mean"):
            close(found[f"{name}_uncorrected{of}"], found[f"{name}{of}"])
    close(found["displacement_uncorrected"], found["displacement"])
    close(found["contraction_mean"], 1 - scale[1] / scale[13])
    close(found["contraction_uncorrected_mean"], found["contraction_mean"])


def test_nor_do_headlines_say_that_it_recovers():
    growing = torch.eye(WIDTH)
    growing[5, 5] = 1.5
    model, _ = stack(along_directions(growing))
    reducer = pca(scale=norms(teleporter_of(model).control.numpy()))
    study = Study(reducer, [0, 2], FieldSpec(GRID, STEPS, "keep"), DIRECTIONS[:4].repeat(2, 1, 1))
    for number in range(12):
        study.add(teleporter_of(model, IDS + number), number)
    prompts, left = PromptBootstrap(torch.arange(12), 199, 0), torch.tensor([STEPS, STEPS])
    headlines = perturbation_headlines(study.results(), prompts, left, ["L00.attn", "L01.attn"])
    for name in [f"{name}_first_injection" for name in ("recovery_plane", "recovery_direction", "contraction")]:
        assert headlines[name].value > 0.5
        assert headlines[name].sentence.endswith(": not told apart from what the stream's growth alone gives.")


@pytest.mark.parametrize("offplane", ["keep", "mean"])
def test_all_measures_in_a_growing_stream_are_numpy_s(offplane):
    generator = torch.Generator().manual_seed(4)
    model, matrices = stack(list(torch.eye(WIDTH) + 0.2 * torch.randn(SUBLAYERS, WIDTH, WIDTH, generator=generator)))
    scale = norms(teleporter_of(model).control.numpy()) * np.linspace(1, 2, SUBLAYERS)
    found, teleporter, (plane, turned, random, _) = field(model, 3, pca(3, scale), offplane=offplane)
    control = teleporter.control.numpy()[3:16]

    def latents(states):
        return states / scale[3:16, None] @ DIRECTIONS[:3].numpy().T

    assert scale[15] > 3 * scale[3]
    moved, kept = courses(plane, matrices, 3, STEPS), control + (plane - control[0])[:, None]
    expected = {
        "recovery": norms(moved - control),
        "recovery_random": norms(courses(random, matrices, 3, STEPS) - control),
        "recovery_direction": norms(unit(moved) - unit(control)),
        "recovery_direction_random": norms(unit(courses(random, matrices, 3, STEPS)) - unit(control)),
        "recovery_direction_uncorrected": norms(unit(kept) - unit(control)),
        "recovery_plane": norms(latents(moved) - latents(control)),
        "recovery_plane_random": norms(latents(courses(turned, matrices, 3, STEPS)) - latents(control)),
        "recovery_plane_uncorrected": norms(latents(kept) - latents(control)),
    }
    for name, course in expected.items():
        close(found[name], 1 - course[:, -1] / course[:, 0])
        close(found[f"{name}_mean"], pooled(course))
    assert len({round(float(found[f"{name}_mean"]), 3) for name in expected}) == len(expected)
    np.testing.assert_allclose(found["recovery_uncorrected"], 0, atol=1e-10)
    close(found["latents"], latents(moved))
    own = latents(control)[0]
    close(found["latents"][:, 0], np.column_stack([GRID.numpy(), np.full(16, own[2])]))  # the third is the control's
    close(found["displacement_uncorrected"], (latents(kept) - latents(kept)[:, :1])[:, -1])
    rest = control[0] - own @ DIRECTIONS[:3].numpy() * scale[3] if offplane == "keep" else 0
    close(plane, found["latents"][:, 0].numpy() @ DIRECTIONS[:3].numpy() * scale[3] + rest)


def test_random_displacements_are_as_large_and_less_of_them_is_halved():
    found, teleporter, (plane, turned, random, doses) = field(stack(along_directions(HALF))[0], offplane="keep")
    state = teleporter.control[0].numpy()
    close(norms(random - state), norms(plane - state))
    close(norms(turned - state), norms(plane - state))
    close(found["recovery"], 1 - 0.5**STEPS)
    close(found["recovery_plane_random"], 1 - 0.5**STEPS)

    def left(states):
        return norms((states - state) @ DIRECTIONS.numpy().T * HALF.diagonal().numpy() ** STEPS)

    close(found["recovery_random"], 1 - left(random) / norms(random - state))
    assert found["recovery_random_mean"] < 0.4
    sizes = norms(doses - state).reshape(2, len(SIZES), 8)
    close(sizes, np.array(SIZES)[:, None] * norms(state))
    shares = 1 - left(doses).reshape(2, len(SIZES), 8).sum(axis=-1) / sizes.sum(axis=-1)
    close(found["dose_recovery"], shares)
    close(found["dose_recovery"][1], 1 - (0.5**STEPS + 1) / 2)  # two of the four principal directions are in the plane
    assert (found["dose_recovery"][0] < 0.4).all()


def test_a_twin_s_displacements_are_as_large_beside_its_own_states():
    twin = teleporter_of(stack(3 * along_directions(turning(1.0)), seed=5)[0])
    tried = recording(twin)
    _, teleporter, (plane, *_) = field(stack(along_directions(HALF))[0], 4, twin=twin)
    own, first = twin.control[4].numpy(), teleporter.control[4].numpy()
    assert norms(own) > 10 * norms(first)
    close((tried[0].numpy() - own) / norms(own), (plane - first) / norms(first))
