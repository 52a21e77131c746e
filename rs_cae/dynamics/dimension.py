"""How many dimensions the states at one sublayer fill: by their covariance, and by their nearest neighbours.

The covariance counts directions: a circle fills two, a curve that winds through the whole space all of them. The
nearest neighbours count dimensions of what the states lie on: a curve has one, however it winds.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

LEAST_STATES = 20
"""Distinct states without which nearest neighbours say nothing; of halves, half as many."""

KEPT = 0.9
"""Share of the ratios of distances behind the line of ``two_nn``, the smallest ones."""

CANCELLATION = 1e-6
"""Squared distances below this share of the squared norms are computed again without a cancellation."""

ENTRIES_AT_ONCE = 2**22
"""Of the differences that are held at a time for that."""


class Dimensions(NamedTuple):
    """What ``intrinsic_dimensions`` gives, in float64.

    Attributes:
        covariance_dimension: [1 + halves], of all states first.
        two_nn: [1 + halves], likewise.
        two_nn_null: [], what ``two_nn`` is of Gaussian states with the covariance of these.
        distinct: States that are not equal to an earlier one.
    """

    covariance_dimension: Tensor
    two_nn: Tensor
    two_nn_null: Tensor
    distinct: int


def intrinsic_dimensions(
    states: Tensor, halves: Sequence[Tensor] = (), null_draws: int = 4, seed: int = 0
) -> Dimensions:
    """Both dimensions of the states, of parts of them, and the null of the second.

    Products of states are computed once, whatever the number of parts.

    Args:
        states: [samples, width].
        halves: Rows of each part.
        null_draws: Of Gaussian states, whose ``two_nn`` is averaged.
        seed: Of these draws; another for each sublayer, lest the mean null of several be as noisy as that of one.
    """
    distinct, place = states.unique(dim=0, return_inverse=True)
    centred = distinct.double() - distinct.double().mean(dim=0)
    products = centred @ centred.T
    squares = _squared_distances(centred, products)
    parts = [torch.arange(len(states)), *halves]
    chosen = torch.zeros(len(parts), len(states), dtype=torch.float64, device=states.device)
    for row, part in zip(chosen, parts, strict=True):
        row[part.to(states.device)] = 1
    by_neighbours = [_two_nn(squares, LEAST_STATES)]
    for part in halves:
        rows = place[part.to(place.device)].unique()
        by_neighbours.append(_two_nn(squares[rows][:, rows], LEAST_STATES // 2))
    null = squares.new_full((), torch.nan)
    if len(distinct) >= LEAST_STATES:
        spread = centred.T @ centred if centred.shape[1] < len(centred) else products
        null = _two_nn_of_gaussians(spread, len(distinct), null_draws, seed)
    by_covariance = _covariance_dimensions(squares[place][:, place], chosen)
    return Dimensions(by_covariance, torch.stack(by_neighbours), null, len(distinct))


def covariance_dimension(states: Tensor) -> Tensor:
    """Participation ratio of the spectrum of the covariance C: (sum lambda)^2 / sum lambda^2 = tr(C)^2 / tr(C^2).

    From unbiased estimates of both traces, in which no state meets itself. With d the squared distance of two states,

        tr(C)^2 = mean d_ij d_kl / 4,  tr(C^2) = (mean d_ij^2 + mean d_ij d_kl - 2 mean d_ij d_ik) / 4

    over distinct i, j, k, l. The ratio of the sample covariance's own traces is too low where samples are few: of 200
    isotropic Gaussian states in 1024 dimensions it is 166, this one 1023. Estimates may thus lie above the width or
    below 1, by chance. Isotropic noise has the width, however few samples there are.

    Source: Gao et al. (2017) for the ratio; Chen, Zhang and Zhong (2010) for such estimates; the form in distances is
    ours.

    Args:
        states: [samples, width].

    Returns:
        [] in float64; NaN with fewer than four samples, or if all are equal.
    """
    centred = states.double() - states.double().mean(dim=0)
    squares = _squared_distances(centred, centred @ centred.T)
    return _covariance_dimensions(squares, squares.new_ones(1, len(squares)))[0]


def two_nn(states: Tensor) -> Tensor:
    """Dimension by the ratio of the distances to the second and the first nearest neighbour.

    If density hardly varies over such distances, log(r2 / r1) is exponentially distributed with rate d, the dimension.
    It is the slope of -log(1 - F) over log(r2 / r1), a line through the origin, F being the empirical distribution,
    without the largest tenth. By simulation (100 and 1000 samples of circles, rolls, tori, spheres, Gaussians) it is as
    precise as maximum likelihood (d = 2: within 0.08 at 1000 samples).

    Nearly equal states lower it: with 2 % of them it finds 8.8 in a Gaussian of 10, maximum likelihood 1.6. Above 5 %,
    it measures them.

    Neighbours are never near in many dimensions: of 1000 Gaussian states of 5, 10 and 20 dimensions it finds 5.1, 9.6
    and 16.5. States that are equal to another are left out. Source: Facco et al. (2017).

    Args:
        states: [samples, width].

    Returns:
        [] in float64; NaN with fewer than 20 distinct states.
    """
    distinct = states.unique(dim=0).double()
    centred = distinct - distinct.mean(dim=0)
    return _two_nn(_squared_distances(centred, centred @ centred.T), LEAST_STATES)


def two_nn_of_gaussians(states: Tensor, draws: int = 4, seed: int = 0) -> Tensor:
    """What ``two_nn`` would be were the states Gaussian, of the same covariance and number.

    The centred states are rotated among samples, O X with O a random rotation that keeps the mean: the sample
    covariance stays the same, and if the states are Gaussian, so does the distribution of everything else. A draw from
    a Gaussian with the sample covariance would not do: its own sample covariance is more uneven still, and its
    ``two_nn`` lower (57 for 150, of 200 isotropic states in 1024 dimensions). Source: Langsrud (2005), of such tests.

    Args:
        states: [samples, width].
        draws: That are averaged.
        seed: Of the rotations.

    Returns:
        [] in float64; NaN with fewer than 20 distinct states.
    """
    return intrinsic_dimensions(states, null_draws=draws, seed=seed).two_nn_null


def _squared_distances(centred: Tensor, products: Tensor) -> Tensor:
    """[samples, samples] of states [samples, width] with these products; to nine digits, however near they are."""
    norms = products.diagonal()
    around = norms[:, None] + norms
    squares = (around - 2 * products).fill_diagonal_(0)
    pairs = (squares < CANCELLATION * around).triu(diagonal=1).nonzero()
    for some in pairs.split(max(1, ENTRIES_AT_ONCE // centred.shape[1])):
        first, second = some.unbind(dim=1)
        exact = (centred[first] - centred[second]).square().sum(dim=1)
        squares[first, second] = exact
        squares[second, first] = exact
    return squares


def _covariance_dimensions(squares: Tensor, chosen: Tensor) -> Tensor:
    """``covariance_dimension`` of parts of the samples.

    Args:
        squares: [samples, samples], squared distances.
        chosen: [parts, samples], 1 for those of the part, else 0.

    Returns:
        [parts].
    """
    count = chosen.sum(dim=1)
    sums = (chosen @ squares) * chosen
    total, of_rows = sums.sum(dim=1), sums.square().sum(dim=1)
    of_pairs = ((chosen @ squares.square()) * chosen).sum(dim=1)
    pairs = count * (count - 1)
    same = of_pairs / pairs
    joined = (of_rows - of_pairs) / (pairs * (count - 2))
    apart = (total.square() - 4 * of_rows + 2 * of_pairs) / (pairs * (count - 2) * (count - 3))
    spread = same + apart - 2 * joined
    return torch.where(spread > 0, apart / spread, torch.nan)  # with fewer than four, both are NaN


def _two_nn(squares: Tensor, least: int) -> Tensor:
    """``two_nn`` from squared distances [samples, samples], none of them 0 but the diagonal; NaN with fewer samples."""
    if len(squares) < least:
        return squares.new_full((), torch.nan)
    others = squares.clone().fill_diagonal_(torch.inf)
    nearest = others.topk(2, largest=False).values
    ratios = ((nearest[:, 1] / nearest[:, 0]).log() / 2).sort().values[: int(KEPT * len(squares))]
    share = torch.arange(1, len(ratios) + 1, dtype=torch.float64, device=squares.device) / len(squares)
    return (ratios * -torch.log1p(-share)).sum() / ratios.square().sum()


def _two_nn_of_gaussians(spread: Tensor, samples: int, draws: int, seed: int) -> Tensor:
    """Of states whose centred products over samples or over units these are."""
    rank = min(len(spread), samples - 1)
    deviations = torch.linalg.eigvalsh(spread)[-rank:].clamp(min=0).sqrt()
    found = []
    generator = torch.Generator().manual_seed(seed)
    for _ in range(draws):
        noise = torch.randn(samples, rank, generator=generator, dtype=torch.float64).to(spread.device)
        rotated = torch.linalg.qr(noise - noise.mean(dim=0)).Q * deviations
        found.append(_two_nn(_squared_distances(rotated, rotated @ rotated.T), LEAST_STATES))
    return torch.stack(found).mean()
