"""The group of commands, and how errors end: one line each, exit status 2; a traceback only with --debug."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib import import_module

import click

from ohmlet.errors import ConfigError, OhmletError

__all__ = ["main", "ohmlet_group"]

COMMANDS = {
    "check": "ohmlet.cli.check:check",
    "compare": "ohmlet.cli.compare:compare_command",
    "explain": "ohmlet.cli.explain:explain_command",
    "fit": "ohmlet.cli.fit:fit_command",
    "list": "ohmlet.cli.list:list_command",
    "plot": "ohmlet.cli.plot:plot_command",
    "run": "ohmlet.cli.run:run_command",
    "show": "ohmlet.cli.show:show",
}


class Lazy(click.Group):
    """Imports a command when it is asked for; plugins' commands come after the built-in ones."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return built-in and plugin commands."""
        return sorted({*COMMANDS, *self.contributed()})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return a command by name."""
        if cmd_name in COMMANDS:
            module, _, name = COMMANDS[cmd_name].partition(":")
            command = getattr(import_module(module), name)
            assert isinstance(command, click.Command)
            return command
        return self.contributed().get(cmd_name)

    def contributed(self) -> dict[str, click.Command]:
        """Return the commands that plugins add through `ohmlet_add_commands`."""
        from ohmlet.hooks import hooks

        return {command.name: command for commands in hooks().ohmlet_add_commands() for command in commands if command.name}

    def resolve_command(self, ctx: click.Context, args: list[str]) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command that the first argument names; raises UsageError with the nearest one."""
        from ohmlet.registry import did_you_mean

        if args and not args[0].startswith("-") and self.get_command(ctx, args[0]) is None:
            raise click.UsageError(f"no command '{args[0]}'; {did_you_mean(args[0], self.list_commands(ctx))}", ctx)
        return super().resolve_command(ctx, args)


def _version(ctx: click.Context, _: click.Parameter, value: bool) -> None:
    if value:
        import ohmlet

        click.echo(f"ohmlet {ohmlet.__version__}")
        ctx.exit()


@click.group(cls=Lazy, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--version", is_flag=True, is_eager=True, expose_value=False, callback=_version, help="Show the version.")
@click.option("--debug", is_flag=True, expose_value=False, help="Show the traceback of an error.")
def ohmlet_group() -> None:
    """Simulate analog in-memory computing on PyTorch.

    Exit status: 0 done, 1 a check or a point of a sweep failed, 2 wrong usage or config, 130 interrupted.
    """


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in given
    given = [argument for argument in given if argument != "--debug"]
    try:
        status = ohmlet_group.main(given, prog_name="ohmlet", standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        return 2
    except click.ClickException as error:
        if debug:
            raise
        context = getattr(error, "ctx", None)
        click.echo(f"ohmlet: {error.format_message()}" + (f" (see {context.command_path} --help)" if context else ""), err=True)
        return 2
    except ConfigError as error:
        if debug:
            raise
        for problem in error.problems:
            click.echo(f"ohmlet: {problem}", err=True)
        return 2
    except OhmletError as error:
        if debug:
            raise
        click.echo(f"ohmlet: {error}", err=True)
        return 2
    except (click.Abort, KeyboardInterrupt):
        click.echo("ohmlet: interrupted", err=True)
        return 130
    except BrokenPipeError:
        # The reader (head, less) has seen enough; Python would complain again when it closes the pipe.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        if debug:
            raise
        click.echo(f"ohmlet: {type(error).__name__}: {error} (add --debug for the traceback)", err=True)
        return 2
    return status if isinstance(status, int) else 0
