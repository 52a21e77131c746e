"""The argument parser's messages, which can fill a page, as one line."""

import ast
import re

from rs_cae.modules.checkpoints import MODULES


def one_line(message: str, arguments: list[str]) -> tuple[str, str, str]:
    """Option, value and problem of a parser's message.

    Args:
        message: What jsonargparse says.
        arguments: The command line, in which the option is looked up as it was typed.

    Example:
        >>> one_line('Parser key "data.n_train":\\n  Expected a <class \\'int\\'>. Got value: x', [])
        ('--data.n_train', 'x', 'expected int')
    """
    key = re.search(r'Parser key "([^"]+)"', message)
    value = re.search(r"(?:Got|Given) value: (.*)", message)
    nested = re.search(r"NestedArg\(key='([^']*)', val='([^']*)'\)", message)
    if nested is not None:
        reported = re.search(r": (expected .*)", message)  # this function's own line, nested in the parser's report
        return f"--model.{nested[1]}", nested[2], reported[1] if reported else "no such option of this reducer"
    if key is None:
        return "rs_cae", " ".join(arguments[:1]), _plain(message)
    option = f"--{key[1]}"
    typed = [word.partition("=")[0] for word in arguments if word.startswith("--")]
    option = next((word for word in typed if word.endswith(f".{key[1]}")), option)
    expected = list(dict.fromkeys(re.findall(r"Expected an? (.*?)(?:\. Got value.*)?$", message, re.MULTILINE)))
    if option == "--model" and value is not None:
        known = ", ".join(MODULES)
        return option, value[1].strip(), f"expected {known}, or the import path of another reducer's module"
    if value is None or not expected:
        return option, _typed_value(option, arguments), _plain(message[key.end() :].lstrip(":"))
    return option, value[1].strip(), "expected " + " or ".join(_type_name(name) for name in expected)


def own_option(message: str) -> tuple[str, str, str] | None:
    """Option, value and problem of a message of ``argparse``; None if it is of no single option.

    Example:
        >>> own_option("argument --grid: invalid int value: 'x'")
        ('--grid', 'x', 'expected int')
    """
    found = re.fullmatch(r"argument (\S+): (.*)", message, re.DOTALL)
    if found is None:
        return None
    option, problem = found[1], found[2]
    if wrong_type := re.fullmatch(r"invalid (\w+) value: (.*)", problem):
        return option, ast.literal_eval(wrong_type[2]), f"expected {wrong_type[1]}"
    if wrong_choice := re.fullmatch(r"invalid choice: (.*) \(choose from (.*)\)", problem):
        return option, ast.literal_eval(wrong_choice[1]), "expected one of " + wrong_choice[2].replace("'", "")
    said = re.fullmatch(r"(.*): (.*)", problem, re.DOTALL)  # by the function that was to convert the value
    return (option, said[1], said[2]) if said else (option, "", problem)


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


def _typed_value(option: str, arguments: list[str]) -> str:
    pairs = zip(arguments, [*arguments[1:], ""], strict=True)
    return next((value for word, value in pairs if word == option), "")


def _type_name(text: str) -> str:
    """Such as ``<class 'int'>`` to ``int`` and ``typing.Literal['a', 'b']`` to ``one of a, b``."""
    if "Literal[" in text:
        return "one of " + ", ".join(re.findall(r"'([^']*)'", text))
    name = re.sub(r"<class '([^']*)'>", r"\1", text)
    return "null" if name == "NoneType" else name.split(": ")[0]


def _plain(text: str, longest: int = 300) -> str:
    line = " ".join(text.split())
    return line if len(line) <= longest else f"{line[:longest]} ..."
