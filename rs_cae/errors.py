"""Errors that a person can mend: the command line prints them as one line and exits with 2."""


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
