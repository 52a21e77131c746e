"""The language model itself and its tokens, for what is not in trajectories: live, and beside a cache."""

import shutil

import pytest
import torch
from tiny_models import TEXTS
from workplace import COUNTS

from rs_cae.errors import InputError
from rs_cae.stream import LanguageModelSpec, Tokenization, capture, find_hook_points
from rs_cae.stream.origins import LiveOrigin


def state_of(found, sample):
    """The trajectory of a sample's prompt, from the model that was handed out: [sublayers, width]."""
    tokenized = found.tokenized
    ids = tokenized.prompt(sample)
    (batch,) = tokenized.request([sample], 10**6).batches
    assert ids.tolist() == batch.input_ids[0, : int(batch.positions[0]) + 1].tolist()
    alone = batch._replace(input_ids=ids[None], attention_mask=torch.ones(1, len(ids), dtype=torch.long))
    return capture(found.model, alone, found.points)[0]


@pytest.mark.parametrize("position", ["last", "random"])
@pytest.mark.parametrize("source", ["live", "cached"])
def test_a_prompt_gives_the_state_that_was_captured(place, cache, tmp_path, source, position):
    options = {"token_position": position}
    if source == "cached":
        folder = tmp_path / "cache"
        assert place.cache(folder, f"--data.token_position={position}", "--data.dtype=float32") == 0
        options |= {"source": "cached", "cache_dir": str(folder)}
    data = place.data(**options)
    found = data.language_model()
    assert len(found.tokenized) == COUNTS["test"]
    begins = found.tokenizer.decode(found.tokenized.prompt(2)[1:]).strip()  # of a text that was not cut
    assert len(begins) > 20
    assert place.texts["test"][2].startswith(begins)
    batch = next(iter(data.batches("test", torch.device("cpu"))))
    for row in (0, 7):
        state, captured = state_of(found, int(batch.samples[row])), batch.states[row]
        # another batch, so products summed in another order; another sample's are off by about their norm
        assert ((state - captured).norm(dim=-1) < 1e-5 * captured.norm(dim=-1)).all()


def test_a_prompt_ends_where_its_text_is_read(demo_tokenizer):
    tokenized = Tokenization(demo_tokenizer, 256, "all")(TEXTS)
    for sample in (0, 14, 30):
        prompt, ids = tokenized.prompt(sample), demo_tokenizer(TEXTS[int(tokenized.text_of[sample])])["input_ids"]
        assert prompt.tolist() == ids[: int(tokenized.position_of[sample]) + 1]
        assert prompt[-1] == tokenized.tokens[sample]


def test_the_model_is_the_one_that_captures(place):
    data = place.data()
    found = data.language_model()
    assert found.model is data.origin.capturer.model
    assert found.points.layout == find_hook_points(found.model).layout == data.layout


def test_the_cache_s_precision_and_the_origin_s_device_are_taken(place, tmp_path, monkeypatch):
    assert place.cache(tmp_path / "cache", "--data.dtype=bfloat16") == 0
    data = place.data(source="cached", cache_dir=str(tmp_path / "cache"))
    devices = []
    load = LanguageModelSpec.load
    monkeypatch.setattr(LanguageModelSpec, "load", lambda spec, device: devices.append(device) or load(spec, device))
    data.origin.device = torch.device("cpu", 0)
    assert data.language_model().model.dtype == torch.bfloat16
    assert data.language_model().model is data.language_model().model
    assert devices == [torch.device("cpu", 0)]


def test_the_language_model_of_a_cache_waits_until_it_is_asked_for(place, cache, no_model):
    data = place.data(source="cached", cache_dir=str(cache))
    next(iter(data.batches("test", torch.device("cpu"))))
    with pytest.raises(pytest.fail.Exception, match="was loaded"):
        data.language_model()


@pytest.mark.parametrize("changed", ["weights", "texts"])
def test_a_model_or_corpus_that_has_changed_since_is_refused(place, tmp_path, changed):
    model, corpus, folder = tmp_path / "llama", tmp_path / "test.txt", tmp_path / "cache"
    shutil.copytree(place.model, model)
    shutil.copy(place.folder / "test.txt", corpus)
    options = {"model": str(model), "test_corpus": str(corpus)}
    words = [f"--data.{name}={value}" for name, value in options.items()]
    assert place.cache(folder, *words) == 0
    data = place.data(source="cached", cache_dir=str(folder), **options)
    if changed == "weights":
        file = next(model.glob("*.safetensors"))
        content = bytearray(file.read_bytes())
        content[-1] ^= 1
        file.write_bytes(bytes(content))
    else:
        corpus.write_text(corpus.read_text().replace("the", "The"))
    with pytest.raises(InputError, match=f"is of another model or corpus than there is now: its {changed} has changed"):
        data.language_model()


def test_layer_by_layer_there_is_no_whole_model(place, no_model):
    with pytest.raises(InputError, match=r"--data\.schedule layerwise: holds one layer at a time, and what is asked"):
        place.data(schedule="layerwise").language_model()


def test_an_untrained_twin_is_a_live_origin_of_its_own(place):
    origin = place.data().origin
    twin = LiveOrigin(LanguageModelSpec(str(place.model), random_init=True), origin.corpora, origin.capture)
    assert torch.equal(twin.language_model("test").tokenized.ids, origin.language_model("test").tokenized.ids)
