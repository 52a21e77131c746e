"""Errors that a person can mend: the command line prints them as one line and exits with 2."""

from collections.abc import Mapping


class InputError(ValueError):
    """An option's value that cannot be used.

    Args:
        option: The option as it is typed, such as ``--data.n_train``.
        value: The value that was given.
        problem: What is wrong with it and, where that helps, what would be right.

    Example:
        >>> str(InputError("--data.n_train", 9000, "only 312 texts qualify"))
        '--data.n_train 9000: only 312 texts qualify'
    """

    def __init__(self, option: str, value: object, problem: str) -> None:
        super().__init__(f"{option} {value}: {' '.join(problem.split())}")


def refuse_below(section: str, least: Mapping[str, int], given: Mapping[str, float | None]) -> None:
    """Refuse options that are too small.

    Args:
        section: Where the options are, such as ``dynamics``.
        least: What each of them must be at least.
        given: Their values; None passes.

    Raises:
        InputError: Of the first that is too small.
    """
    for option, bound in least.items():
        value = given[option]
        if value is not None and value < bound:
            raise InputError(f"--{section}.{option}", value, f"must be at least {bound}")


def refuse_other_seeds(section: str, seed: int) -> None:
    """Refuse a seed below 0, or one from 2^32 on, which generators do not take.

    Raises:
        InputError: Names the option.
    """
    refuse_below(section, {"seed": 0}, {"seed": seed})
    if seed >= 2**32:
        raise InputError(f"--{section}.seed", seed, "must be below 2^32")
