"""``report`` draws a run's figures again, with those of controls in grey behind."""

import pytest
from workplace import stamps

from rs_cae.cli import main
from rs_cae.figures.catalogue import FIGURES
from rs_cae.report.drawing import control_label
from rs_cae.results import open_dataset


@pytest.fixture(scope="module")
def runs(place):
    """A PCA, which has every figure, and an autoencoder of the untrained twin, tested without figures."""
    folders = {}
    for name, words in {"run": ["--model=PCAModule"], "untrained": ["--data.random_init=true"]}.items():
        folders[name] = place.folder / name
        assert place.fit(folders[name], *words, "--trainer.max_epochs=1") == 0
        assert not list((folders[name] / "figures").glob("*.png"))
    return folders


def drawn(folder):
    return {path.stem: path.read_bytes() for path in (folder / "figures").glob("*.png")}


@pytest.fixture
def few_figures(monkeypatch):
    """Draws those of single curves, and one that shows no control; all of them take half a minute."""
    names = ("correlation", "cosine_similarity", "velocity", "cumulative_turning", "portraits")
    monkeypatch.setattr("rs_cae.report.drawing.drawable", lambda _: {name: FIGURES[name] for name in names})
    return set(names)


@pytest.mark.slow
def test_every_figure_is_drawn(runs, capsys):
    assert main(["report", str(runs["run"]), "--control", str(runs["untrained"])]) == 0
    assert drawn(runs["run"]).keys() == FIGURES.keys()
    assert f"{len(FIGURES)} figures" in capsys.readouterr().out


def test_a_control_changes_the_figures_that_show_it(runs, few_figures, capsys):
    assert main(["report", str(runs["run"])]) == 0
    printed = capsys.readouterr().out
    assert f"{len(few_figures)} figures" in printed
    assert f"report: {runs['run'] / 'report.html'}" in printed
    alone = drawn(runs["run"])
    assert alone.keys() == few_figures
    assert main(["report", str(runs["run"]), "--control", str(runs["untrained"])]) == 0
    beside = drawn(runs["run"])
    assert {name for name in alone if alone[name] != beside[name]} == few_figures - {"portraits"}
    assert main(["report", str(runs["run"])]) == 0
    assert drawn(runs["run"]) == alone


@pytest.mark.slow
def test_nothing_but_figures_and_the_page_is_written(runs, few_figures):
    def rest():
        return {
            name: stamp for name, stamp in stamps(runs["run"]).items() if not name.startswith(("figures/", "report."))
        }

    before = rest()
    assert main(["report", str(runs["run"]), "--control", str(runs["untrained"])]) == 0
    assert rest() == before
    assert "untrained (its null)" in (runs["run"] / "report.html").read_text()


def test_a_control_is_called_what_it_is(runs):
    attributes = {name: open_dataset(folder, "dynamics").attrs for name, folder in runs.items()}
    assert control_label(attributes["untrained"]) == "untrained"
    assert control_label(attributes["run"]) == ""
    assert control_label({"random_init": 1, "shuffle_tokens": 1}) == "untrained, shuffled tokens"
