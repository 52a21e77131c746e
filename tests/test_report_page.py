"""``report.html``: what stands in it, that nothing in it can act, and what a browser makes of it."""

import json
import re
from html.parser import HTMLParser

import pytest
import xarray as xr
import yaml
from browser import EXECUTABLE, Browser
from made_up_results import both, perturbation_of

from rs_cae.figures.catalogue import FIGURES
from rs_cae.report import ShownRun, write_report
from rs_cae.report.headlines import FIRST
from rs_cae.report.panels import sections

EVIL = "<img src=x onerror=\"window.caught='yes'\"></script><b>&amp; `x` $$ $\\bin$"
ORIGIN = {
    "language_model": f"model {EVIL}",
    "reducer": "PCAModule",
    "test_corpus": f"corpus {EVIL}",
    "random_init": 1,
    "seed": 3,
    "git_commit": "abc123",
    "versions": json.dumps({"torch": "9.9"}),
    "settings": json.dumps({"seed_everything": 3, "data": {"model": EVIL}}),
}

DRAWN = ("portraits", "rotations_by_unit", "mean_trajectory", "explained_variance", "perturbation_field")
"""Those with a plot, and one that has none; all are drawn in a slow test."""


def line(value, sentence="", null=None):
    return {"value": value, "unit": "1", "low": 0.1, "high": 0.9, "null": null, "p": 0.04, "sentence": sentence}


HEADLINES = {
    "recovery_first_injection": line(0.25, f"Recovery {EVIL}: 0.25; null 0.5: less."),
    "explained_variance_pooled": line(0.5, "Explained variance: 0.5; knowing the depth alone 0: tells apart.", 0.0),
    "of_nothing_known": line(None),
}


@pytest.fixture(scope="module")
def datasets():
    made = both(layers=3) | {"perturbation": perturbation_of()}
    latent = made["latent"]
    texts = latent["last_token_text"].copy(data=[EVIL] * latent.sizes["sample"])
    made["latent"] = latent.assign(last_token_text=texts)
    return {name: dataset.assign_attrs(ORIGIN) for name, dataset in made.items()}


@pytest.fixture(scope="module")
def written(datasets, tmp_path_factory):
    folder = tmp_path_factory.mktemp("shown")
    beside = ShownRun(f"twin {EVIL}", datasets, {"explained_variance_pooled": line(0.125, null=0.0625)})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("rs_cae.report.drawing.drawable", lambda _: {name: FIGURES[name] for name in DRAWN})
        names = write_report(folder, datasets, HEADLINES, [beside])
    return folder, names, (folder / "report.html").read_text()


class Elements(HTMLParser):
    """Every start tag of a page, and its text outside scripts and styles."""

    def __init__(self, page):
        super().__init__()
        self.tags, self.text, self._inside = [], "", ""
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self._inside = tag

    def handle_endtag(self, tag):
        self._inside = ""

    def handle_data(self, data):
        if self._inside not in ("script", "style"):
            self.text += data


def test_every_figure_of_the_catalogue_has_one_place_on_the_page(datasets):
    shown = [panel.figure for section in sections(datasets, FIGURES) for panel in section.panels]
    assert sorted(shown) == sorted(FIGURES)


def test_figures_are_files_in_two_formats_and_inside_the_page(written):
    folder, names, page = written
    assert {path.name for path in (folder / "figures").iterdir()} == {
        f"{name}.{ending}" for name in names for ending in ("png", "pdf")
    }
    images = [attributes for tag, attributes in Elements(page).tags if tag == "img"]
    assert len(images) == len(names) == len(DRAWN)
    assert all(image["src"].startswith("data:image/png;base64,") and image["alt"] for image in images)
    assert {attributes["id"] for tag, attributes in Elements(page).tags if tag == "figure"} == set(names)


def test_the_first_sentences_come_in_the_papers_order_and_all_numbers_in_the_table(written):
    text = re.sub(r"\s+", " ", Elements(written[2]).text)
    assert text.index("Explained variance: 0.5; knowing the depth alone 0") < text.index("Recovery <img")
    assert "explained variance pooled0.5 [0.1, 0.9]00.040.125 (0.0625)" in text
    assert "of nothing knownnot known" in text
    assert FIRST[0] == "explained_variance_pooled"


