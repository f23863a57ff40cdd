"""The parser of the command line, the options that several commands share, and the types of values.

An error says what is wanted, what was probably meant, and where the help is.
"""

import argparse
import re
import sys
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from bpe_lm.fields import TRUTH, did_you_mean, parse_whole

_TOKENIZER_HELP = "a folder that train-tokenizer wrote, a tokenizer.json or a .tiktoken file"

_PATHS = {"CONFIG", "FILE", "FOLDER", "OUT", "PATH", "RUN"}
"""The metavars of paths. An empty path, such as "$OUT" without a value, would mean this folder, and is refused."""

_NUMBER = re.compile(r"-\d+\Z|-\d*\.\d+\Z")


class Help(argparse.HelpFormatter):
    """Help in which each option says its default, or that it is required."""

    def _get_help_string(self, action: argparse.Action) -> str:
        """The help of an option. One whose default is None or a list says in its own words what that means."""
        text = action.help or ""
        if not action.option_strings or "default:" in text or isinstance(action, _WITHOUT_DEFAULT):
            return text
        if action.required:
            return f"{text} (required)"
        return f"{text} (default: {'no' if action.nargs == 0 else '%(default)s'})"


_WITHOUT_DEFAULT = (argparse._HelpAction, argparse._VersionAction)


class Parser(argparse.ArgumentParser):
    """Takes options and positional arguments in any order. In the name of a known flag, _ means -."""

    explain: Callable[[str, Sequence[str]], str] | None = None
    """The function that makes the error for an unknown flag, of this flag and the known ones."""

    def __init__(self, *arguments: Any, **options: Any):
        super().__init__(*arguments, **{"allow_abbrev": False, "formatter_class": Help, **options})
        self.add_argument(
            "--debug", action="store_true", default=argparse.SUPPRESS, help="show a traceback with an error"
        )

    def error(self, message: str) -> NoReturn:
        """Print the error as one line, print where the help is, and exit with 2."""
        self.exit(2, f"error: {message}\nFor help: {self.prog} --help\n")

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Parse. An unknown argument is an error of this parser, which may be the parser of a command."""
        found, more = super().parse_known_args(self._in_order(sys.argv[1:] if args is None else args), namespace)
        if more:
            self.error(f"unexpected: {' '.join(more)}")
        for action in self._actions:
            given, names = getattr(found, action.dest, None), action.metavar
            has_path = not _PATHS.isdisjoint(names if isinstance(names, tuple) else [names])
            if has_path and "" in (given if isinstance(given, list) else [given]):
                self.error(f"{'/'.join(action.option_strings) or names} is empty; name a path")
        return found, []

    def _in_order(self, arguments: Sequence[str]) -> list[str]:
        """Sort arguments: positional ones, then options with their values as `--key=value`. Then none is ambiguous."""
        options: list[str] = []
        positional: list[str] = []
        rest = list(arguments)
        while rest:
            argument = rest.pop(0)
            if argument == "--":
                positional += rest
                break
            if _is_option(argument):
                options += self._option(argument, rest)
            elif self._subparsers is not None:
                self._check_command(argument)
                return [*options, argument, *rest]  # The rest is the command's.
            else:
                positional.append(argument)
        if any(_is_option(argument) for argument in positional):
            return [*options, "--", *positional]
        return [*positional, *options]

    def _option(self, argument: str, rest: list[str]) -> list[str]:
        """Return an option with its values, and remove the values from `rest`."""
        typed, equals, value = argument.partition("=")
        flag = typed.replace("_", "-")
        action = self._option_string_actions.get(flag)
        if action is None:
            self._refuse(typed)
        if equals or action.nargs == 0:
            return [flag + equals + value]
        if isinstance(action.nargs, int):
            values, rest[: action.nargs] = rest[: action.nargs], []
            return [flag, *values]
        if isinstance(action, Key) and action.is_switch:
            return [f"{flag}={rest.pop(0) if rest and rest[0].lower() in TRUTH else 'true'}"]
        following = rest[0] if rest else ""
        is_known = following.partition("=")[0].replace("_", "-") in self._option_string_actions
        if not rest or is_known or following == "--":
            self.error(f"{flag} lacks its value")
        if _is_option(following) and following.startswith("--"):
            self.error(f"{flag} lacks its value; if that is {following}, write {flag}={following}")
        return [f"{flag}={rest.pop(0)}"]

    def _refuse(self, flag: str) -> NoReturn:
        if self._subparsers is not None:
            self.error(f"there is no flag {flag} here; flags stand behind a command")
        known = [name for name in self._option_string_actions if name.startswith("--")]
        self.error((self.explain or no_such_flag)(flag, known))

    def _check_command(self, name: str) -> None:
        commands = next(a.choices for a in self._actions if isinstance(a, argparse._SubParsersAction))
        if name not in commands:
            meant = did_you_mean(name, commands)
            self.error(f"there is no command {name}" + (meant or f"; there are {', '.join(commands)}"))


def no_such_flag(flag: str, known: Sequence[str]) -> str:
    """Return the error for an unknown flag, with the flag that was probably meant."""
    return f"there is no flag {flag}{did_you_mean(flag, known)}"


class Key(argparse.Action):
    """A flag that names a key of the config. It is appended to `flags` as --key=value; a switch may stand alone."""

    def __init__(self, *, is_switch: bool = False, **options: Any):
        super().__init__(**{**options, "dest": "flags", "default": []})
        self.is_switch = is_switch

    def __call__(self, parser: Any, options: Any, value: Any, flag: str | None = None) -> None:
        """Append the flag."""
        options.flags = [*options.flags, f"{flag}={value}"]


def _is_option(argument: str) -> bool:
    """Whether an argument names an option. Values are -, negative numbers, and texts with a space before any =."""
    is_flag = argument.startswith("-") and argument != "-" and _NUMBER.match(argument) is None
    return is_flag and " " not in argument.partition("=")[0]


def whole(least: int | None = None, most: int | None = None) -> Callable[[str], int]:
    """Return the type of whole numbers in a range."""
    bounds = "" if least is None else f" from {least} on" if most is None else f" from {least} to {most}"

    def parse(text: str) -> int:
        try:
            number = parse_whole(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number{bounds}") from None
        if (least is not None and number < least) or (most is not None and number > most):
            raise argparse.ArgumentTypeError(f"{text} is not a whole number{bounds}")
        return number

    return parse


def number(text: str) -> float:
    """Parse any number."""
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number") from None


def positive(most: float) -> Callable[[str], float]:
    """Return the type of numbers above 0 and below `most`."""

    def parse(text: str) -> float:
        found = number(text)
        if not 0 < found < most:
            raise argparse.ArgumentTypeError(f"{text} is not a number above 0 and below {most:g}")
        return found

    return parse


def size(text: str) -> int:
    """Parse a number of bytes, such as 80GB or 24GiB."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([KMGT]?)(i)?B?", text.strip(), re.IGNORECASE)
    if found is None:
        raise argparse.ArgumentTypeError(f"{text!r} is no size; write 80GB or 24GiB")
    number, unit, is_binary = found.groups()
    return int(float(number) * (1024 if is_binary else 1000) ** ("KMGT".index(unit.upper()) + 1 if unit else 0))


