"""Command classes that refuse unknown and repeated options and unknown variables."""

import difflib
import itertools
import os
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

import typer
from typer.core import TyperArgument, TyperCommand, TyperGroup, TyperOption

from pipelines.config.fields import known_keys
from pipelines.config.load import read_environment
from pipelines.errors import UsageError
from s2scli.usage import as_usage_errors, command_path


class StrictCommand(TyperCommand):
    """A command that refuses what a user cannot have meant.

    An unknown option is answered with the right one, or with the setting of that name.
    An option that takes one value is given at most once. An environment variable
    `S2S_...` must be the variable of a setting, even if the command reads no settings.
    """

    allow_extra_args = True  # Typer leaves the error about them to us

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.help = _reflowed(self.help or "")

    def get_params(self, ctx: Any) -> list[Any]:
        """Return the options and arguments, without types for the help to show."""
        return _without_types(super().get_params(ctx))

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the command line.

        Raises:
            UsageError: An option is unknown, is given twice or contradicts another,
                a value is missing or wrong, or there is an argument too many.
            ConfigError: A variable `S2S_...` is not a setting.
        """
        if ctx.resilient_parsing:  # a shell asks for completions
            return super().parse_args(ctx, args)
        values = self._all_values(ctx, args)
        with as_usage_errors(ctx):
            extra = super().parse_args(ctx, args)  # --help ends here
        if extra:
            raise UsageError(
                f"{command_path(ctx)} takes no argument {shlex.join(extra)}",
                hint=f"{command_path(ctx)} --help lists what it takes",
            )
        for option in _options(self.params):
            _refuse_repetition(
                option, values.get(option.name, ()), self._for_several(option)
            )
        read_environment(os.environ)
        return extra

    def option_hint(self, name: str, ctx: Any) -> str:
        """Return the hint for an unknown option; empty if nothing resembles it."""
        from pipelines.config.suggest import option_hint

        return option_hint(
            name,
            command=self.name or "",
            options=_long_names(self.get_params(ctx)),
            known=known_keys(),
        )

    def _for_several(self, option: TyperOption) -> str:
        """Return the call that takes several files where the option takes one."""
        takes_files = any(param.nargs == -1 for param in self.params)
        takes_all = takes_files and option.name == "input_file"
        return f"s2s {self.name}" if takes_all else ""

    def _all_values(self, ctx: Any, args: list[str]) -> Mapping[str, Any]:
        """Collect every value of each option; the usual parser keeps only the last."""
        params = self.get_params(ctx)
        self._require_two_hyphens(args, params)
        parser = type(self.make_parser(ctx))(ctx)
        for param in params:
            param.add_to_parser(_AppendingParser(parser), ctx)
        try:
            values: dict[str, Any] = parser.parse_args(list(args))[0]
        except typer.TyperException as error:
            if hasattr(error, "possibilities"):  # there is no such option
                name: str = getattr(error, "option_name", "")
                typed = [a for a in args if a.startswith(name) and name[:2] != "--"]
                name = typed[0].partition("=")[0] if typed else name  # -lr, not -l
                path = command_path(ctx)
                raise UsageError(
                    f"{name} is not an option of {path}",
                    hint=self.option_hint(name, ctx)
                    or f"{path} --help lists its options",
                ) from None
            return {}  # the usual parser reports the error
        return values

    def _require_two_hyphens(self, args: Sequence[str], params: Sequence[Any]) -> None:
        """Refuse `-beam_size 5`, which would be read as `-b eam_size`."""
        names = {name[2:]: name for name in _long_names(params)}
        for arg in itertools.takewhile(lambda arg: arg != "--", args):
            name = names.get(arg[1:].partition("=")[0].replace("_", "-"), "")
            if name and arg.startswith("-"):
                raise UsageError(
                    f"{arg} has one hyphen, and one letter is an option by itself",
                    hint=f"did you mean {name}?",
                )


class StrictGroup(TyperGroup):
    """A group of commands that answers an unknown command with the nearest one."""

    def get_params(self, ctx: Any) -> list[Any]:
        """Return the options, without types for the help to show."""
        return _without_types(super().get_params(ctx))

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse what precedes the command; without any argument show the help.

        Raises:
            UsageError: An option is unknown.
        """
        if ctx.resilient_parsing:
            return super().parse_args(ctx, args)
        if not args and self.no_args_is_help:
            typer.echo(ctx.get_help(), nl=False)
            raise typer.Exit(2)
        try:
            with as_usage_errors(ctx):
                return super().parse_args(ctx, args)
        except UsageError as error:
            name = getattr(error.__cause__, "option_name", "")
            if not name:
                raise
            raise UsageError(
                f"{name} is not an option of {command_path(ctx)}",
                hint=self._option_hint(name, args, ctx),
            ) from error

    def invoke(self, ctx: Any) -> Any:
        """Run the command.

        Raises:
            UsageError: There is no such command.
        """
        with as_usage_errors(ctx):
            return super().invoke(ctx)

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[Any, Any, list[str]]:
        """Find the command that the user named.

        Raises:
            UsageError: There is no such command.
        """
        if args[0] in self.commands or ctx.resilient_parsing:
            return super().resolve_command(ctx, args)
        path = command_path(ctx)
        near = difflib.get_close_matches(args[0], self.commands, n=1)
        raise UsageError(
            f"{shlex.quote(args[0])} is not a command of {path}",
            hint=f"did you mean {path} {near[0]}?"
            if near
            else f"{path} --help lists its commands",
        )

    def _option_hint(self, name: str, args: Sequence[str], ctx: Any) -> str:
        """Return the hint for an option before the command: `s2s --beam 5 translate`.

        An option of a command follows it. The hint names the command among `args` and
        the option of that command.
        """
        path = command_path(ctx)
        command = self.commands.get(next((a for a in args if a in self.commands), ""))
        if not isinstance(command, StrictCommand):
            return f"options follow their command: {path} COMMAND --help lists them"
        call = f"{path} {command.name}"
        if any(name in option.opts for option in _options(command.get_params(ctx))):
            return f"options follow their command: {call} {name}"
        near = command.option_hint(name, ctx)
        return f"options follow their command: {near or f'{call} --help lists them'}"


