"""What each script of the benchmark compares, and what its figures mean; ``write_benchmarks.py`` puts it into words.

A script ends with one line of JSON, its figures by name. Beside them that line may hold ``notes``, sentences that a
reader needs; ``stages``, rows of a table of its own; and ``reduced``, true where goals do not apply, as less was run
than they are about. Figures that are missing must say here what they need; a script without any says why in its notes.
"""

from typing import Literal, NamedTuple


class Goal(NamedTuple):
    """A bound that was set before anything was measured."""

    sense: Literal["at least", "at most"]
    bound: float

    def met(self, value: float) -> bool:
        """Whether a value keeps to it."""
        return value >= self.bound if self.sense == "at least" else value <= self.bound


class Figure(NamedTuple):
    """A figure of a script.

    Attributes:
        meaning: What it is.
        unit: Of it; ``times`` for a ratio.
        goal: If there is one.
        needs: Without what it is not measured; empty if it always is.
    """

    meaning: str
    unit: str = "times"
    goal: Goal | None = None
    needs: str = ""


class Bench(NamedTuple):
    """A script.

    Attributes:
        compares: A sentence.
        figures: By name.
    """

    compares: str
    figures: dict[str, Figure]


def least(bound: float) -> Goal:
    return Goal("at least", bound)


def most(bound: float) -> Goal:
    return Goal("at most", bound)


