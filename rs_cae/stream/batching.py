"""Which texts run together, and which are kept together."""

from collections.abc import Sequence

from torch import Tensor


def batches_of_like_lengths(lengths: Sequence[int], tokens_per_batch: int) -> list[list[int]]:
    """Deal texts into batches that waste little on padding and stay within a token budget.

    Texts are taken by ascending length, ties by number, so that the batches depend on the lengths alone.

    Args:
        lengths: Tokens of each text.
        tokens_per_batch: The most that a padded batch may hold, texts times longest; a longer text runs alone.

    Returns:
        Numbers of the texts in each batch; every text is in one of them.

    Example:
        >>> batches_of_like_lengths([5, 2, 9, 2], tokens_per_batch=10)
        [[1, 3], [0], [2]]
    """
    batches: list[list[int]] = []
    for number in sorted(range(len(lengths)), key=lambda number: lengths[number]):
        fits = bool(batches) and (len(batches[-1]) + 1) * lengths[number] <= tokens_per_batch
        if fits:
            batches[-1].append(number)
        else:
            batches.append([number])
    return batches


def chunks_of_whole_texts(text_of: Tensor, chunk_size: int) -> list[range]:
    """Cut a corpus's samples into chunks of about ``chunk_size`` that keep the samples of a text together.

    Args:
        text_of: [samples], ascending: the text of each sample.
        chunk_size: A chunk ends with the text that fills it.

    Returns:
        The sample numbers of each chunk, in order.

    Example:
        >>> import torch
        >>> chunks_of_whole_texts(torch.tensor([0, 0, 0, 1, 1, 2]), chunk_size=2)
        [range(0, 3), range(3, 5), range(5, 6)]
    """
    ends = [*((text_of.diff() != 0).nonzero().flatten() + 1).tolist(), len(text_of)]
    chunks: list[range] = []
    start = 0
    for end in ends:
        if end - start >= chunk_size or end == len(text_of):
            chunks.append(range(start, end))
            start = end
    return chunks
