"""Streams displaced in models whose every sublayer is a matrix, and NumPy's own way to what becomes of them."""

import numpy as np
import torch
from linear_model import HOOK_POINTS, linear_model

from rs_cae.dynamics.covariance import PrincipalAxes
from rs_cae.reducers import PrincipalComponents
from rs_cae.stream import find_hook_points
from rs_cae.teleportation import SIZES, FieldSpec, Injection, Teleports, field_at, grid_points

WIDTH, LAYERS, SUBLAYERS, STEPS = 6, 8, 16, 12
IDS = torch.tensor([5, 9, 2])
GRID = grid_points(torch.tensor([[-3.0, 3.0], [-2.0, 4.0]], dtype=torch.float64), 4)
DIRECTIONS = torch.linalg.qr(torch.randn(WIDTH, WIDTH, generator=torch.Generator().manual_seed(1)).double()).Q.T
MEAN = torch.randn(WIDTH, generator=torch.Generator().manual_seed(2)).double()
HALF = torch.diag(torch.tensor([0.5, 0.5, 1.0, 1.0, 1.0, 1.0]))
"""In coordinates along ``DIRECTIONS``: halves what lies in the plane and leaves the rest as it is."""


def along_directions(matrix):
    return DIRECTIONS.T @ matrix.double() @ DIRECTIONS


def turning(angle, blocks=3):
    angle = torch.tensor(angle, dtype=torch.float64)
    cosine, sine = angle.cos(), angle.sin()
    return torch.block_diag(*[torch.stack([cosine, -sine, sine, cosine]).view(2, 2)] * blocks)


def stack(matrices, seed=0):
    """A model in float64 of one matrix for all sublayers or a list of one for each, and these."""
    model = linear_model(LAYERS, matrices, seed=seed).double()
    branches = [branch for layer in model.model.layers for branch in (layer.attn, layer.mlp)]
    every = torch.stack(matrices if isinstance(matrices, list) else [matrices] * SUBLAYERS).double()
    for branch, matrix in zip(branches, every, strict=True):
        branch.weight.copy_(matrix - torch.eye(WIDTH))  # not rounded to float32
    return model, every.numpy()


def teleporter_of(model, prompt=IDS):
    return Teleports(model, find_hook_points(model, HOOK_POINTS)).of(prompt)


def recording(teleporter):
    """What it is asked to put in place of states, as it goes."""
    tried, teleport = [], teleporter.teleport
    teleporter.teleport = lambda sublayer, states, *rest: tried.append(states) or teleport(sublayer, states, *rest)
    return tried


def pca(latents=2, scale=None, scope="shared"):
    """Its plane is that of the first two ``DIRECTIONS``, through ``MEAN`` unless states are scaled."""
    reducer = PrincipalComponents(WIDTH, SUBLAYERS, latents, scope=scope).double()
    maps = reducer.maps
    mean = MEAN if scale is None else torch.zeros(WIDTH)
    reducer.set_axes(PrincipalAxes(mean.repeat(maps, 1), DIRECTIONS.repeat(maps, 1, 1), torch.ones(maps, WIDTH)))
    if scale is not None:
        reducer.standardizer.scale.copy_(torch.as_tensor(scale))
    return reducer.eval().requires_grad_(False)


def field(model, sublayer=0, reducer=None, principal=None, twin=None, points=GRID, **spec):
    """What is found, the teleporter, and the states that were tried: on the plane, turned on it, random, doses."""
    teleporter = teleporter_of(model)
    tried = recording(teleporter)
    principal = DIRECTIONS[:4] if principal is None else principal
    injection = Injection.of(pca() if reducer is None else reducer, sublayer, STEPS, principal)
    found = field_at(teleporter, injection, FieldSpec(points, STEPS, **spec), torch.Generator().manual_seed(0), twin)
    count = len(points)
    return found, teleporter, [part.numpy() for part in tried[0].split([count, count, count, 2 * len(SIZES) * 8])]


def courses(states, matrices, sublayer, steps):
    """[points, steps + 1, width]: NumPy's own way through the stack."""
    passed = [np.asarray(states)]
    for matrix in matrices[sublayer : sublayer + steps]:
        passed.append(passed[-1] @ matrix.T)
    return np.stack(passed, axis=1)


def pooled(course):
    """Of distances [points, steps + 1]."""
    return 1 - course[:, -1].sum() / course[:, 0].sum()


def norms(apart):
    return np.sqrt((apart**2).sum(axis=-1))


def unit(states):
    return states / norms(states)[..., None]


def close(found, expected, tolerance=1e-9):
    np.testing.assert_allclose(np.asarray(found), np.broadcast_to(expected, found.shape), rtol=tolerance, atol=1e-10)
