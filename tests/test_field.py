"""What becomes of displaced streams, in models whose every sublayer is a matrix: all of it is known in closed form."""

import numpy as np
import pytest
import torch
from linear_fields import (
    DIRECTIONS,
    GRID,
    HALF,
    IDS,
    MEAN,
    STEPS,
    SUBLAYERS,
    WIDTH,
    along_directions,
    close,
    courses,
    field,
    norms,
    pca,
    stack,
    teleporter_of,
    turning,
)
from linear_model import HOOK_POINTS
from scipy.special import softmax
from scipy.stats import entropy

from rs_cae.stream import find_hook_points
from rs_cae.teleportation import SIZES, FieldSpec, Study, Teleports


def in_plane(*blocks):
    """One matrix for each sublayer: these in the plane in turn, and others beside it that do not mix with it."""
    return [
        along_directions(torch.block_diag(blocks[s % len(blocks)], 1.1 * turning(0.2 + s, 2))) for s in range(SUBLAYERS)
    ]


@pytest.mark.parametrize(("sublayer", "steps"), [(0, 12), (1, 12), (10, 5), (11, 4)])
def test_arrows_are_those_of_the_matrices(sublayer, steps):
    blocks = torch.tensor([[0.8, 0.3], [-0.2, 0.9]]), torch.tensor([[1.1, 0.0], [0.4, 0.7]]), torch.eye(2) * 0.9
    model, matrices = stack(in_plane(*blocks))
    found, teleporter, _ = field(model, sublayer)
    offset = (DIRECTIONS[:2] @ MEAN).numpy()
    place, expected = GRID.numpy() + offset, [GRID.numpy()]
    for s in range(sublayer, sublayer + steps):
        place = place @ (DIRECTIONS.numpy() @ matrices[s] @ DIRECTIONS.numpy().T)[:2, :2].T
        expected.append(place - offset)
    close(found["latents"][:, : steps + 1], np.stack(expected, axis=1))
    assert found["latents"].shape == (16, STEPS + 1, 2)
    assert found["latents"][:, steps + 1 :].isnan().all()
    close(found["displacement"], place - offset - GRID.numpy())
    control = (teleporter.control.numpy() - MEAN.numpy()) @ DIRECTIONS[:2].numpy().T
    close(found["displacement_uncorrected"], control[sublayer + steps] - control[sublayer])
    assert found["recovery_by_step"].isnan().sum() == STEPS - steps


@pytest.mark.parametrize(
    ("matrix", "factor"),
    [(0.9 * turning(0), 0.9), (turning(0.7), 1.0), (1.1 * turning(0), 1.1), (0.8 * turning(2.0), 0.8)],
)
@pytest.mark.parametrize(("sublayer", "steps"), [(0, 12), (13, 2)])
def test_recovery_in_closed_form(matrix, factor, sublayer, steps):
    model, _ = stack(along_directions(matrix))
    twin = teleporter_of(stack(along_directions(0.75 * turning(1.0)), seed=5)[0])
    found, _, _ = field(model, sublayer, twin=twin)
    gone = 1 - factor**steps
    for name in ("recovery", "recovery_plane"):
        for of in ("", "_random"):
            close(found[f"{name}{of}"], gone)
            close(found[f"{name}{of}_mean"], gone)
    for name in ("recovery_uncorrected", "recovery_plane_uncorrected", "recovery_direction"):
        np.testing.assert_allclose(found[name], 0, atol=1e-10)
    by_step = 1 - factor ** np.arange(steps + 1.0)
    for name in ("recovery_by_step", "recovery_random_by_step"):
        np.testing.assert_allclose(found[name][: steps + 1], by_step, atol=1e-10)
    assert found["recovery_by_step"][0] == 0
    assert found["recovery_by_step"][steps] == found["recovery_mean"]
    assert found["recovery_random_by_step"][steps] == found["recovery_random_mean"]
    close(found["dose_recovery"], gone)
    close(found["recovery_untrained_mean"], 1 - 0.75**steps)


