"""The demo's corpora are prose, plenty and disjoint; its model predicts text that it never saw."""

import math
import re
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from rs_cae.demo import corpus
from rs_cae.demo.bits_per_byte import compressor_bits_per_byte, model_bits_per_byte, scored_text
from rs_cae.demo.corpus import load_test_paragraphs, load_train_paragraphs, without_overlap
from rs_cae.demo.docstrings import docstrings, is_prose, prose_paragraphs, python_files
from rs_cae.stream import LanguageModelSpec

CPU = torch.device("cpu")
VOCABULARY, CONTEXT = 2048, 16


@pytest.fixture(scope="module")
def test_text():
    return scored_text(load_test_paragraphs())


@pytest.fixture(scope="module")
def demo_model():
    return LanguageModelSpec("demo").load(CPU)


def runs(paragraph, words=10):
    tokens = re.findall(r"\w+", paragraph.lower())
    return {tuple(tokens[start : start + words]) for start in range(len(tokens) - words + 1)}


@pytest.mark.parametrize(
    ("paragraph", "expected"),
    [
        ("Return the number of items that the container\nholds now.", True),
        ("Return the items, or nothing, when the container is empty.", True),
        ("Too few words here.", False),
        (">>> the first of the items that it holds", False),
        ("The usage is like this::", False),
        ("It is found at https://example.org by anyone who looks for it", False),
        ("Some Long Heading Of Five Words\n===============================", False),
        (".. note the following words are a directive of some kind", False),
        ("def frobnicate of the whole and all its parts", False),
        ("The set is {one, two, three, four, five, six}", False),
        ("1 2 3 4 5 6 7 8 9 10 11 12 13 14", False),
    ],
)
def test_what_counts_as_prose(paragraph, expected):
    assert is_prose(paragraph) is expected


def test_share_of_letters_is_inclusive():
    paragraph = "a b c d 555"  # 8 letters and spaces of 11
    assert is_prose(paragraph, min_share=8 / 11)
    assert not is_prose(paragraph, min_share=8 / 11 + 0.01)


def test_docstrings_of_modules_classes_and_functions():
    source = '"""Outer."""\nclass A:\n    """Class."""\n    async def f(self):\n        """Inner\n\n        more."""\n'
    assert list(docstrings(source + "x = '''no docstring'''\n")) == ["Outer.", "Class.", "Inner\n\nmore."]
    assert list(docstrings("def broken(:")) == []


def test_prose_paragraphs_are_split_joined_and_unique(tmp_path):
    same = "This very paragraph occurs in\n    two of the files."
    for name in ("a.py", "b.py"):
        (tmp_path / name).write_text(
            f'def f():\n    """{same}\n\n    >>> code_alone(1, 2)\n\n    Of {name[0]} alone it is said here.\n    """\n'
        )
    found = prose_paragraphs([tmp_path / "a.py", tmp_path / "b.py"])
    assert found == [
        "This very paragraph occurs in two of the files.",
        "Of a alone it is said here.",
        "Of b alone it is said here.",
    ]


def test_python_files_are_sorted_and_leave_folders_out(tmp_path):
    for name in ("b.py", "a.py", "test/c.py", "pack/test.py", "pack/deep/tests/d.py", "a.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    found = [file.relative_to(tmp_path).as_posix() for file in python_files(tmp_path)]
    assert found == ["a.py", "b.py", "pack/test.py"]


def test_overlap_is_found_whatever_case_and_punctuation():
    held_out = ["one two three four five six seven eight nine ten eleven"]
    shares_ten = "Zero, ONE two-three four five; six seven eight nine ten!"
    shares_nine = "one two three four five six seven eight nine, then something else"
    assert without_overlap([shares_ten, shares_nine], held_out) == [shares_nine]


def test_enough_test_paragraphs_and_always_the_same():
    paragraphs = load_test_paragraphs()
    assert paragraphs == load_test_paragraphs()
    assert len(set(paragraphs)) == len(paragraphs)
    qualifying = [text for text in paragraphs if 100 <= len(text) <= 500]
    assert len(qualifying) >= 900
    assert all(text == " ".join(text.split()) for text in paragraphs)


def test_a_part_of_the_train_corpus_shares_no_run_of_ten_words_with_the_test_corpus(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))  # neither read the user's cache nor leave a part there
    monkeypatch.setattr(corpus, "python_files", lambda folder, *without: python_files(folder, *without)[:60])
    train = load_train_paragraphs()
    assert len(train) < 14_000  # a part indeed
    assert_disjoint(train)
    assert train == load_train_paragraphs()  # from the cache


@pytest.mark.slow
def test_the_train_corpus_shares_no_run_of_ten_words_with_the_test_corpus(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "first"))
    train = load_train_paragraphs()
    assert_disjoint(train)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "second"))
    assert train == load_train_paragraphs()


def assert_disjoint(train):
    assert len(train) > 100
    held_out = set().union(*map(runs, load_test_paragraphs()))
    assert held_out.isdisjoint(set().union(*map(runs, train)))
    assert set(train).isdisjoint(load_test_paragraphs())


