"""Damaged shards, records and manifests are found and mended; states that are no numbers are never written."""

import json
import random
import re
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoTokenizer
from workplace import CONTEXT, COUNTS, OF_TRAJECTORIES, SHARD_SIZE, SHARDS, contents, kept, stamps

from rs_cae.cli import main
from rs_cae.stream.capture import Batchwise
from rs_cae.stream.verify import TEXTS


def truncate(file):
    file.write_bytes(file.read_bytes()[:-1])


def flip_a_bit(file):
    content = bytearray(file.read_bytes())
    bit = random.Random(str(file.name)).randrange(8 * len(content))
    content[bit // 8] ^= 1 << bit % 8
    file.write_bytes(content)


def remove(file):
    file.unlink()


def verified(folder, capsys):
    """The exit code of ``verify``, and the lines that do not say ``intact``."""
    capsys.readouterr()
    code = main(["verify", str(folder)])
    rows = re.findall(r"^.*(?:manifest\.json|\.safetensors).*$", capsys.readouterr().out, re.MULTILINE)
    return code, [row for row in rows if "intact" not in row]


@pytest.mark.parametrize("damage", [truncate, flip_a_bit, remove])
@pytest.mark.parametrize(("role", "number"), SHARDS)
def test_a_damaged_shard_is_named_and_captured_again_alone(place, copy, whole, capsys, role, number, damage):
    name = f"{role}/shard-{number:05d}"
    damage(copy / f"{name}.safetensors")
    before = stamps(copy)
    code, (line,) = verified(copy, capsys)
    assert code == 1
    assert f"{name}.safetensors" in line
    assert ("is missing" if damage is remove else "is damaged") in line
    assert place.cache(copy) == 0
    assert contents(copy) == whole
    changed = {file for file, stamp in stamps(copy).items() if before.get(file) != stamp}
    assert changed == {f"{name}.safetensors", f"{name}.json", f"{role}/manifest.json"}
    assert verified(copy, capsys) == (0, [])


def garbage(file):
    file.write_bytes(b"\x00\xff" * 100)


def another_thing(file):
    file.write_text("[1, 2]")


def of_another_capture(file):
    record = json.loads(file.read_text())
    file.write_text(json.dumps({**record, "identity": "0" * 64}))


def of_another_capture_and_nobody_knows(file):
    of_another_capture(file)
    (file.parent / "manifest.json").unlink()


def change_a_digit(file):
    """What is read is still JSON."""
    before, mean, after = file.read_text().partition('"mean": [\n    ')
    digits = after.replace("1", "7", 1)
    assert digits != after
    file.write_text(before + mean + digits)


DAMAGES = [remove, truncate, garbage, another_thing, of_another_capture, of_another_capture_and_nobody_knows]


@pytest.mark.parametrize("damage", [*DAMAGES, change_a_digit])
def test_a_damaged_record_costs_its_shard_alone(place, copy, whole, damage):
    file = copy / "train/shard-00001.json"
    damage(file) if damage is not truncate else file.write_bytes(file.read_bytes()[:100])
    others = {name: stamp for name, stamp in stamps(copy).items() if "00001" not in name and "manifest" not in name}
    assert place.cache(copy) == 0
    assert contents(copy) == whole
    assert others.items() <= stamps(copy).items()


@pytest.mark.parametrize("content", [b"", "half", "all but one", b"[]", b'{"format_version": 1}', b"\xff\xfe"])
def test_a_damaged_manifest_is_named_refused_and_rebuilt(place, copy, capsys, no_model, tmp_path, content):
    file = copy / "train/manifest.json"
    good = file.read_bytes()
    file.write_bytes({"half": good[: len(good) // 2], "all but one": good[:-2]}.get(content, content))
    code, (line,) = verified(copy, capsys)
    assert code == 1
    assert "train/manifest.json" in line
    cached = ["--data.source=cached", f"--data.cache_dir={copy}"]
    assert place.fit(tmp_path / "run", *cached) == 2
    error = capsys.readouterr().err
    assert "manifest.json is damaged" in error
    assert "`python -m rs_cae cache` makes or mends it" in error
    assert error.count("\n") == 1
    assert not (tmp_path / "run").exists()
    before = kept(copy)
    assert place.cache(copy) == 0
    assert kept(copy) == before
    rebuilt, original = json.loads(file.read_text()), json.loads(good)
    assert rebuilt["origin"]["truncated_texts"] == original["origin"]["truncated_texts"]
    # what was found when it was captured is lost with the old manifest; everything else is as it was
    assert {**rebuilt, "origin": None} == {**original, "origin": None}
    assert verified(copy, capsys) == (0, [])
    assert content != "half" or place.fit(tmp_path / "run", *cached, OF_TRAJECTORIES) == 0


def test_a_manifest_that_is_gone_is_rebuilt(place, copy, whole, no_model, capsys):
    (copy / "test/manifest.json").unlink()
    code, (line,) = verified(copy, capsys)
    assert (code, "test/manifest.json" in line) == (1, True)
    assert place.cache(copy) == 0
    assert {**contents(copy), "test/manifest.json": b""} == {**whole, "test/manifest.json": b""}


def test_a_manifest_with_a_wrong_checksum_is_mended(place, copy, whole, capsys):
    """Otherwise ``verify`` would for ever say to run ``cache`` again, and ``cache`` that all is complete."""
    file = copy / "train/manifest.json"
    checksum = json.loads(file.read_text())["shards"][1]["sha256"]
    file.write_text(file.read_text().replace(checksum, checksum[::-1]))
    assert verified(copy, capsys)[0] == 1
    assert place.cache(copy) == 0
    assert verified(copy, capsys) == (0, [])
    assert contents(copy) == whole


@pytest.mark.parametrize("lost", ["test", "train/*.json"])
def test_verify_notices_a_corpus_that_is_gone(copy, capsys, lost):
    """As after a capture that was killed between the two."""
    shutil.rmtree(copy / lost) if lost == "test" else [file.unlink() for file in copy.glob(lost)]
    code, lines = verified(copy, capsys)
    assert code == 1
    assert any(f"{lost.split('/')[0]}/manifest.json" in line for line in lines)


def test_a_cache_of_another_format_is_refused(place, copy, capsys, tmp_path):
    file = copy / "train/manifest.json"
    file.write_text(file.read_text().replace('"format_version": 1', '"format_version": 2'))
    assert place.fit(tmp_path / "run", "--data.source=cached", f"--data.cache_dir={copy}") == 2
    assert "is of format 2; this version of rs_cae reads 1" in capsys.readouterr().err


def with_weights(place, folder, change):
    """The model with other weights."""
    weights = load_file(place.model / "model.safetensors")
    change(weights)
    shutil.copytree(place.model, folder)
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    return f"--data.model={folder}"


@pytest.mark.parametrize(("module", "sublayer"), [("self_attn.o_proj", "L01.mlp"), ("mlp.down_proj", "L02.attn")])
def test_weights_that_are_no_numbers(place, tmp_path, capsys, module, sublayer):
    def spoil(weights):
        weights[f"model.layers.1.{module}.weight"][7, 3] = torch.nan

    model = with_weights(place, tmp_path / "llama", spoil)
    assert place.cache(tmp_path / "cache", model) == 1
    error = capsys.readouterr().err
    last = len(AutoTokenizer.from_pretrained(place.model)(TEXTS[0])["input_ids"]) - 1
    where = f"verification text 0 at position {last}, sublayer {sublayer}"
    assert error == f"error: the state of {where}, is not finite\n"
    assert set(contents(tmp_path / "cache")) <= {".lock"}


def test_a_text_whose_states_are_no_numbers(place, tmp_path, capsys, monkeypatch):
    """Its token is in no other text, so that neither the verification nor an earlier shard shows anything."""
    tokenizer = AutoTokenizer.from_pretrained(place.model)
    ids = [tokenizer(text)["input_ids"] for text in [*place.texts["train"], *place.texts["test"], *TEXTS]]
    count = COUNTS["train"]
    last_shard = range(count - count % SHARD_SIZE, count)
    own = {text: set(ids[text][1 - CONTEXT : -1]).difference(*ids[:text], *ids[text + 1 :]) for text in last_shard}
    text, token = next((text, min(tokens)) for text, tokens in own.items() if tokens)

    def spoil(weights):
        weights["model.embed_tokens.weight"][token] = torch.nan

    model = with_weights(place, tmp_path / "llama", spoil)
    monkeypatch.setattr(Batchwise, "seconds", lambda *_: 1.0)  # its trial might come upon that very text
    assert place.cache(tmp_path / "cache", model) == 1
    place_of = f"text {text} at position {min(len(ids[text]), CONTEXT) - 1}, sublayer L00.mlp"  # attention brings it in
    assert capsys.readouterr().err == f"error: the state of {place_of}, is not finite\n"
    assert list(kept(tmp_path / "cache")) == SHARDS[:4]
    assert not list(tmp_path.rglob("*.partial"))
    assert verified(tmp_path / "cache", capsys)[0] == 1
    assert place.fit(tmp_path / "run", model, "--data.source=cached", f"--data.cache_dir={tmp_path / 'cache'}") == 2
    assert "shards are there): run `python -m rs_cae cache` again" in capsys.readouterr().err