def test_with_no_sublayer_left_only_the_next_token_is_known():
    twin = teleporter_of(stack(torch.eye(WIDTH))[0])
    found, _, _ = field(stack(0.9 * torch.eye(WIDTH))[0], SUBLAYERS - 1, twin=twin, logits=True)
    known = {name for name, values in found.items() if not values.isnan().all()}
    kl = {f"kl{of}{mean}" for of in ("", "_random", "_uncorrected") for mean in ("", "_mean")}
    assert known == {"latents", "recovery_by_step", "recovery_random_by_step", "dose_kl"} | kl
    close(found["latents"][:, 0], GRID.numpy())
    assert found["latents"][:, 1:].isnan().all()
    assert found["recovery_by_step"].isnan().tolist() == [False] + STEPS * [True]


def divergence(states, model, matrices, sublayer):
    """Of the next token's distribution after the first of the states from those after each of the others, by SciPy."""
    ends = courses(states, matrices, sublayer, SUBLAYERS - sublayer)[:, -1]
    chances = softmax(ends @ model.head.weight.numpy().T, axis=1)
    return np.array([entropy(chances[0], other) for other in chances[1:]])


def test_the_next_token_s_divergence_is_scipy_s():
    model, matrices = stack(along_directions(HALF))
    found, teleporter, (plane, _, random, doses) = field(model, 10, logits=True)
    state = teleporter.control[10:11].numpy()
    close(found["kl"], divergence(np.concatenate([state, plane]), model, matrices, 10), 1e-8)
    close(found["kl_random"], divergence(np.concatenate([state, random]), model, matrices, 10), 1e-8)
    output = courses(state, matrices, 10, 6)[:, -1]
    kept = divergence(np.concatenate([output, output + plane - state]), model, matrices, SUBLAYERS)
    close(found["kl_uncorrected"], kept, 1e-8)
    close(found["kl_uncorrected_mean"], kept.mean(), 1e-8)
    close(found["kl_mean"], found["kl"].mean())
    close(found["kl_random_mean"], found["kl_random"].mean())
    by_dose = divergence(np.concatenate([state, doses]), model, matrices, 10).reshape(2, len(SIZES), 8)
    close(found["dose_kl"], by_dose.mean(axis=-1), 1e-8)
    steps = np.outer(SIZES, [1, -1])[..., None, None] * norms(state) * DIRECTIONS[:4].numpy()
    principal = divergence(np.concatenate([state, state + steps.reshape(-1, WIDTH)]), model, matrices, 10)
    close(found["dose_kl"][1], principal.reshape(len(SIZES), 8).mean(axis=1), 1e-8)
    assert "kl" not in field(model, 10)[0]


def test_where_states_vary_in_no_direction_principal_doses_are_unknown():
    model, _ = stack(along_directions(HALF))
    none = field(model, principal=torch.zeros(4, WIDTH), logits=True)[0]
    assert none["dose_recovery"].isnan().all(dim=1).tolist() == [False, True]
    assert none["dose_kl"].isnan().all(dim=1).tolist() == [False, True]
    assert not none["dose_recovery"][0].isnan().any()
    one = torch.cat([DIRECTIONS[:1], torch.zeros(3, WIDTH)])
    some = field(model, principal=one, logits=True)[0]
    alone = field(model, principal=DIRECTIONS[:1].expand(4, -1), logits=True)[0]
    close(some["dose_recovery"][1], 1 - 0.5**STEPS)
    close(some["dose_kl"][1], alone["dose_kl"][1])


