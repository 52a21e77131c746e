"""The control in which a text's tokens come in random order."""

import pytest
import torch

from rs_cae.cli import main
from rs_cae.stream import Tokenization

TEXTS = ["The quick brown fox jumps over the lazy dog.", "Sphinx of black quartz, judge my vow!", "One"]


def both(tokenizer, position, **options):
    """In order, and shuffled; rows of ids and the positions that are read."""
    made = [Tokenization(tokenizer, 256, position, shuffle=shuffle, **options)(TEXTS) for shuffle in (False, True)]
    return [([ids.tolist() for ids in texts.ids.split(texts.offsets.diff().tolist())], texts) for texts in made]


@pytest.mark.parametrize("position", ["last", "random", "all"])
def test_the_same_tokens_in_another_order(demo_tokenizer, position):
    (plain, before), (shuffled, after) = both(demo_tokenizer, position)
    assert [sorted(ids) for ids in plain] == [sorted(ids) for ids in shuffled]
    assert plain[:2] != shuffled[:2]
    assert torch.equal(before.position_of, after.position_of)


@pytest.mark.parametrize("position", ["last", "random"])
def test_the_token_that_is_read_stays(demo_tokenizer, position):
    (_, before), (_, after) = both(demo_tokenizer, position)
    assert torch.equal(before.tokens, after.tokens)


def test_a_bos_stays_in_front(demo_tokenizer):
    texts = [demo_tokenizer.bos_token + text for text in TEXTS]
    shuffled = Tokenization(demo_tokenizer, 256, "all", shuffle=True)(texts)
    assert (shuffled.ids[shuffled.offsets[:-1]] == demo_tokenizer.bos_token_id).all()


def test_the_order_depends_on_the_seed_and_the_texts_number_alone(demo_tokenizer):
    (_, (first, _)), (_, (other, _)) = both(demo_tokenizer, "last"), both(demo_tokenizer, "last", seed=1)
    assert first != other
    assert Tokenization(demo_tokenizer, 256, shuffle=True)(TEXTS[:1]).ids.tolist() == first[0]


def test_a_cache_of_texts_in_order_is_refused(place, cache, capsys):
    words = place.options("--data.source=cached", f"--data.cache_dir={cache}", "--data.shuffle_tokens=true")
    assert main(["fit", *words, f"--run_dir={place.folder / 'shuffled'}"]) == 2
    assert "its data.shuffle_tokens is None, not True" in capsys.readouterr().err