BENCHES = {
    "capture": Bench(
        "Capture beside the bare forward pass of the same random Llama, batches of like lengths beside batches in the "
        "order of arrival, and trajectories read back from a cache beside a plain copy in memory.",
        {
            "capture_over_bare": Figure("time of capture over that of the bare pass without the head"),
            "hidden_states_over_bare": Figure("the same of Transformers' `output_hidden_states`, half of the states"),
            "ragged_speedup": Figure("texts a second in batches of like lengths over those in order of arrival"),
            "live_rss_growth_mb": Figure("growth of resident memory over many live batches", "MB"),
            "cached_gb_per_s": Figure("random batches read from a cache in the page cache, one core", "GB/s"),
            "cached_over_copy": Figure("that rate over the rate of copying such a batch in memory"),
        },
    ),
    "peers_capture": Bench(
        "Capture beside other libraries that read the residual stream, each the fastest way its documentation gives, "
        "on one model, in one process, in turn; times are over that of the bare pass.",
        {
            "ours_over_bare": Figure("capture"),
            "hidden_states_over_bare": Figure("Transformers' `output_hidden_states`, half of the states"),
            "transformer_bridge_over_bare": Figure("TransformerLens's bridge", needs="transformer-lens"),
            "hooked_transformer_over_bare": Figure("TransformerLens's own transformer", needs="transformer-lens"),
            "nnsight_over_bare": Figure("nnsight", needs="nnsight"),
        },
    ),
    "layerwise": Bench(
        "Capture a layer at a time from weights on the disk, as for models larger than memory, beside the size of the "
        "weights.",
        {
            "rss_over_weights": Figure("most resident memory over the size of the weights"),
            "bytes_read_over_weights": Figure("bytes of tensors read over the size of the weights"),
            "disk_over_weights": Figure("bytes that the kernel fetched from the disk over the size of the weights"),
        },
    ),
    "dynamics": Bench(
        "Functions of the dynamics beside what one would write with scikit-learn and NumPy, at the paper's scale: 4096 "
        "units, 64 sublayers, 1000 texts, 1000 draws of each surrogate.",
        {
            "ksg_speedup": Figure("scikit-learn's mutual information over ours, random walks"),
            "ksg_independent_speedup": Figure("the same of independent variables"),
            "ksg_paper_scale_seconds": Figure("mutual information of all units, extrapolated from some", "s"),
            "ksg_largest_difference": Figure("largest difference from scikit-learn's estimate", "nat"),
            "rotations_speedup": Figure("NumPy trace by trace over ours, rotation counts of five surrogates"),
            "rotations_vectorised_speedup": Figure("NumPy on all units of a draw over ours"),
            "rotations_seconds": Figure("rotation counts of five surrogates", "s"),
            "rotations_peak_rss_mb": Figure("most resident memory of a process that counts them", "MB"),
            "streaming_over_numpy": Figure("transition statistics in batches over NumPy on the whole array"),
            "streaming_over_numpy_user": Figure("the same, without what the kernel took for NumPy's memory"),
            "streaming_with_bootstrap_over_numpy": Figure("the same with 1000 resamples over NumPy without any"),
            "streaming_rss_growth_mb": Figure("memory of a process with many samples less that with 1000", "MB"),
        },
    ),
    "reducers": Bench(
        "Training of autoencoders and fitting of PCA beside loops in plain PyTorch and beside scikit-learn.",
        {
            "per_sublayer_speedup_128": Figure(
                "24 autoencoders of width 128, one after the other over as one", goal=least(8)
            ),
            "per_sublayer_speedup_128_fused": Figure("the same, the loop with PyTorch's fused AdamW too"),
            "per_sublayer_speedup_512": Figure(
                "32 autoencoders of width 512, one after the other over as one", goal=least(2.5)
            ),
            "per_sublayer_speedup_512_fused": Figure("the same, the loop with PyTorch's fused AdamW too"),
            "per_sublayer_step_seconds_4096": Figure("a step of 64 autoencoders of width 4096", "s", needs="a GPU"),
            "pca_speedup_incremental": Figure("scikit-learn's IncrementalPCA over ours, [16000, 1024]", goal=least(10)),
            "pca_over_covariance_eigh": Figure("ours over scikit-learn's PCA by `covariance_eigh`", goal=most(1.3)),
            "pca_largest_difference": Figure("largest difference of an entry of a component from scikit-learn's", "1"),
            "pca_rss_growth_mb": Figure("memory of a process that fits 64,000 rows less that with 16,000", "MB"),
            "cae_step_over_bare": Figure("a training step over that of a bare PyTorch loop", goal=most(1.15)),
            "lightning_over_bare": Figure("the same by Lightning's trainer, with its hooks and its logging"),
        },
    ),
    "teleport": Bench(
        "Teleports with the prompt's prefix kept beside full forward passes of copies of the prompt with a hook.",
        {
            "teleport_speedup_24": Figure("16 layers of width 512, prompt of 24 tokens", goal=least(20)),
            "teleport_speedup_100": Figure("32 layers of width 256, prompt of 100 tokens", goal=least(60)),
            "teleport_max_error": Figure("largest difference of a state, relative to its norm", "1"),
            "teleport_peak_growth_mb": Figure("memory of a process with 400 points less that with 100", "MB"),
        },
    ),
    "demo": Bench(
        "What `make demo` takes once everything is installed: fit, then test with figures and report, with nothing "
        "cached.",
        {
            "demo_seconds": Figure("both commands", "s", most(180)),
            "fit_seconds": Figure("`fit --config configs/demo.yaml`", "s"),
            "test_seconds": Figure("`test`", "s"),
        },
    ),
    "llama_8b": Bench(
        "The paper's run, stage by stage, on a random model of Llama 3.1 8B's shape, from weights in memory; speeds "
        "beside the fastest matrix product of the same run.",
        {
            "figures_1_to_4_seconds": Figure("all stages behind the paper's Figures 1 to 4", "s", most(60)),
            "capture_tokens_per_second": Figure("tokens a second in capture, without padding", "1/s"),
            "capture_share_of_ceiling": Figure("arithmetic of capture a second over that of the matrix product", "1"),
            "teleport_tokens_per_second": Figure("tokens a second in teleports, most of them single ones", "1/s"),
            "teleport_share_of_ceiling": Figure("their arithmetic a second over that of the matrix product", "1"),
            "ceiling_tflops": Figure("the matrix product", "TFLOP/s"),
            "peak_gb": Figure("most memory in any stage: the GPU's, or without one resident", "GB"),
        },
    ),
}
"""By the script's name, in the order of the page."""