def test_scored_text_keeps_the_bounds_inclusive():
    assert scored_text(["a" * 9, "b" * 10, "c" * 20, "d" * 21], 10, 20) == "b" * 10 + "\n" + "c" * 20


def test_compressors_count_bits_of_bytes():
    text = "é" * 50_000
    assert all(0 < bits < 0.05 for bits in compressor_bits_per_byte(text).values())
    noise = "".join(map(chr, torch.randint(97, 101, (20_000,), generator=torch.Generator().manual_seed(0)).tolist()))
    # four letters evenly: 2 bits by Shannon, and either compressor is above that, but far below 8
    assert all(2 <= bits < 3 for bits in compressor_bits_per_byte(noise).values())


@pytest.mark.parametrize("size", [20_000, pytest.param(40_000, marks=pytest.mark.slow)])
def test_demo_model_beats_general_compressors_on_the_same_string(demo_model, demo_tokenizer, test_text, size):
    text = test_text[:size]
    assert len(text) == size
    model, others = model_bits_per_byte(demo_model, demo_tokenizer, text), compressor_bits_per_byte(text)
    assert model <= 0.9 * others["xz"]
    assert model <= 0.75 * others["gzip"]


def test_an_untrained_model_does_not(demo_tokenizer, test_text):
    text = test_text[:4_000]
    untrained = LanguageModelSpec("demo", random_init=True).load(CPU)
    model, others = model_bits_per_byte(untrained, demo_tokenizer, text), compressor_bits_per_byte(text)
    assert model > 0.9 * others["xz"]
    # it knows no more than that there are 2048 tokens, up to what random logits cost
    uniform = len(demo_tokenizer(text, add_special_tokens=False)["input_ids"]) * 11 / len(text.encode())
    assert abs(model - uniform) < 0.1 * uniform


def test_demo_model_is_small():
    spec = LanguageModelSpec("demo")
    assert sum(file.stat().st_size for file in Path(spec.path).rglob("*")) <= 6 * 2**20
    config = spec.config()
    assert (config.num_hidden_layers, config.hidden_size, config.vocab_size) == (12, 128, 2048)


def test_a_text_of_one_window_is_scored_directly(demo_model, demo_tokenizer):
    text = "The number of items in the container — or zero."
    ids = demo_tokenizer(text)["input_ids"]
    with torch.inference_mode():
        logits = demo_model(torch.tensor([ids])).logits[0, :-1].double()
    nats = torch.nn.functional.cross_entropy(logits, torch.tensor(ids[1:]), reduction="sum")
    expected = float(nats) / math.log(2) / len(text.encode())
    # logits in float32, batch of one alike: 1e-6 of some 10 nats
    assert model_bits_per_byte(demo_model, demo_tokenizer, text) == pytest.approx(expected, rel=1e-5)


class Bigram:
    """A language model whose prediction depends on the token before alone, so that windows cannot matter."""

    def __init__(self, uniform=False):
        generator = torch.Generator().manual_seed(0)
        self.table = torch.randn(VOCABULARY, VOCABULARY, generator=generator) * (0 if uniform else 1)
        self.config = SimpleNamespace(max_position_embeddings=CONTEXT)
        self.device = CPU

    def __call__(self, inputs, **options):
        assert inputs.shape[1] <= CONTEXT
        return SimpleNamespace(logits=self.table[inputs])


def text_of(tokenizer, tokens):
    """A text of this many tokens, the BOS not counted."""
    ids = tokenizer(" ".join(load_test_paragraphs()[:20]), add_special_tokens=False)["input_ids"]
    for start in range(len(ids)):
        text = tokenizer.decode(ids[start : start + tokens])
        if tokenizer(text, add_special_tokens=False)["input_ids"] == ids[start : start + tokens]:
            return text
    raise AssertionError("no such text")


# around one window of 15 tokens, its half 7, and several windows
LENGTHS = [1, 7, 14, 15, 16, 17, 21, 22, 23, 29, 30, 31, 100, 101]


@pytest.mark.parametrize("tokens", LENGTHS)
@pytest.mark.parametrize("batch_size", [1, 2, 32])
def test_every_token_is_scored_once(demo_tokenizer, tokens, batch_size):
    text = text_of(demo_tokenizer, tokens)
    bits = model_bits_per_byte(Bigram(uniform=True), demo_tokenizer, text, batch_size)
    # float32 sums of at most 100 equal logarithms; one token more or less changes 1 %
    assert bits == pytest.approx(tokens * math.log2(VOCABULARY) / len(text.encode()), rel=1e-5)


@pytest.mark.parametrize("tokens", LENGTHS)
def test_every_token_is_scored_after_the_one_before_it(demo_tokenizer, tokens):
    text, model = text_of(demo_tokenizer, tokens), Bigram()
    ids = demo_tokenizer(text)["input_ids"]
    log_probabilities = model.table.double().log_softmax(-1)
    expected = -float(log_probabilities[ids[:-1], ids[1:]].sum()) / math.log(2) / len(text.encode())
    assert model_bits_per_byte(model, demo_tokenizer, text, 2) == pytest.approx(expected, rel=1e-5)
