"""The argument parser's messages, which can fill a page, as one line."""

import ast
import re
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from inspect import signature
from typing import Any

from rs_cae.commands.configs import holder_of
from rs_cae.modules.checkpoints import MODULES

EXAMPLES = {
    "data.hook_points": "'{layers: model.layers, attn: input_layernorm, mlp: post_attention_layernorm}'",
    "perturbation.layers": "[0,7,15]",
    "analyses": "[explained_variance,dynamics]",
}
"""Values of the right form, of options whose type does not say what that is."""

NESTED = r"NestedArg\(key='([^']*)', val='([^']*)'\)"
"""An option within an option, as jsonargparse shows it."""

NO_OPTION = "is neither an option nor the value of one"
WORDS = {
    "NoneType": "null",
    "dot import path string": "the import path of a class",
    "collections.abc.Iterable": "list",
}
"""What types are called here."""


def one_line(message: str, arguments: list[str], known: Iterable[str] = ()) -> tuple[str, str, str]:
    """Option, value and problem of a parser's message.

    Args:
        message: What jsonargparse says.
        arguments: The command line, in which the option is looked up as it was typed.
        known: The parser's options.

    Example:
        >>> one_line('Parser key "data.n_train":\\n  Expected a <class \\'int\\'>. Got value: x', [])
        ('--data.n_train', 'x', 'expected int')
    """
    command = "rs_cae" if not arguments or arguments[0].startswith("-") else arguments[0]
    if said := unknown_option(command, message, known) or own_option(message):
        return said
    if unread := re.search(r"(?:Group '(.*)' )?does not accept option '([^']*)'", message):
        return _of_a_configuration(".".join(filter(None, unread.groups())), command, arguments)
    key = re.search(r'Parser key "([^"]+)"', message)
    if key is None:
        return "rs_cae", " ".join(arguments[:1]), _plain(message)
    option, value = _as_typed(key[1], arguments), re.search(r"(?:Got|Given) value: (.*)", message)
    held = "" if value is None else value[1].strip() or "''"
    nested = re.search(NESTED, held)
    if option == "--model" and held:
        return _of_the_reducer(message, held, nested)
    if nested:
        return f"{option}.{nested[1]}", nested[2] or "''", f"no such option of {command}"
    expected = list(dict.fromkeys(re.findall(r"Expected an? (.*?)(?:\. Got value.*)?$", message, re.MULTILINE)))
    if "Unable to load config" in message:
        return option, _typed_value(option, arguments), f"expected an option of that section, such as {option}.NAME"
    if not held or not expected:
        return option, held or _typed_value(option, arguments), _plain(message[key.end() :].lstrip(":"))
    names = list(dict.fromkeys(_type_name(name) for name in expected if not name.startswith("path but ")))
    like = EXAMPLES.get(key[1], f"[{held}]" if "list" in names and set(names) <= {"list", "null"} else "")
    return option, held, f"expected {' or '.join(names)}" + (f", such as {like}" if like else "")


def own_option(message: str) -> tuple[str, str, str] | None:
    """Option, value and problem of a message of ``argparse``; None if it is of no single option.

    Example:
        >>> own_option("argument --grid: invalid int value: 'x'")
        ('--grid', 'x', 'expected int')
    """
    found = re.fullmatch(r"argument (?:-\w/)?(\S+): (.*)", message, re.DOTALL)
    if found is None:
        return None
    option, problem = found[1], found[2]
    if wrong_type := re.fullmatch(r"invalid (\w+) value: (.*)", problem):
        return option, ast.literal_eval(wrong_type[2]), f"expected {wrong_type[1]}"
    if wrong_choice := re.fullmatch(r"invalid choice: (.*) \(choose from (.*)\)", problem):
        return option, ast.literal_eval(wrong_choice[1]), "expected one of " + wrong_choice[2].replace("'", "")
    said = re.fullmatch(r"(.*): (.*)", problem, re.DOTALL)  # by the function that was to convert the value
    return (option, said[1], said[2]) if said else (option, "", problem)


def unknown_option(command: str, message: str, known: Iterable[str]) -> tuple[str, str, str] | None:
    """Option, value and problem of a message that words were not recognized; None if it is another one.

    Args:
        command: The command.
        message: What ``argparse`` or jsonargparse says.
        known: The options that there are.

    Example:
        >>> unknown_option("report", "unrecognized arguments: --contrl runs/a", ["--control"])
        ('--contrl', 'runs/a', 'no such option of report; did you mean --control?')
        >>> unknown_option("report", "unrecognized arguments: runs/b", ["--control"])
        ('report', 'runs/b', 'is neither an option nor the value of one')
    """
    found = re.fullmatch(r"unrecognized arguments: (.*)", message, re.DOTALL)
    if found is None:
        return None
    first, _, rest = found[1].partition(" ")
    if not first.startswith("-"):
        return command, found[1], NO_OPTION
    option, given, value = first.partition("=")
    following = rest.partition(" ")[0]
    shown = value if given else "" if following.startswith("-") else following
    return option, shown, f"no such option of {command}" + _or_else(option, known)