def test_it_says_where_it_comes_from_and_how_to_do_it_again(written, datasets):
    text = Elements(written[2]).text
    for word in ("abc123", "9.9", "untrained weights", "python -m rs_cae fit --config config.yaml"):
        assert word in text, word
    options = text[text.index("seed_everything: 3") :]
    assert yaml.safe_load(options[: options.index("The numbers behind")]) == json.loads(ORIGIN["settings"])
    study = datasets["perturbation"].assign_attrs(
        settings=json.dumps({"perturb": {"prompt": "a 'b'", "layers": [0, 2]}})
    )
    from rs_cae.report.settings import again

    assert again({"perturbation": study}) == "python -m rs_cae perturb --prompt 'a '\"'\"'b'\"'\"'' --layers 0 2"


def test_nothing_from_results_becomes_an_element_or_ends_a_script(written):
    elements = Elements(written[2])
    assert not [
        attributes for tag, attributes in elements.tags if "onerror" in attributes or attributes.get("src") == "x"
    ]
    assert len([tag for tag, _ in elements.tags if tag == "script"]) == written[2].count("</script>") == 2
    assert elements.text.count("<img src=x onerror=") >= 4  # model, corpus, sentence, control


def test_nothing_is_asked_of_the_network_by_the_page_itself(written):
    for tag, attributes in Elements(written[2]).tags:
        for name in ("src", "href"):
            assert attributes.get(name, "#").startswith(("#", "data:")), (tag, attributes)
    assert "default-src 'none'" in written[2]
    assert '"showSendToCloud": false' in written[2]  # plotly's default is a button that uploads the data


def test_the_same_results_give_the_same_bytes(datasets, tmp_path):
    alone = {"latent": datasets["latent"][["latents", "last_token_text", "mean_trajectory"]]}
    for name in ("once", "twice"):
        (tmp_path / name).mkdir()
        write_report(tmp_path / name, alone, HEADLINES)
    once, twice = (
        {path.name: path.read_bytes() for path in (tmp_path / name / "figures").iterdir()} for name in ("once", "twice")
    )
    assert once == twice


def test_what_is_left_out_is_left_out_and_no_results_at_all_are_no_error(tmp_path):
    assert write_report(tmp_path, {"latent": xr.Dataset()}, {}) == []
    page = (tmp_path / "report.html").read_text()
    assert "<figure" not in page
    assert "Plotly" not in page


@pytest.mark.skipif(EXECUTABLE is None, reason="needs chromium")
def test_a_browser_shows_all_of_it_on_wide_and_narrow_screens_and_leaves_the_file_alone(written, tmp_path):
    visible = """[...document.querySelectorAll("figure")].filter(figure => {
        const image = figure.querySelector("img"), plot = figure.querySelector(".plot");
        return image.complete && image.naturalWidth > 0 && image.getBoundingClientRect().width > 150
            && (!plot || plot.querySelectorAll("svg.main-svg").length > 0);
    }).length"""
    with Browser(tmp_path / "profile") as browser:
        for width, dark in ((1280, False), (400, True)):
            browser.look(written[0] / "report.html", width, dark)
            assert browser.evaluate(visible) == len(written[1])
            assert browser.evaluate("document.documentElement.scrollWidth") <= width
        assert browser.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(22, 23, 26)"
        assert browser.evaluate("document.querySelectorAll('.plot').length") >= 3
        assert browser.evaluate("window.caught === undefined")
        assert browser.complaints == []
        page = (written[0] / "report.html").resolve().as_uri()
        assert {address for address in browser.requests if not address.startswith("data:")} == {page}


@pytest.mark.skipif(EXECUTABLE is None, reason="needs chromium")
def test_the_browser_would_notice_complaints_and_requests(tmp_path):
    page = tmp_path / "bad.html"
    page.write_text("<script>console.error('no'); undefinedName()</script><img src='file:///nowhere.png'>")
    with Browser(tmp_path / "profile") as browser:
        browser.look(page, 800)
        assert any("nowhere" in address for address in browser.requests)
        assert len(browser.complaints) >= 2
