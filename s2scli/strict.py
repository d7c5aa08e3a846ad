"""The class of every command: it refuses what is unknown or given twice."""

import itertools
import os
from collections.abc import Mapping, Sequence
from typing import Any

from typer import TyperException
from typer.core import TyperCommand, TyperOption

from pipelines.config.fields import known_keys
from pipelines.config.load import read_environment
from pipelines.errors import UsageError


class StrictCommand(TyperCommand):
    """A command that refuses what a user cannot have meant.

    An option that does not exist is answered with the right one, or with the setting
    of that name. An option that takes one value is given once. A variable `S2S_...`
    that is not a setting's is refused, also by commands that read no settings.
    """

    def get_params(self, ctx: Any) -> list[Any]:
        """The options and arguments; the help does not call a flag a <bool>."""
        params = super().get_params(ctx)
        for option in self._options(params):
            if option.is_flag and option.metavar is None:
                option.metavar = ""
        return params

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the command line.

        Raises:
            UsageError: An option is unknown, is given twice or contradicts another.
            ConfigError: A variable `S2S_...` is not a setting.
        """
        if ctx.resilient_parsing:  # a shell asks how an unfinished line goes on
            return super().parse_args(ctx, args)
        values = self._every_value(ctx, args)
        rest = super().parse_args(ctx, args)  # --help ends here
        for option in self._options(self.params):
            _require_one(option, values.get(option.name, ()))
        read_environment(os.environ)
        return rest

    def _every_value(self, ctx: Any, args: list[str]) -> Mapping[str, Any]:
        """Every value of each option, where a usual parser keeps the last alone."""
        params = self.get_params(ctx)
        self._require_two_hyphens(args, params)
        parser = type(self.make_parser(ctx))(ctx)
        for param in params:
            param.add_to_parser(_Collecting(parser), ctx)
        try:
            values: dict[str, Any] = parser.parse_args(list(args))[0]
        except TyperException as error:
            if hasattr(error, "possibilities"):  # there is no such option
                name: str = getattr(error, "option_name", "")
                typed = [a for a in args if a.startswith(name) and name[:2] != "--"]
                name = typed[0].partition("=")[0] if typed else name  # -lr, not -l
                self._refuse_option(name, params, ctx)
            return {}  # the usual parser says what is wrong
        return values

    def _refuse_option(self, name: str, params: Sequence[Any], ctx: Any) -> None:
        from pipelines.config.suggest import option_hint

        hint = option_hint(
            name,
            command=self.name or "",
            options=self._long_names(params),
            known=known_keys(),
        )
        raise UsageError(
            f"{name} is not an option of {_path(ctx)}",
            hint=hint or f"{_path(ctx)} --help lists its options",
        )

    def _require_two_hyphens(self, args: Sequence[str], params: Sequence[Any]) -> None:
        """Refuse `-beam_size 5`, which would be read as `-b eam_size`."""
        names = {name[2:]: name for name in self._long_names(params)}
        for arg in itertools.takewhile(lambda arg: arg != "--", args):
            name = names.get(arg[1:].partition("=")[0].replace("_", "-"), "")
            if name and arg.startswith("-"):
                raise UsageError(
                    f"{arg} has one hyphen, and one letter is an option by itself",
                    hint=f"did you mean {name}?",
                )

    def _long_names(self, params: Sequence[Any]) -> list[str]:
        return [
            text
            for option in self._options(params)
            for text in (*option.opts, *option.secondary_opts)
            if text.startswith("--")
        ]

    @staticmethod
    def _options(params: Sequence[Any]) -> list[TyperOption]:
        return [param for param in params if isinstance(param, TyperOption)]


class _Collecting:
    """A parser to which options are added so that it keeps all their values."""

    def __init__(self, parser: Any) -> None:
        self._parser = parser

    def add_option(self, *, action: str, **how: Any) -> None:
        """Add an option that appends, whatever it does else."""
        self._parser.add_option(action=action.replace("store", "append"), **how)

    def add_argument(self, **how: Any) -> None:
        """Add an argument as it is."""
        self._parser.add_argument(**how)


def _require_one(option: TyperOption, values: Sequence[Any]) -> None:
    """Refuse a second value where one is taken, and a flag beside its opposite."""
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
        hint="it takes one value: leave the others out",
    )


def _path(ctx: Any) -> str:
    """The command as the help names it, however the program was started."""
    parts: list[str] = []
    while ctx.parent is not None:
        parts.insert(0, ctx.info_name or "")
        ctx = ctx.parent
    return " ".join(["s2s", *parts])
