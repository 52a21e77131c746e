"""The field of arrows to be hovered over: where arrows, paths and fixed points are, and what buttons change."""

import numpy as np
from made_up_perturbations import perturbation_of
from plotted import hovered, numbers, traces, words

from rs_cae.figures.injections import injections
from rs_cae.figures.perturbation import length_factor
from rs_cae.report.interactive import plot_perturbation_field


def views(figure):
    """The numbers of visible traces, by button."""
    (menu,) = (menu for menu in figure.layout.updatemenus if menu.type == "buttons")
    return {button.label: np.flatnonzero(button.args[0]["visible"]).tolist() for button in menu.buttons}


def segments(found):
    """Starts and ends of all arrows, in any order."""
    ends = [np.array([trace.x, trace.y], dtype=float).T.reshape(-1, 3, 2) for trace in found if trace.x]
    joined = np.concatenate(ends)
    assert np.isnan(joined[:, 2]).all()
    return joined[:, :2][np.lexsort(joined[:, 0].T)]


def test_arrows_begin_and_end_where_the_results_say_in_both_fields():
    results = perturbation_of(latents=3, side=5)
    results["displacement"], results["displacement_uncorrected"] = (
        scale * results[name] for scale, name in ((4, "displacement"), (7, "displacement_uncorrected"))
    )
    figure = plot_perturbation_field(results)
    assert list(views(figure)) == ["the network", "uncorrected (null)", "paths"]
    shown = {trace for trace in range(len(figure.data)) if figure.data[trace].visible}
    assert shown == set(views(figure)["the network"])
    first = injections(results, 12)[0]
    factor = length_factor(first)
    assert factor != 1
    assert f"arrows drawn at {factor:g} of their length" in words(figure)
    for view, variable in (("the network", "displacement"), ("uncorrected (null)", "displacement_uncorrected")):
        field = results[variable].values[0, :, :2]
        found = [figure.data[trace] for trace in views(figure)[view]]
        arrows = [trace for trace in found if trace.marker.symbol == "arrow"]
        wanted = np.stack([first.starts, first.starts + factor * field], axis=1)
        np.testing.assert_allclose(segments(arrows), wanted[np.lexsort(first.starts.T)], rtol=1e-3, atol=1e-4)
        lengths = [np.diff(segments([trace]), axis=1) / factor for trace in arrows if trace.x]
        longest = [np.linalg.norm(of, axis=-1).max() for of in lengths]
        assert longest == sorted(longest)
        assert {trace.marker.angleref for trace in arrows} == {"previous"}


def starts_in(figure, view):
    (found,) = (
        figure.data[trace]
        for trace in views(figure)[view]
        if (figure.data[trace].hovertemplate or "").startswith("from")
    )
    return found


def test_a_start_says_where_the_state_goes_and_what_is_recovered():
    results = perturbation_of()
    along, numbered = ("injection", "grid"), np.arange(48.0).reshape(3, 16)
    for place, name in enumerate(("recovery", "recovery_low", "recovery_high", "recovery_random")):
        results[name] = along, numbered + place / 8
    results["recovery"][0, 5] = np.nan
    figure = plot_perturbation_field(results)
    trace = starts_in(figure, "the network")
    start, moved = results["trajectories"].values[0, 6, 0], results["displacement"].values[0, 6]
    assert (trace.x[6], trace.y[6]) == tuple(numbers(start))
    assert hovered(trace, 6) == [
        f"from {start[0]:.3g}, {start[1]:.3g}",
        f"to {(start + moved)[0]:.3g}, {(start + moved)[1]:.3g}",
        f"displacement {moved[0]:.3g}, {moved[1]:.3g} (length {np.hypot(*moved):.3g})",
        "recovery, full width: 6 [6.12, 6.25]",
        "random, as large: 6.38",
    ]
    assert "recovery, full width: unknown" in " ".join(hovered(trace, 5))
    kept = results["displacement_uncorrected"].values[0, 6]
    seen = hovered(starts_in(figure, "uncorrected (null)"), 6)
    assert len(seen) == 3
    assert f"displacement {kept[0]:.3g}, {kept[1]:.3g}" in seen[2]


def test_paths_go_from_sublayer_to_sublayer_as_far_as_they_were_followed():
    results = perturbation_of()
    (last,) = (
        button
        for menu in plot_perturbation_field(results).layout.updatemenus
        if menu.type == "dropdown"
        for button in menu.buttons[1:2]
    )
    figure = plot_perturbation_field(results.isel(injection=[1]))
    (trace,) = (trace for trace in figure.data if (trace.hovertemplate or "").startswith("after"))
    way = results["trajectories"].values[1, :, :4]
    assert len(trace.x) == 16 * 5
    assert list(trace.x[5:9]) == numbers(way[1, :, 0])
    assert list(trace.y[5:9]) == numbers(way[1, :, 1])
    assert trace.x[4] is trace.x[9] is None
    assert hovered(trace, 7)[0].startswith("after 2 sublayers")
    assert list(trace.x) in [list(x or []) for x in last.args[0]["x"]]


