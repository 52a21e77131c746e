"""The dynamics' functions beside what one would write with scikit-learn and NumPy.

    python scripts/bench/dynamics.py [--quick]

1. KSG mutual information, 1000 samples of random walks, made like a stream, or of independent variables: ours, of all
   threads, ``mutual_info_regression`` pair by pair, and its inner part; for 4096 units x 63 pairs, extrapolated.
2. Rotation counts of 4096 units and 64 sublayers in 1000 draws of each surrogate, and their comparison, in a process of
   its own; the totals are of five, without point_shuffle. Against it a NumPy function for each trace, or for all units
   of a draw, which gets its traces ready-made; extrapolated linearly, from 4096 traces and 10 draws.
3. Transition statistics and mean kinematics of [1000, 64, 4096] numbers in batches of 64, without and with 1000
   resamples, which 256 units get too, against means, variances and lag-one products of the whole array in NumPy.
4. The most memory that a process has resident that streams many samples, less that of one that streams 1000.

Each round runs all ways once; ratios are taken round by round. CPU seconds show where other processes took a core, the
kernel's what fresh memory cost: in 3, most of NumPy's time may be for its 2 GB temporary; ``.._user`` leaves that out.
3 and 4 run on one thread, as NumPy does: OpenMP's threads wait in a loop, for ten times as long on a busy machine.
Peaks are VmHWM: ru_maxrss would count what the parent had resident before the child's exec. Linux only.

Last line: JSON with ksg_speedup, ksg_independent_speedup, ksg_paper_scale_seconds, ksg_largest_difference,
rotations_speedup, rotations_vectorised_speedup, rotations_seconds, rotations_peak_rss_mb, streaming_over_numpy,
streaming_over_numpy_user, streaming_with_bootstrap_over_numpy and streaming_rss_growth_mb.
"""

import argparse
import json
import time
from collections.abc import Iterable
from math import pi

import numpy as np
import torch
from measure import Ways, in_a_fresh_process, paired_times, peak_mb, print_times, ratio
from sklearn.feature_selection import mutual_info_regression
from sklearn.feature_selection._mutual_info import _compute_mi_cc
from torch import Tensor

from rs_cae.dynamics import SURROGATES, Kinematics, mutual_information, rotation_count, surrogate_counts
from rs_cae.dynamics.significance import compare_with_surrogate
from rs_cae.metrics import MeanKinematics, TransitionStatistics, UnitBootstrap

SAMPLES, SUBLAYERS, UNITS, BATCH, DRAWS = 1000, 64, 4096, 64, 1000


def walk(samples: int, width: int) -> Tensor:
    """Random walks over sublayers [samples, sublayers, width]."""
    states = torch.randn(samples, SUBLAYERS, width, generator=torch.Generator().manual_seed(0))
    for sublayer in range(1, SUBLAYERS):
        states[:, sublayer] += states[:, sublayer - 1]
    return states


def pairs_of(states: Tensor) -> np.ndarray:
    """Both variables [pairs, 2, samples] of each transition and unit, over their standard deviation."""
    columns = states.double().permute(1, 2, 0).contiguous().numpy()
    columns = columns / columns.std(axis=-1, keepdims=True)
    return np.stack([columns[:-1], columns[1:]], axis=2).reshape(-1, 2, len(states))


