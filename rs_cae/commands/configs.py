"""The configuration files that a command line names: found, read, and refused by their names."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import yaml

from rs_cae.errors import InputError

OPTIONS = ("--config", "-c")


def config_at(words: Sequence[str], place: int) -> str | None:
    """The configuration that a word of a command line names, or holds the name of; None if it does neither.

    Args:
        words: The command line.
        place: Of the word.

    Example:
        >>> [config_at(["-c", "a.yaml", "--config=b.yaml"], place) for place in range(3)]
        [None, 'a.yaml', 'b.yaml']
    """
    if place and words[place - 1] in OPTIONS:
        return words[place]
    option, given, value = words[place].partition("=")
    if given and option in OPTIONS:
        return value
    if words[place].startswith("-c") and words[place] not in OPTIONS:
        return words[place][2:]
    return None


def configs_named(words: Sequence[str]) -> list[str]:
    """Every configuration that a command line names, in order."""
    return [file for place in range(len(words)) if (file := config_at(words, place)) is not None]


def read_yaml(option: str, file: str | Path) -> Any:
    """What a YAML file holds.

    Args:
        option: Which names it.
        file: Its path; or the content itself, in braces.

    Raises:
        InputError: If it cannot be read, or is no YAML.
    """
    try:
        return yaml.safe_load(str(file) if _in_braces(file) else Path(file).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(option, file, "no such file") from None
    except OSError as error:
        raise InputError(option, file, f"cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise InputError(option, file, f"cannot be read: it is no text in UTF-8 ({error.reason})") from error
    except yaml.MarkedYAMLError as error:
        line = f", line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise InputError(option, file, f"is no YAML{line}: {error.problem}") from error
    except yaml.YAMLError as error:
        raise InputError(option, file, f"is no YAML: {error}") from error


def read_config(file: str, sections: Iterable[str]) -> dict[str, Any]:
    """What a configuration file says.

    Args:
        file: Its path.
        sections: Names under which it may have options alone.

    Raises:
        InputError: If it cannot be read, or is none.
    """
    if not file:
        raise InputError("--config", "''", "names no file")
    content = read_yaml("--config", file)
    if not isinstance(content, dict):
        raise InputError("--config", file, "holds no options, such as data: {n_train: 100}")
    for name in sections:
        if name in content and not isinstance(content[name], dict):
            held = "empty" if content[name] is None else content[name]
            raise InputError("--config", file, f"its {name} is {held}, and not the options of that section")
    return content


def holder_of(key: str, words: Sequence[str]) -> str | None:
    """The configuration of a command line that sets an option; None if none does.

    Args:
        key: Such as ``data.n_train``.
        words: The command line, whose configurations can be read.
    """
    for file in configs_named(words):
        held: Any = read_yaml("--config", file)
        for name in key.split("."):
            held = held.get(name, ...) if isinstance(held, dict) else ...
        if held is not ...:
            return file
    return None


def _in_braces(file: str | Path) -> bool:
    return str(file).lstrip().startswith("{")
