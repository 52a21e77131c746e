"""Train the demo language model that ships in ``rs_cae/demo/model``.

    python scripts/train_demo_lm.py --out rs_cae/demo/model --compile

A Llama of 2.5 M parameters learns English from the docstrings of the standard library and of every package that
``constraints.txt`` pins (19 MB of prose). The Python language reference is held out: no paragraph that shares
ten consecutive words with it is trained on. About an hour on 2 cores. Seeded; the same versions give the same text
(its hash is printed and kept in the model's ``training.json``), and one machine gives the same weights.
"""

import argparse
import hashlib
import importlib.metadata
import json
import math
import platform
import re
import sysconfig
import time
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from rs_cae.demo.bits_per_byte import compressor_bits_per_byte, model_bits_per_byte, scored_text
from rs_cae.demo.corpus import NOT_STANDARD_LIBRARY, load_test_paragraphs, without_overlap
from rs_cae.demo.docstrings import prose_paragraphs, python_files

REPOSITORY = Path(__file__).resolve().parent.parent


def pinned_files(constraints: Path) -> list[Path]:
    """Python files of the pinned distributions, by name then path, without tests."""
    names = sorted(re.findall(r"^([\w.-]+)==", constraints.read_text(), re.MULTILINE), key=str.lower)
    files = []
    for name in names:
        try:
            recorded = importlib.metadata.files(name) or []
        except importlib.metadata.PackageNotFoundError:
            print(f"{name} is pinned but not installed: left out")
            continue
        paths = sorted(path for path in recorded if path.suffix == ".py")
        kept = [path for path in paths if not {"tests", "test"} & set(path.parts)]
        files += [Path(str(path.locate())) for path in kept]
    return [file for file in files if file.is_file()]


def training_paragraphs() -> list[str]:
    """All prose that the model learns from, none of it overlapping the held-out language reference."""
    files = python_files(Path(sysconfig.get_path("stdlib")), NOT_STANDARD_LIBRARY)
    paragraphs = prose_paragraphs(files + pinned_files(REPOSITORY / "constraints.txt"))
    return without_overlap(paragraphs, load_test_paragraphs())