def one_of(*choices: str) -> Callable[[str], str]:
    """Return the type of a few words."""

    def parse(text: str) -> str:
        if text not in choices:
            raise argparse.ArgumentTypeError(f"{text!r} is none of {', '.join(choices)}{did_you_mean(text, choices)}")
        return text

    return parse


def add_tokenizer_option(parser: argparse.ArgumentParser, *, action: str = "store", more: str = "") -> None:
    """Add --tokenizer, which is required."""
    parser.add_argument("--tokenizer", required=True, action=action, metavar="PATH", help=_TOKENIZER_HELP + more)


def add_input_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that say how files of text are read."""
    parser.add_argument(
        "--input-format",
        type=one_of("auto", "text", "jsonl"),
        default="auto",
        metavar="FORMAT",
        help="text, jsonl, or auto: JSON lines in files named .jsonl, .ndjson or .json, text in others, and an error "
        "if the content is something else",
    )
    parser.add_argument(
        "--json-field",
        default="text",
        metavar="NAME",
        help="field of a JSON line that has the text; meta.text is the field text in meta",
    )
    parser.add_argument(
        "--bad-lines",
        type=one_of("error", "skip"),
        default="error",
        metavar="WHAT",
        help="what a JSON line without a text is: an error, or skipped (skip)",
    )


def add_threads_option(parser: argparse.ArgumentParser) -> None:
    """Add --threads."""
    parser.add_argument("--threads", type=whole(), metavar="N", help="number of worker threads (default: one a core)")


def add_json_option(parser: argparse.ArgumentParser) -> None:
    """Add --json."""
    parser.add_argument("--json", action="store_true", help="print the result as JSON")


def add_quiet_option(parser: argparse.ArgumentParser) -> None:
    """Add --quiet."""
    parser.add_argument("--quiet", action="store_true", help="show no progress")
