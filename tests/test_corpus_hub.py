"""Corpora of the hub: from a copy on the disk, from the network, or one line that says what to download."""

import datasets
import huggingface_hub
import pytest
from corpora import HUB_ID, downloaded, problem, spec, write_dataset
from huggingface_hub.utils import httpx

from rs_cae.errors import InputError
from rs_cae.stream import corpus_readers
from rs_cae.stream.corpus_readers import WIKITEXT_REVISION

pytestmark = pytest.mark.usefixtures("hub")


@pytest.mark.parametrize("place", ["./nowhere", "/no/where", "no/such/folder", "a b/c"])
def test_a_folder_that_is_missing_is_not_sought_on_the_hub(place):
    said = problem(f"hf:{place}::train:text")
    assert said == f"{place} is no folder, and cannot be a dataset of the Hugging Face hub"


def test_without_network_and_copy_it_is_said_what_to_download():
    said = problem(f"hf:{HUB_ID}::train:text", role="test")
    assert f"`hf download --repo-type dataset {HUB_ID}` fetches it, demo/train needs no download" in said
    assert f"`hf download --repo-type dataset Salesforce/wikitext --revision {WIKITEXT_REVISION}`" in problem(
        "wikitext-103/validation+test"
    )


def test_a_downloaded_copy_is_read_without_network(hub):
    write_dataset(downloaded(hub, HUB_ID, "0" * 40), {"first": {"train": {"text": ["downloaded"]}}})
    assert spec(f"hf:{HUB_ID}:first:train:text").load() == ["downloaded"]
    assert "'train'" in problem(f"hf:{HUB_ID}:first:nope:text")
    assert "hf download" not in problem(f"hf:{HUB_ID}:first:nope:text")


def test_a_copy_of_another_revision_is_not_wikitext(hub):
    other = downloaded(hub, "Salesforce/wikitext", "0" * 40)
    write_dataset(other, {"wikitext-2-raw-v1": {"train": {"text": ["another revision"]}}})
    assert "hf download" in problem("wikitext-2/train")
    write_dataset(other.with_name(WIKITEXT_REVISION), {"wikitext-2-raw-v1": {"train": {"text": ["this revision"]}}})
    assert spec("wikitext-2/train").load() == ["this revision"]


def test_a_copy_without_the_data_files_is_no_copy(hub):
    place = write_dataset(downloaded(hub, HUB_ID, "0" * 40), {"first": {"train": {"text": ["downloaded"]}}})
    (place / "first" / "train-0.parquet").unlink()
    said = problem(f"hf:{HUB_ID}:first:train:text")
    assert "Couldn't reach" in said
    assert "hf download" in said


def test_a_copy_of_another_configuration_is_no_copy(tmp_path):
    (tmp_path / "arrow" / HUB_ID.replace("/", "___") / "first" / "0.0.0" / "some_hash").mkdir(parents=True)
    assert "hf download" in problem(f"hf:{HUB_ID}:second:train:text")


@pytest.mark.parametrize("error", [ConnectionError("down"), httpx.ConnectError("refused"), httpx.ReadTimeout("")])
def test_a_network_that_fails_is_like_none(hub, monkeypatch, error):
    load = datasets.load_dataset

    def failing(place, **more):
        if place == HUB_ID:
            raise error
        return load(place, **more)

    monkeypatch.setattr(datasets, "load_dataset", failing)
    said = problem(f"hf:{HUB_ID}:first:train:text")
    assert said.startswith(f"cannot be read: {str(error) or 'ReadTimeout'}; `hf download")
    write_dataset(downloaded(hub, HUB_ID, "0" * 40), {"first": {"train": {"text": ["downloaded"]}}})
    assert spec(f"hf:{HUB_ID}:first:train:text").load() == ["downloaded"]


def fails_with(monkeypatch, error):
    def fail(*_, **__):
        raise error

    monkeypatch.setattr(datasets, "load_dataset", fail)


def test_a_dataset_that_the_hub_does_not_have_cannot_be_downloaded(monkeypatch):
    fails_with(monkeypatch, datasets.exceptions.DatasetNotFoundError("Dataset doesn't exist on the Hub"))
    assert problem(f"hf:{HUB_ID}::train:text") == "cannot be read: Dataset doesn't exist on the Hub"


def test_a_long_error_of_the_library_is_cut(monkeypatch):
    fails_with(monkeypatch, OSError("word\n " * 1000))
    with pytest.raises(InputError) as caught:
        spec("wikitext-103/validation+test").load()
    assert len(str(caught.value)) <= 400
    assert str(caught.value).endswith("fetches it, demo/train needs no download")


@pytest.mark.parametrize(("value", "offline"), [("1", True), ("true", True), ("0", False), ("", False)])
def test_the_environment_says_whether_the_hub_is_asked(monkeypatch, value, offline):
    asked = []
    monkeypatch.setenv("HF_HUB_OFFLINE", value)

    def ask(*_, **more):
        asked.append(more["repo_id"])
        raise httpx.ConnectError("refused")

    monkeypatch.setattr(huggingface_hub.HfApi, "hf_hub_download", ask)
    assert "hf download" in problem(f"hf:{HUB_ID}::train:text")
    assert asked == ([] if offline else [HUB_ID])


def test_the_hub_is_asked_for_the_pinned_wikitext_whole_and_for_a_stream_of_others(monkeypatch):
    asked = {}

    def record(place, **more):
        asked[place] = more
        raise ConnectionError

    monkeypatch.setattr(datasets, "load_dataset", record)
    problem("wikitext-103/test")
    problem(f"hf:{HUB_ID}::train:text")
    assert asked == {
        "Salesforce/wikitext": {
            "name": "wikitext-103-raw-v1",
            "split": "test",
            "streaming": False,
            "revision": WIKITEXT_REVISION,
        },
        HUB_ID: {"name": None, "split": "train", "streaming": True, "revision": None},
    }


def test_wikitext_by_version_and_split(tmp_path, monkeypatch):
    second = {split: {"text": ["", " = Title = \n", f" {split} text \n"]} for split in ("train", "validation", "test")}
    larger = {"train": {"text": ["the larger one"]}}
    place = write_dataset(tmp_path / "wiki", {"wikitext-2-raw-v1": second, "wikitext-103-raw-v1": larger})
    monkeypatch.setattr(corpus_readers, "WIKITEXT_REPOSITORY", str(place))
    assert spec("wikitext-2/train").load() == spec("wikitext-2").load() == ["train text"]
    assert spec("wikitext-2/validation+test").load() == ["validation text", "test text"]
    assert spec("wikitext-103/train").load() == ["the larger one"]
    said = problem("wikitext-2/nope", role="test")
    assert "nope" in said
    assert "'train', 'validation', 'test'" in said


def test_the_revision_is_that_of_wikitext_alone(tmp_path, monkeypatch):
    assert spec("wikitext-2/train").revision == spec("wikitext-103/validation+test").revision == WIKITEXT_REVISION
    assert len(WIKITEXT_REVISION) == 40
    for name in ("demo/train", f"hf:{HUB_ID}::train:text", "hf:", "wikitext-9/train", "wikitext-2/train.txt"):
        assert spec(name).revision is None
    (tmp_path / "wikitext-2").mkdir()
    (tmp_path / "wikitext-2" / "train.txt").write_text("a file of one's own")
    monkeypatch.chdir(tmp_path)
    assert spec("wikitext-2/train.txt").load() == ["a file of one's own"]
