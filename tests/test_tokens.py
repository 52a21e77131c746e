"""Tokens and positions are those that were asked for; batches and steps hold every text and sample once."""

import hashlib
from itertools import pairwise

import pytest
import torch
from tiny_models import TEXTS, together

from rs_cae import processes
from rs_cae.errors import InputError
from rs_cae.stream import Tokenization
from rs_cae.stream.batching import batches_of_like_lengths, chunks_of_whole_texts
from rs_cae.stream.sampling import GlobalBatches

LONG = TEXTS[2]


def ids_of(tokenized, text):
    return tokenized.ids[tokenized.offsets[text] : tokenized.offsets[text + 1]].tolist()


def positions_of(tokenized, text):
    return tokenized.position_of[tokenized.text_of == text].tolist()


def assert_even(drawn, places, total):
    """Each of the places came up about equally often, and no other: within 6 standard errors of a Poisson count."""
    expected = total / len(places)
    assert set(drawn) == set(places)
    assert all(abs(drawn.count(place) - expected) < 6 * expected**0.5 for place in places)


def test_the_last_real_token_is_read(demo_tokenizer):
    batch = together(demo_tokenizer)
    for text, sample in zip(TEXTS, batch.samples.tolist(), strict=True):
        ids, mask = demo_tokenizer(text)["input_ids"], batch.attention_mask[batch.rows[sample]]
        assert (batch.texts[sample], batch.positions[sample], batch.tokens[sample]) == (sample, len(ids) - 1, ids[-1])
        assert batch.input_ids[batch.rows[sample]][mask == 1].tolist() == ids
        assert mask.diff().max() <= 0  # padding on the right alone


def test_the_last_token_may_be_the_pad_token(demo_tokenizer):
    text = "The end" + demo_tokenizer.pad_token
    batch, ids = together(demo_tokenizer, [text, LONG]), demo_tokenizer(text)["input_ids"]
    assert ids[-1] == demo_tokenizer.pad_token_id
    assert (batch.positions[0], batch.attention_mask[batch.rows[0]].sum()) == (len(ids) - 1, len(ids))


@pytest.mark.parametrize("pad_token", [None, "<s>"])
def test_the_pad_token_does_not_matter(demo_tokenizer, pad_token):
    expected = together(demo_tokenizer)
    demo_tokenizer.pad_token = pad_token
    assert demo_tokenizer.pad_token_id == (None if pad_token is None else 0)
    assert all(torch.equal(*fields) for fields in zip(together(demo_tokenizer), expected, strict=True))


def test_at_most_one_bos(demo_tokenizer):
    bos = demo_tokenizer.bos_token
    tokenized = Tokenization(demo_tokenizer)([f"{bos}{bos}Hello there", "Hello there", f"{bos}{bos}"])
    assert ids_of(tokenized, 0) == ids_of(tokenized, 1) == demo_tokenizer("Hello there")["input_ids"]
    assert ids_of(tokenized, 2) == [demo_tokenizer.bos_token_id]
    assert tokenized.truncated == 0  # a BOS too many is not a lost token


@pytest.mark.parametrize("context", [1, 2, 5, 23, 24, None])
def test_truncation_from_the_left_keeps_the_bos_and_is_counted(demo_tokenizer, context):
    tokenized, ids = Tokenization(demo_tokenizer, context)([LONG, "No", LONG]), demo_tokenizer(LONG)["input_ids"]
    kept = len(ids) if context is None else min(context, len(ids))
    assert ids_of(tokenized, 0) == ids_of(tokenized, 2) == [ids[0], *ids[len(ids) - kept + 1 :]]
    assert positions_of(tokenized, 0) == [kept - 1]
    assert tokenized.truncated == {1: 3, 2: 3, 5: 2, 23: 2, 24: 0, None: 0}[context]  # "No" has 3 tokens, LONG 24


def test_truncation_without_a_bos_keeps_the_last_tokens(demo_tokenizer):
    demo_tokenizer.bos_token = None
    tokenized = Tokenization(demo_tokenizer, 5)([LONG])
    assert ids_of(tokenized, 0) == demo_tokenizer(LONG)["input_ids"][-5:]


def test_a_text_without_tokens_is_named(demo_tokenizer):
    class NoSpecialTokens:
        bos_token_id = None

        def __call__(self, texts, **options):
            return demo_tokenizer(texts, add_special_tokens=False, **options)

    with pytest.raises(ValueError, match="text 1 has no tokens"):
        Tokenization(NoSpecialTokens(), 256)(["Hello", "", ""])


