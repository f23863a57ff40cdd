"""The parser of the command line. An error says what is wrong, what was probably meant, and where the help is."""

import argparse
import re
import sys
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from bpe_lm.fields import did_you_mean

_PATHS = {"CONFIG", "FILE", "FOLDER", "OUT", "PATH", "RUN"}
"""The metavars of paths. An empty path, such as "$OUT" without a value, would mean this folder, and is refused."""

_NUMBER = re.compile(r"-\d+\Z|-\d*\.\d+\Z")


class Help(argparse.HelpFormatter):
    """Format help in which each option says its default, or that it is required."""

    def _get_help_string(self, action: argparse.Action) -> str:
        """Return the help of an option. If the default is None or a list, the option's own text explains it."""
        text = action.help or ""
        if not action.option_strings or "default:" in text or isinstance(action, _WITHOUT_DEFAULT):
            return text
        if action.required:
            return f"{text} (required)"
        return f"{text} (default: {'no' if action.nargs == 0 else '%(default)s'})"


_WITHOUT_DEFAULT = (argparse._HelpAction, argparse._VersionAction)


class Parser(argparse.ArgumentParser):
    """A parser that takes options and positional arguments in any order. In the name of a known flag, _ means -."""

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
        """Sort arguments, so that none is ambiguous: positional ones, then options with values as `--key=value`."""
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
        if isinstance(action, Key) and action.words:
            return [f"{flag}={rest.pop(0) if rest and rest[0].lower() in action.words else 'true'}"]
        following = rest[0] if rest else ""
        is_known = following.partition("=")[0].replace("_", "-") in self._option_string_actions
        if not rest or is_known or following == "--":
            self.error(f"{flag} lacks its value")
        if _is_option(following) and following.startswith("--"):
            self.error(f"{flag} lacks its value; if that is {following}, write {flag}={following}")
        return [f"{flag}={rest.pop(0)}"]

    def _refuse(self, flag: str) -> NoReturn:
        if self._subparsers is not None:
            self.error(f"there is no flag {flag} here; flags follow a command")
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
    """A flag that names a key of the config. It is appended to `flags` as --key=value.

    A switch has `words`, which it may be followed by; alone it is true.
    """

    def __init__(self, *, words: Sequence[str] = (), **options: Any):
        super().__init__(**{**options, "dest": "flags", "default": []})
        self.words = words

    def __call__(self, parser: Any, options: Any, value: Any, flag: str | None = None) -> None:
        """Append the flag."""
        options.flags = [*options.flags, f"{flag}={value}"]


def _is_option(argument: str) -> bool:
    """Return whether this is an option. Values are -, negative numbers, and texts with a space before any =."""
    is_flag = argument.startswith("-") and argument != "-" and _NUMBER.match(argument) is None
    return is_flag and " " not in argument.partition("=")[0]