def constructor_problem(message: str) -> tuple[str, str, str]:
    """Option, value and problem of what a reducer's constructor raised, out of the parser's report of it.

    Example:
        >>> constructor_problem("Errors:\\n - bottleneck 0 must be at least 1\\n - Expected a None")
        ('--model.bottleneck', '0', 'must be at least 1')
    """
    found = re.search(r"Errors:\s*- \"?(\w+) (\S+) (.*?)\"?\s*(?:\n|$| - Expected)", message)
    if found is None:
        return "--model", "", _plain(message)
    return f"--model.{found[1]}", found[2], found[3]


def trainer_problem(message: str, given: Mapping[str, Any]) -> tuple[str, str, str]:
    """Option, value and problem of what Lightning says of a trainer's options.

    Args:
        message: What it says; the first option that it names is the one.
        given: Their values, by name.

    Example:
        >>> trainer_problem("`num_nodes` must be a positive integer, but got 0.", {"devices": "auto", "num_nodes": 0})
        ('--trainer.num_nodes', '0', '`num_nodes` must be a positive integer, but got 0.')
    """
    words = re.findall(r"\w+", message.replace("Timer(duration", "max_time"))
    named = next((word for word in words if given.get(word) is not None), None)
    if named is not None:
        return f"--trainer.{named}", str(given[named]), _plain(message)
    asked = ", ".join(f"{name} {given[name]}" for name in ("accelerator", "devices", "strategy") if name in given)
    return "--trainer", f"({asked})", _plain(message)


def _or_else(option: str, known: Iterable[str]) -> str:
    """The option of the same section that may have been meant."""
    section, dot, name = option.rpartition(".")
    names = [other.removeprefix(section + dot) for other in known if other.rpartition(".")[0] == section]
    close = [] if name in names else get_close_matches(name, names, 1, 0.7)
    return f"; did you mean {section}{dot}{close[0]}?" if close else ""


def _of_a_configuration(key: str, command: str, arguments: list[str]) -> tuple[str, str, str]:
    """Of an option that no section has, which stands in a configuration or in a section's braces."""
    file = holder_of(key, arguments)
    if file is None:
        return f"--{key}", "", f"no such option of {command}"
    return "--config", file, f"its {key} is no option of {command}"


def _of_the_reducer(message: str, held: str, nested: re.Match[str] | None) -> tuple[str, str, str]:
    """Of the section ``model``: one of its options, as typed or in a configuration, or the module that has them."""
    value = "" if nested is None else nested[2] or "''"
    if reported := re.search(r"- --(?:model\.)?(?:init_args\.)?(\S+) (.*?): (expected .*)", message):  # by ``one_line``
        return f"--model.{reported[1]}", reported[2], reported[3]
    if unread := re.search(r"Option '([^']*)' is not accepted", message):
        option, known = f"--model.{unread[1]}", [signature(kind).parameters for kind in MODULES.values()]
        names = [f"--model.{name}" for parameters in known for name in parameters]
        return option, value, "no such option of this reducer" + _or_else(option, names)
    named = re.search(r"class_path'?[=:] ?'([^']*)'", held)
    shown = named[1] if named else value or held
    return "--model", shown, f"expected {', '.join(MODULES)}, or the import path of another reducer's module"


def _as_typed(key: str, arguments: list[str]) -> str:
    """The option of a parser's key, which names an argument of a reducer without the section."""
    typed = [word.partition("=")[0] for word in arguments if word.startswith("--model.")]
    return next((word for word in typed if word.endswith(f".{key}")), f"--{key}")


def _typed_value(option: str, arguments: list[str]) -> str:
    pairs = zip(arguments, [*arguments[1:], ""], strict=True)
    return next((value for word, value in pairs if word == option), "")


def _type_name(text: str) -> str:
    """Such as ``<class 'int'>`` to ``int`` and ``typing.Literal['a', 'b']`` to ``one of a, b``."""
    if literal := re.search(r"Literal\[(.*)\]", text):
        return "one of " + literal[1].replace("'", "")
    name = re.sub(r"<class '([^']*)'>", r"\1", text).split(": ")[0]
    return WORDS.get(name, name)


def _plain(text: str, longest: int = 300) -> str:
    line = " ".join(text.split())
    return line if len(line) <= longest else f"{line[:longest]} ..."