def test_hashes_are_of_the_texts(demo_tokenizer):
    hashes = Tokenization(demo_tokenizer, 2)(["Grüße", "No", "Grüße"]).hashes
    first = hashlib.sha256("Grüße".encode()).hexdigest()[:16]
    assert [f"{number % 2**64:016x}" for number in hashes.tolist()][::2] == [first, first]
    assert hashes[1] != hashes[0]


def test_random_positions_depend_on_seed_and_number_alone(demo_tokenizer):
    def positions(texts, seed=0):
        return Tokenization(demo_tokenizer, 256, "random", seed=seed)(texts).position_of.tolist()

    drawn = positions([LONG] * 1000)
    torch.randint(9, (3,))  # the global generator must not matter
    assert positions(["No", LONG, "No", LONG])[1::2] == [drawn[1], drawn[3]]
    assert positions([LONG] * 1000, seed=1) != drawn
    assert_even(drawn, range(1, 24), 1000)  # all real tokens, and never the BOS


def test_random_positions_are_real_tokens_of_short_texts(demo_tokenizer):
    tokenized = Tokenization(demo_tokenizer, 256, "random")(["No", "a", "", "I"])
    assert (tokenized.position_of < tokenized.offsets.diff()).all()
    assert (tokenized.position_of > 0).tolist() == [True, True, False, True]  # a text that is nothing but a BOS


def test_all_positions_are_all_but_the_bos(demo_tokenizer):
    tokenized = Tokenization(demo_tokenizer, 20, "all")(["No", "", LONG])
    assert [positions_of(tokenized, text) for text in range(3)] == [[1, 2], [0], list(range(1, 20))]
    assert (len(tokenized), tokenized.text_of.tolist()) == (22, [0] * 2 + [1] + [2] * 19)
    demo_tokenizer.bos_token = None  # its first token is then one like the others
    assert positions_of(Tokenization(demo_tokenizer, 256, "all")(["No"]), 0) == [0, 1, 2]


def test_max_positions_are_drawn_evenly_without_replacement(demo_tokenizer):
    def drawn(texts, seed=0, most=3):
        tokenized = Tokenization(demo_tokenizer, 256, "all", most, seed)(texts)
        return [positions_of(tokenized, text) for text in range(len(texts))]

    places = drawn([LONG] * 400)
    assert all(len(set(three)) == 3 and three == sorted(three) for three in places)
    assert_even([place for three in places for place in three], range(1, 24), 1200)
    assert len({tuple(three) for three in places}) > 300  # 358 +- 6 of 400 from 1771
    torch.randint(9, (3,))
    assert drawn(["No", LONG, "", LONG]) == [[1, 2], places[1], [0], places[3]]  # never more than there are
    assert drawn([LONG] * 400, seed=1) != places
    assert drawn([LONG], most=23) == [list(range(1, 24))]


@pytest.mark.parametrize("seed", range(5))
def test_batches_hold_what_was_asked_for(demo_tokenizer, seed):
    generator = torch.Generator().manual_seed(seed)
    cuts = torch.randint(len(LONG), (40, 2), generator=generator).sort(dim=1).values.tolist()
    tokenized = Tokenization(demo_tokenizer, 256, "all", max_positions=4)([LONG[start:end] for start, end in cuts])
    asked = torch.randint(len(tokenized), (60,), generator=generator)  # some of them twice, many texts several times
    parts, order = tokenized.request(asked.tolist(), tokens_per_batch=100)
    names = ("samples", "positions", "texts", "tokens")
    given = torch.stack([torch.cat([getattr(part, name) for part in parts])[order] for name in names])
    expected = [asked, tokenized.position_of[asked], tokenized.text_of[asked], tokenized.tokens[asked]]
    assert torch.equal(given, torch.stack(expected))
    rows = [tuple(row[mask == 1].tolist()) for part in parts for row, mask in zip(*part[:2], strict=True)]
    assert sorted(rows) == sorted(tuple(ids_of(tokenized, text)) for text in tokenized.text_of[asked].unique())
    assert len(parts) > 1
    for part in parts:
        assert part.input_ids.numel() <= 100
        for row, position, text in zip(part.rows, part.positions, part.texts, strict=True):
            length = part.attention_mask[row].sum()
            assert part.input_ids[row, :length].tolist() == ids_of(tokenized, text)
            assert position < length


