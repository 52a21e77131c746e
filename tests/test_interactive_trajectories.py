"""Trajectories to be hovered over: which they are, and that text of a corpus is nothing but text."""

import json
import re

import numpy as np
from made_up_results import latent_of
from plotted import hovered, numbers, traces, words

from rs_cae.figures.style import depth_of
from rs_cae.report.interactive import plot_trajectories

EVIL = "<img src=x onerror=alert(1)> %{x} <b>bold</b> </script> & so on"


def test_trajectories_are_those_of_the_samples_and_say_which():
    latent = latent_of(samples=200, bottleneck=3)
    latent["text"], latent["position"] = ("sample", np.arange(200) + 1000), ("sample", np.arange(200) % 7)
    latent["last_token_text"] = "sample", [f"t{number}" for number in range(200)]
    figure = plot_trajectories(latent, individuals=5)
    assert "200 samples (grey: 5)" in words(figure)
    single = traces(figure, "single samples")
    for trace, sample in zip(single, [0, 49, 99, 149, 199], strict=True):
        assert list(trace.x) == numbers(latent["latents"][sample, :, 0])
        assert list(trace.y) == numbers(latent["latents"][sample, :, 1])
        seen = hovered(trace, 3)
        assert seen[:3] == [
            f"text {1000 + sample}",
            f"read at 't{sample}', position {sample % 7}",
            "L01.mlp: layer 1, before the MLP",
        ]
    assert [trace.showlegend for trace in single] == [True, *[False] * 4]
    assert (figure.layout.xaxis.title.text, figure.layout.yaxis.title.text) == ("latent 0", "latent 1")
    assert len(traces(plot_trajectories(latent), "single samples")) == 60


def test_the_mean_trajectory_is_coloured_by_layer_and_has_its_interval():
    latent = latent_of(samples=4)
    mean = latent["mean_trajectory"]
    latent["mean_trajectory_low"], latent["mean_trajectory_high"] = mean - 1, mean + 2
    latent["last_token_text"] = "sample", ["a", "b", "b", "c"]
    figure = plot_trajectories(latent)
    (trace,) = traces(figure, "mean over samples")
    assert list(trace.x) == numbers(mean[:, 0])
    assert list(trace.y) == numbers(mean[:, 1])
    assert list(trace.marker.color) == depth_of(latent).tolist()
    value = float(mean[2, 1])
    assert f"latent 1: {value:.3g} [{value - 1:.3g}, {value + 2:.3g}]" in hovered(trace, 2)
    assert [label for label in trace.text if label] == ["L00.attn", "L02.mlp"]
    (alike,) = traces(figure, "mean of the 50% that are read at 'b'")
    assert list(alike.x) == numbers(latent["latents"][1:3, :, 0].mean("sample"))
    assert "[" not in " ".join(hovered(traces(plot_trajectories(latent_of()), "mean over samples")[0], 2))


def test_the_only_latent_is_over_depth():
    latent = latent_of(bottleneck=1)
    figure = plot_trajectories(latent)
    for trace in figure.data:
        assert list(trace.x) == depth_of(latent).tolist()
    assert list(figure.data[1].y) == numbers(latent["latents"][1])
    assert (figure.layout.xaxis.title.text, figure.layout.yaxis.title.text) == ("layer", "latent 0")


def test_steps_that_are_not_known_are_gaps_and_axes_hold_the_rest():
    latent = latent_of()
    latent["latents"][1, 2] = np.nan
    latent["latents"][0, 0] = [-50, 80]
    figure = plot_trajectories(latent)
    trace = traces(figure, "single samples")[1]
    assert [place for place, value in enumerate(trace.x) if value is None] == [2]
    assert trace.y[2] is None
    assert figure.layout.xaxis.range[0] < -50 < 80 < figure.layout.yaxis.range[1]


def test_text_of_a_corpus_is_shown_as_it_is():
    latent = latent_of()
    latent["last_token_text"] = "sample", [EVIL] * 3 + ["\u202e<i>\n", "x" * 500]
    latent["latent"] = ["<b>0</b>", "latent 1"]
    figure = plot_trajectories(latent)
    raw = json.dumps(figure.to_plotly_json(), default=list)
    assert set(re.findall("<[^>]*>", raw)) == {"<br>", "<extra>", "</extra>"}
    templates = " ".join(trace.hovertemplate for trace in figure.data)
    assert "img" not in templates
    single = traces(figure, "single samples")
    assert single[0].meta[1] == "'&lt;img src=x onerror=alert(1)&gt; %{x'…"
    assert single[3].meta[1] == "'\\u202e&lt;i&gt;\\n'"
    assert len(single[4].meta[1]) < 40