class _AppendingParser:
    """A parser whose options keep all their values."""

    def __init__(self, parser: Any) -> None:
        self._parser = parser

    def add_option(self, *, action: str, **settings: Any) -> None:
        """Add an option that appends where it would store."""
        self._parser.add_option(action=action.replace("store", "append"), **settings)

    def add_argument(self, **settings: Any) -> None:
        """Add an argument unchanged."""
        self._parser.add_argument(**settings)


def _refuse_repetition(
    option: TyperOption, values: Sequence[Any], for_several: str
) -> None:
    """Refuse a second value of an option that takes one, and a flag with its opposite.

    Args:
        option: An option of the command.
        values: Every value it was given.
        for_several: The call that takes them all; empty if there is none.
    """
    if option.multiple or option.count or len(values) < 2:
        return
    if option.is_flag:
        if len(set(values)) > 1:
            both = " and ".join((option.opts[-1], option.secondary_opts[-1]))
            raise UsageError(f"{both} contradict each other", hint="leave one out")
        return
    shown = [v if isinstance(v, str) else " ".join(v) for v in values]
    times = "twice" if len(values) == 2 else f"{len(values)} times"
    raise UsageError(
        f"{'/'.join(option.opts)} is given {times}: {', '.join(shown)}",
        hint=" ".join([for_several, *shown])
        if for_several
        else "it takes one value: leave the others out",
    )


def _options(params: Sequence[Any]) -> list[TyperOption]:
    return [param for param in params if isinstance(param, TyperOption)]


def _long_names(params: Sequence[Any]) -> list[str]:
    return [
        text
        for option in _options(params)
        for text in (*option.opts, *option.secondary_opts)
        if text.startswith("--")
    ]


def _without_types(params: list[Any]) -> list[Any]:
    """Hide the <bool> of flags and the <list[Path]> of arguments from the help."""
    for param in params:
        if isinstance(param, TyperArgument):
            vars(param)["display_type_rich"] = lambda **_: None
        elif param.is_flag and param.metavar is None:
            param.metavar = ""
    return params


def _reflowed(text: str) -> str:
    """Join the lines of each paragraph, so that the help fills any width."""
    return "\n\n".join(" ".join(part.split()) for part in text.split("\n\n"))