def test_recovery_by_size_where_large_displacements_saturate():
    model, _ = stack(torch.eye(WIDTH))
    model.model.layers[-1].attn.weight.copy_(-DIRECTIONS)
    model.model.layers[-1].attn.register_forward_hook(lambda module, arguments, output: output.tanh())
    found, teleporter, (*_, doses) = field(model, SUBLAYERS - 2)
    state = teleporter.control[-2].numpy()
    after = [states + np.tanh(-states @ DIRECTIONS.numpy().T) for states in (state, doses)]
    start, end = (norms(part).reshape(2, len(SIZES), 8).sum(axis=-1) for part in (doses - state, after[1] - after[0]))
    close(found["dose_recovery"], 1 - end / start)
    assert (found["dose_recovery"][:, 0] - found["dose_recovery"][:, -1]).abs().min() > 0.1


def test_one_latent_is_a_line():
    line = torch.tensor([[-2.0], [0.5], [3.0]])
    model, _ = stack(along_directions(torch.diag(torch.tensor([0.75, 0.5, 1, 1, 1, 1]))))
    found, teleporter, (plane, turned, *_) = field(model, 10, pca(1), points=line, offplane="keep")
    offset = DIRECTIONS[:1] @ MEAN
    close(found["displacement"], ((line + offset) * (0.75**5 - 1)).numpy())
    close(turned + plane, 2 * teleporter.control[10].numpy())
    close(found["recovery_plane_random"], 1 - 0.75**5)


def test_latents_of_sublayers_that_share_no_space_are_not_compared():
    found, _, _ = field(stack(along_directions(HALF))[0], 1, pca(scope="per_sublayer"), offplane="keep", logits=True)
    unknown = {name for name, values in found.items() if values.isnan().any()}
    plane = {f"recovery_plane{of}{mean}" for of in ("", "_random", "_uncorrected") for mean in ("", "_mean")}
    contraction = {"contraction_mean", "contraction_uncorrected_mean"}
    assert unknown == {"latents", "displacement", "displacement_uncorrected"} | plane | contraction
    close(found["recovery"], 1 - 0.5**STEPS)


def study_of(numbers, seed=0):
    model, _ = stack(along_directions(HALF))
    teleports = Teleports(model, find_hook_points(model, HOOK_POINTS))
    study = Study(pca(), [2, 13], FieldSpec(GRID, STEPS), DIRECTIONS[:4].repeat(2, 1, 1), seed)
    for number in numbers:
        study.add(teleports.of(IDS + number), number)
    return study.results()


def test_a_prompt_s_draws_are_its_own_and_results_are_in_the_order_of_numbers():
    alone, among, other = study_of([2]), study_of([9, 2, 5]), study_of([2], seed=1)
    for name, values in among.items():
        torch.testing.assert_close(values[:1], alone[name], rtol=0, atol=0, equal_nan=True)
    assert not torch.equal(alone["recovery_random"], other["recovery_random"])
    assert (among["recovery_random"][0] != among["recovery_random"][1]).all()
    assert among["recovery"].shape == (3, 2, 16)
    embedded = stack(torch.eye(WIDTH))[0].model.embed.weight[[2 + 2, 2 + 5, 2 + 9]]
    close(among["control"][:, 0], (embedded - MEAN) @ DIRECTIONS[:2].T)
    close(among["latents"][:, 1, :, 3:].isnan().all(), True)


def test_the_field_s_contraction_is_that_of_the_spread_of_its_points_wherever_they_go():
    model, _ = stack(along_directions(HALF))
    found, _, _ = field(model, 1, offplane="keep")
    close(found["contraction_mean"], 1 - 0.5**STEPS)
    close(found["contraction_uncorrected_mean"], 0)
    turned, _, _ = field(stack(in_plane(torch.as_tensor(turning(0.4, 1))))[0], 1)
    close(turned["contraction_mean"], 0)


def test_doses_near_the_model_s_rounding_are_left_out():
    model, _ = stack(along_directions(HALF))
    coarse, _, _ = field(model.to(torch.bfloat16), 1, logits=True)
    left_out = [size for size in SIZES if size < 0.078]
    for name in ("dose_recovery", "dose_kl"):
        assert coarse[name].isnan().all(dim=0).tolist() == [size in left_out for size in SIZES]