def information_times(kind: str, states: Tensor, peer_units: int, rounds: int) -> dict[str, np.ndarray]:
    """Seconds at paper scale, ours from all units, scikit-learn's from some of them."""
    pairs, share = pairs_of(states[:, :, :: states.shape[2] // peer_units]), peer_units / UNITS
    ways: Ways = {
        "scikit-learn": (lambda: [mutual_info_regression(x[:, None], y, n_neighbors=3) for x, y in pairs], share),
        "its _compute_mi_cc": (lambda: [_compute_mi_cc(x, y, 3) for x, y in pairs], share),
        "ours": (lambda: mutual_information(states), states.shape[2] / UNITS),
    }
    times = paired_times(ways, rounds)
    print_times(f"KSG, {kind}", times, "scikit-learn")
    return times


def largest_difference(states: Tensor) -> float:
    """From scikit-learn, over pairs of variables in which no value repeats: the others get jitter from us."""
    pairs = pairs_of(states)
    compared = np.array([(np.diff(np.sort(pair)) > 0).all() for pair in pairs])
    theirs = np.array([_compute_mi_cc(x, y, 3) for x, y in pairs])
    apart = np.abs(mutual_information(states).numpy().ravel() - theirs)[compared].max()
    print(f"KSG beside _compute_mi_cc on {compared.sum()} of {len(pairs)} pairs: at most {apart:.2g} apart")
    return float(apart)


def information(quick: bool) -> dict[str, float]:
    """The estimator's figures."""
    began = time.perf_counter()
    mutual_information(torch.randn(10, 2, 1))
    print(f"KSG: import and compilation took {time.perf_counter() - began:.1f} s, not counted below")
    units, peer_units, rounds = (64, 2, 2) if quick else (256, 8, 7)
    walks = walk(SAMPLES, units)
    independent = torch.randn(walks.shape, generator=torch.Generator().manual_seed(1))
    of_walks = information_times("random walks", walks, peer_units, rounds)
    of_others = information_times("independent", independent, peer_units, rounds)
    return {
        "ksg_speedup": ratio(of_walks["scikit-learn"], of_walks["ours"]),
        "ksg_independent_speedup": ratio(of_others["scikit-learn"], of_others["ours"]),
        "ksg_paper_scale_seconds": float(np.median(of_walks["ours"][:, 0])),
        "ksg_largest_difference": max(largest_difference(part[:, :, :4]) for part in (walks, independent)),
    }


def numpy_count(trace: np.ndarray) -> np.ndarray:
    """The rotation count along the last axis, as one would write it."""
    angle = np.arctan2(np.diff(np.gradient(trace, axis=-1)), np.diff(trace))
    return -(((np.diff(angle) + pi) % (2 * pi)) - pi).sum(axis=-1) / (2 * pi)


def rotations_here(rounds: int) -> dict[str, float]:
    """Time all surrogates in this process; also the most memory that it had resident."""
    traces = walk(1, UNITS)[0]
    kinds = ["attention", "mlp"] * (SUBLAYERS // 2 - 1) + ["attention"]
    began = time.perf_counter()
    surrogate_counts(traces, kinds, "increment_shuffle", 1)
    print(f"\nRotations: import and compilation took {time.perf_counter() - began:.1f} s, not counted below")
    measured, ready = rotation_count(traces), traces.T.double().contiguous().numpy()
    ways: Ways = {
        "NumPy, trace by trace": (lambda: [numpy_count(trace) for trace in ready], 1 / (5 * DRAWS)),
        "NumPy, draw by draw": (lambda: [numpy_count(ready) for _ in range(10)], 10 / (5 * DRAWS)),
    }
    for name in SURROGATES:
        ways[name] = (lambda name=name: compare_with_surrogate(measured, surrogate_counts(traces, kinds, name)), 1)
    times = paired_times(ways, rounds)
    times["ours, five surrogates"] = five = sum(times[name] for name in SURROGATES if name != "point_shuffle")
    print_times("Rotation counts", times, "NumPy, trace by trace")
    apart = np.abs(numpy_count(ready) - measured.numpy()).max()
    print(f"measured counts are at most {apart:.2g} from NumPy's; peak {peak_mb():.0f} MB")
    return {
        "rotations_speedup": ratio(times["NumPy, trace by trace"], five),
        "rotations_vectorised_speedup": ratio(times["NumPy, draw by draw"], five),
        "rotations_seconds": float(np.median(five[:, 0])),
        "rotations_peak_rss_mb": peak_mb(),
    }


def stream(batches: Iterable[Tensor], width: int, draws: int, units: int) -> None:
    """All metrics over batches of [samples, sublayers, width]; ``units`` of them resampled, if there are draws."""
    statistics, means = TransitionStatistics(SUBLAYERS, width), MeanKinematics(SUBLAYERS, draws)
    resampled = UnitBootstrap(SUBLAYERS, units, draws) if draws else None
    for number, batch in enumerate(batches):
        texts = torch.arange(len(batch)) + number * BATCH
        statistics.update(batch)
        means.update(Kinematics.of(batch), texts)
        if resampled is not None:
            resampled.update(batch[:, :, :: width // units], texts)


def streaming_here(samples: int, rounds: int) -> dict[str, float]:
    """Streaming metrics over NumPy."""
    states = walk(samples, UNITS)
    array = states.numpy()
    lag_one = "nsd,nsd->sd", array[:, :-1], array[:, 1:]
    ways: Ways = {
        "NumPy": (lambda: (array.mean(0, dtype=float), array.var(0, dtype=float), np.einsum(*lag_one)), 1),
        "streaming": (lambda: stream(states.split(BATCH), UNITS, 0, 256), 1),
        "with bootstrap": (lambda: stream(states.split(BATCH), UNITS, DRAWS, 256), 1),
    }
    times = paired_times(ways, rounds)
    print_times(f"Metrics of {list(states.shape)}", times, "NumPy")
    return {
        "streaming_over_numpy": ratio(times["streaming"], times["NumPy"]),
        "streaming_over_numpy_user": ratio(times["streaming"], times["NumPy"][:, :1] - times["NumPy"][:, 2:]),
        "streaming_with_bootstrap_over_numpy": ratio(times["with bootstrap"], times["NumPy"]),
    }


def growth_here(samples: int, width: int, units: int) -> dict[str, float]:
    """Stream made-up samples through one buffer; the most memory that this process had resident."""
    buffer = torch.empty(BATCH, SUBLAYERS, width)
    began = time.perf_counter()
    stream((buffer[: samples - first].normal_() for first in range(0, samples, BATCH)), width, DRAWS, units)
    print(f"{samples:<34}{peak_mb():10.1f}{time.perf_counter() - began:10.1f}")
    return {"peak": peak_mb()}


def growth(quick: bool) -> dict[str, float]:
    """Peak memory of many samples less that of few."""
    many, width, units = ("4000", "256", "64") if quick else ("20000", "1024", "64")
    print(f"\n{f'Streaming [samples, 64, {width}]':34}{'peak MB':>10}{'seconds':>10}")
    few, much = (in_a_fresh_process(__file__, "growth", samples, width, units)["peak"] for samples in ("1000", many))
    return {"streaming_rss_growth_mb": much - few}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer rounds and samples, under a minute")
    parser.add_argument("--part", nargs="+", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.part:
        part = {"rotations": rotations_here, "streaming": streaming_here, "growth": growth_here}[given.part[0]]
        torch.set_num_threads(torch.get_num_threads() if given.part[0] == "rotations" else 1)
        print(json.dumps(part(*map(int, given.part[1:]))))
    else:
        figures = information(given.quick) | in_a_fresh_process(__file__, "rotations", "1" if given.quick else "7")
        figures |= in_a_fresh_process(__file__, "streaming", *(["250", "5"] if given.quick else ["1000", "7"]))
        figures |= growth(given.quick)
        print(json.dumps({name: float(f"{value:.4g}") for name, value in figures.items()}))


if __name__ == "__main__":
    main()