def test_a_text_beyond_the_budget_runs_alone(demo_tokenizer):
    tokenized = Tokenization(demo_tokenizer, 256)([LONG, "No", "a"])
    parts, order = tokenized.request(range(3), tokens_per_batch=10)
    assert [tuple(part.input_ids.shape) for part in parts] == [(2, 3), (1, 24)]
    assert torch.cat([part.samples for part in parts])[order].tolist() == [0, 1, 2]


@pytest.mark.parametrize("seed", range(10))
def test_like_lengths_run_together_and_fill_the_budget(seed):
    lengths = torch.randint(1, 50, (200,), generator=torch.Generator().manual_seed(seed)).tolist()
    batches = batches_of_like_lengths(lengths, tokens_per_batch=40)
    sizes = [[lengths[number] for number in batch] for batch in batches]
    assert sorted(number for batch in batches for number in batch) == list(range(200))
    # by length, ties by number, whatever else is in the corpus
    assert [n for batch in batches for n in batch] == sorted(range(200), key=lambda number: (lengths[number], number))
    assert all(len(size) * max(size) <= 40 or len(size) == 1 for size in sizes)
    assert all((len(size) + 1) * following[0] > 40 for size, following in pairwise(sizes))


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("chunk_size", [1, 7, 1000])
def test_chunks_keep_texts_whole_and_end_with_the_one_that_fills_them(seed, chunk_size):
    text_of = torch.randint(0, 30, (100,), generator=torch.Generator().manual_seed(seed)).sort().values
    chunks = chunks_of_whole_texts(text_of, chunk_size)
    assert [sample for chunk in chunks for sample in chunk] == list(range(100))
    texts = [text_of[chunk.start : chunk.stop] for chunk in chunks]
    assert sum(len(part.unique()) for part in texts) == len(text_of.unique())  # no text in two of them
    assert all(len(part) >= chunk_size for part in texts[:-1])
    assert all((part < part[-1]).sum() < chunk_size for part in texts)  # without its last text it was not yet full


@pytest.fixture
def steps(monkeypatch):
    """What each of some processes gets: [processes][steps][samples]."""

    def of_all(count, batch_size, seed=None, epoch=0, world=1):
        monkeypatch.setattr(processes, "world_size", lambda: world)
        given = []
        for rank in range(world):
            monkeypatch.setattr(processes, "rank", lambda rank=rank: rank)
            batches = GlobalBatches(torch.arange(count) * 3 + 1, batch_size, seed)
            batches.set_epoch(epoch)
            given.append(list(batches))
            assert len(batches) == len(given[-1])
        return given

    return of_all


@pytest.mark.parametrize(("count", "batch_size"), [(100, 8), (97, 16), (64, 64), (65, 64), (9, 9), (10, 4)])
@pytest.mark.parametrize("seed", [None, 0])
def test_steps_share_out_each_sample_once(steps, count, batch_size, seed):
    (alone,) = steps(count, batch_size, seed)
    samples = [sample for batch in alone for sample in batch]
    assert (samples == [3 * number + 1 for number in range(count)]) == (seed is None)
    assert sorted(samples) == [3 * number + 1 for number in range(count)]
    sizes = [len(batch) for batch in alone]
    assert len(sizes) == -(-count // batch_size)  # as few as may be
    assert max(sizes) <= batch_size
    assert max(sizes) - min(sizes) <= 1
    for world in (2, 3):
        given = steps(count, batch_size, seed, world=world)
        for parts, batch in zip(zip(*given, strict=True), alone, strict=True):
            assert sorted(sample for part in parts for sample in part) == sorted(batch)
            shares = [len(part) for part in parts]
            assert 0 < max(shares) <= min(shares) + 1


def test_a_shuffle_depends_on_seed_and_epoch_alone(steps):
    first = steps(50, 8, seed=3, epoch=2)
    torch.randperm(9)  # the global generator must not matter
    assert steps(50, 8, seed=3, epoch=2) == first
    assert steps(50, 8, seed=3, epoch=3) != first != steps(50, 8, seed=4, epoch=2)
    assert steps(50, 8, epoch=2) == steps(50, 8, epoch=3)  # no seed, no shuffle


def test_a_step_too_small_for_all_processes_is_refused(steps):
    assert len(steps(10, 2, world=2)) == 2
    with pytest.raises(InputError, match=r"--data\.batch_size 2: leaves some of the 3 processes without a part"):
        steps(10, 2, world=3)
    with pytest.raises(InputError, match=r"--data\.batch_size 3: "):  # ten by three leave a batch of two
        steps(10, 3, world=3)
