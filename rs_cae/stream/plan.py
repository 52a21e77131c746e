"""How a whole corpus is captured: in chunks, each of them for one process."""

from collections.abc import Sequence

import torch
from rich.progress import track

from rs_cae import processes
from rs_cae.stream.batching import chunks_of_whole_texts
from rs_cae.stream.tokens import CaptureRequest, TokenizedTexts
from rs_cae.stream.trajectories import Capturer, TrajectoryBatch


class CapturePlan:
    """A corpus in chunks of whole texts, whose batches are the same whoever captures them, and when.

    Args:
        tokenized: The corpus.
        tokens_per_batch: Tokens that run together, padding among them.
        chunk_size: Samples of a chunk, about.

    Attributes:
        chunks: The sample numbers of each.
    """

    def __init__(self, tokenized: TokenizedTexts, tokens_per_batch: int, chunk_size: int) -> None:
        self.tokenized = tokenized
        self.tokens_per_batch = tokens_per_batch
        self.chunks = chunks_of_whole_texts(tokenized.text_of, chunk_size)

    @property
    def own(self) -> range:
        """Numbers of the chunks that are this process's."""
        return range(processes.rank(), len(self.chunks), processes.world_size())

    def requests(self, numbers: Sequence[int]) -> list[CaptureRequest]:
        """What a capturer is asked for to capture these chunks."""
        return [self.tokenized.request(self.chunks[number], self.tokens_per_batch) for number in numbers]


def capture_into_memory(plan: CapturePlan, capturer: Capturer, title: str) -> TrajectoryBatch:
    """The trajectories of a whole corpus in main memory, captured by all processes together, each a part for all.

    Args:
        plan: Of the corpus.
        capturer: Runs the language model.
        title: Of the progress bar.
    """
    corpus = plan.tokenized
    captured = capturer.trajectories(plan.requests(plan.own))
    shown = f"{title}: {len(corpus.hashes)} texts"
    progress = track(captured, shown, len(plan.own), disable=processes.rank() > 0)
    states = torch.empty((len(corpus), *capturer.shape), dtype=capturer.dtype)
    for number, batch in zip(plan.own, progress, strict=True):
        states[plan.chunks[number].start : plan.chunks[number].stop] = batch.states.cpu()
    for number, chunk in enumerate(plan.chunks):
        processes.broadcast(states[chunk.start : chunk.stop], owner=number % processes.world_size())
    return TrajectoryBatch(states, corpus.tokens, corpus.position_of, torch.arange(len(corpus)), corpus.text_of)