def test_a_list_of_injections_changes_all_that_differs():
    results = perturbation_of()
    figure = plot_perturbation_field(results)
    (menu,) = (menu for menu in figure.layout.updatemenus if menu.type == "dropdown")
    assert [button.label for button in menu.buttons] == [f"before L0{layer} attention" for layer in range(3)]
    star = next(number for number, trace in enumerate(figure.data) if trace.name == "control at the injection")
    for number, button in enumerate(menu.buttons):
        change, layout, which = button.args
        assert {len(values) for values in change.values()} == {len(which)}
        place = results["control"].values[2 * number]
        assert [change["x"][which.index(star)], change["y"][which.index(star)]] == [[v] for v in numbers(place)]
        assert f"{[4, 3, 1][number]} sublayer" in layout["annotations[0].text"]
    (end,) = traces(figure, "control at the last step")
    assert [*end.x, *end.y] == numbers(results["control"].values[4])
    untouched = [trace.name for number, trace in enumerate(figure.data) if number not in menu.buttons[0].args[2]]
    assert untouched == [None, "control"]
    for trace, place in zip(menu.buttons[0].args[2], range(99), strict=False):
        assert list(figure.data[trace].x) == list(menu.buttons[0].args[0]["x"][place])
    assert [menu.type for menu in plot_perturbation_field(perturbation_of(at=[2])).layout.updatemenus] == ["buttons"]
    assert "before L01 attention" in words(plot_perturbation_field(perturbation_of(at=[2])))


def test_fixed_points_that_persist_are_there_with_what_is_known_of_them():
    results = perturbation_of(at=[0])
    results["fixed_point_prompt_share"] = "fixed_point", [0.5, 0.6, 0.7, 0.8, 0.9]
    figure = plot_perturbation_field(results)
    node, null_node = traces(figure, "fixed point: stable node")
    assert (list(node.x), list(node.y), list(null_node.x)) == ([-1, 1], [0, 0], [0.2])
    assert hovered(node, 1) == [
        "fixed point: stable node",
        "at 1, 0",
        "in 97.0% of resamples of the prompts",
        "in 60.0% of single prompts",
    ]
    assert traces(figure, "fixed point: saddle")[0].marker.symbol == "x"
    assert not traces(figure, "fixed point: unstable focus")
    assert "no fixed points: that takes 50 prompts" in words(plot_perturbation_field(perturbation_of(prompts=3)))


def test_without_a_null_there_is_no_button_for_it():
    bare = perturbation_of().drop_vars("displacement_uncorrected")
    assert list(views(plot_perturbation_field(bare))) == ["the network", "paths"]


def test_points_that_are_not_known_and_those_between_few_arrows_are_left_out():
    results = perturbation_of(side=15, at=[0])
    results["displacement"][0, 0] = np.nan
    trace = starts_in(plot_perturbation_field(results), "the network")
    starts = results["trajectories"].values[0, :, 0].reshape(15, 15, 2)[::2, ::2].reshape(-1, 2)
    assert list(trace.x) == numbers(starts[1:, 0])
    ended = plot_perturbation_field(perturbation_of(at=[0, 5]))
    (menu,) = (menu for menu in ended.layout.updatemenus if menu.type == "dropdown")
    change, _, which = menu.buttons[1].args
    known = [trace.name for trace, x in zip(which, change["x"], strict=True) if x for trace in [ended.data[trace]]]
    assert known == [None, "control at the injection"]


def test_the_field_over_one_latent_is_a_curve_beside_its_null():
    results = perturbation_of(latents=1)
    for name in ("trajectories", "displacement", "displacement_low", "displacement_high"):
        results[name] = results[name][:, ::-1]
    figure = plot_perturbation_field(results)
    (curve,) = traces(figure, "what the network does")
    starts, moved = (results[name].values for name in ("trajectories", "displacement"))
    assert list(curve.x) == numbers(starts[0, ::-1, 0, 0])
    assert list(curve.y) == numbers(moved[0, ::-1, 0])
    assert hovered(curve, 0)[0] == f"from {starts[0, -1, 0, 0]:.3g}"
    (null,) = traces(figure, "uncorrected: only carried along")
    assert list(null.y) == numbers(results["displacement_uncorrected"].values[0, ::-1, 0])
    (landing,) = traces(figure, "lands where the control does")
    np.testing.assert_allclose(np.add(landing.x, landing.y), results["control"].values[4, 0], rtol=1e-3)
    assert [list(point.x) for point in traces(figure, "fixed point: unstable node")] == [[0]]
    (band,) = (trace for trace in figure.data if trace.fill == "toself")
    assert list(band.y) == numbers(np.concatenate([moved[0, ::-1, 0] + 0.1, moved[0, :, 0] - 0.1]))