def train_tokenizer(paragraphs: list[str], vocabulary: int) -> PreTrainedTokenizerFast:
    """Byte-level BPE that prepends one BOS token."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    special = ["<s>", "</s>", "<pad>"]
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=special,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator((paragraph + "\n" for paragraph in paragraphs), trainer)
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 0)])
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", pad_token="<pad>")


def build_model(vocabulary: int, context: int) -> LlamaForCausalLM:
    """12 layers, width 128, 4 heads over 2 key-value heads, tied embeddings."""
    config = LlamaConfig(
        vocab_size=vocabulary,
        hidden_size=128,
        intermediate_size=352,
        num_hidden_layers=12,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=context,
        tie_word_embeddings=True,
        bos_token_id=0,
        eos_token_id=1,
        pad_token_id=2,
    )
    return LlamaForCausalLM(config)


def learning_rate(step: int, steps: int, peak: float, warmup: int = 200) -> float:
    """Linear warm-up to the peak, then a cosine to a hundredth of it."""
    if step < warmup:
        return peak * (step + 1) / warmup
    progress = (step - warmup) / max(1, steps - warmup)
    return peak * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * progress)))


def batches(stream: torch.Tensor, starts: torch.Tensor, batch: int, context: int, seed: int):
    """Endless [batch, context + 1] windows: a BOS, then text; half of them begin where a paragraph begins."""
    generator = torch.Generator().manual_seed(seed)
    last = len(stream) - context
    starts = starts[starts < last]
    while True:
        anywhere = torch.randint(last, (batch - batch // 2,), generator=generator)
        at_start = starts[torch.randint(len(starts), (batch // 2,), generator=generator)]
        first = torch.cat([anywhere, at_start])
        windows = stream[first[:, None] + torch.arange(context)]
        yield torch.cat([torch.zeros(batch, 1, dtype=torch.long), windows], dim=1)


def train(model: LlamaForCausalLM, stream: torch.Tensor, starts: torch.Tensor, options: argparse.Namespace) -> float:
    """AdamW on next-token cross-entropy; returns the mean loss of the last 100 steps in nats a token."""
    decayed = [parameter for parameter in model.parameters() if parameter.ndim == 2]
    others = [parameter for parameter in model.parameters() if parameter.ndim != 2]
    groups = [{"params": decayed, "weight_decay": 0.1}, {"params": others, "weight_decay": 0.0}]
    optimiser = torch.optim.AdamW(groups, lr=options.lr, betas=(0.9, 0.95), fused=True)
    forward = torch.compile(model) if options.compile else model
    recent: list[float] = []
    began = time.time()
    source = batches(stream, starts, options.batch, options.context, options.seed)
    for step, window in zip(range(options.steps), source, strict=False):
        for group in optimiser.param_groups:
            group["lr"] = learning_rate(step, options.steps, options.lr)
        window = window.to(model.device)
        logits = forward(input_ids=window[:, :-1], use_cache=False).logits.float()
        loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), window[:, 1:].flatten())
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        recent = [*recent[-99:], float(loss.detach())]
        if (step + 1) % 100 == 0:
            speed = (step + 1) * options.batch * options.context / (time.time() - began)
            print(
                f"step {step + 1}/{options.steps}  loss {sum(recent) / len(recent):.4f}  {speed:,.0f} tokens/s",
                flush=True,
            )
    return sum(recent) / len(recent)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=REPOSITORY / "rs_cae" / "demo" / "model")
    parser.add_argument("--steps", type=int, default=5500)
    parser.add_argument("--batch", type=int, default=8, help="windows a step")
    parser.add_argument("--context", type=int, default=256, help="tokens a window")
    parser.add_argument("--vocabulary", type=int, default=2048)
    parser.add_argument("--lr", type=float, default=2e-3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--compile", action="store_true", help="torch.compile the forward pass")
    options = parser.parse_args()

    torch.manual_seed(options.seed)
    paragraphs = training_paragraphs()
    text = "\n".join(paragraphs)
    digest = hashlib.sha256(text.encode()).hexdigest()
    print(f"{len(paragraphs):,} paragraphs, {len(text.encode()) / 1e6:.1f} MB, sha256 {digest}", flush=True)
    tokenizer = train_tokenizer(paragraphs, options.vocabulary)
    encoded = tokenizer([paragraph + "\n" for paragraph in paragraphs], add_special_tokens=False)["input_ids"]
    stream = torch.tensor([token for ids in encoded for token in ids])
    starts = torch.tensor([0] + [len(ids) for ids in encoded[:-1]]).cumsum(0)
    print(f"{len(stream):,} tokens, {len(text.encode()) / len(stream):.2f} bytes a token", flush=True)

    model = build_model(options.vocabulary, options.context).to(options.device)
    loss = train(model, stream, starts, options)

    model = model.to("cpu", torch.bfloat16)
    model.save_pretrained(options.out)
    tokenizer.save_pretrained(options.out)
    held_out = scored_text(load_test_paragraphs())
    model = LlamaForCausalLM.from_pretrained(options.out, dtype=torch.float32)
    scores = {"model": model_bits_per_byte(model, tokenizer, held_out), **compressor_bits_per_byte(held_out)}
    print("bits per byte on the held-out language reference:", {name: round(bits, 3) for name, bits in scores.items()})
    record = {
        "training_text_sha256": digest,
        "training_text_bytes": len(text.encode()),
        "tokens_seen": options.steps * options.batch * options.context,
        "options": {name: str(value) for name, value in vars(options).items() if name != "out"},
        "final_training_loss_nats_per_token": loss,
        "bits_per_byte_on_demo_test": scores,
        "python": platform.python_version(),
        "torch": torch.__version__,
    }
    (options.out / "training.json").write_text(json.dumps(record, indent=2) + "\n")


if __name__ == "__main__":
    main()
