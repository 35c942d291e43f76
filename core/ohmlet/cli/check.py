"""`ohmlet check`: a file against its schema, or a plugin against its conformance kit."""

from __future__ import annotations

from collections.abc import Sequence

import click

from ohmlet.cli.explain import settings

__all__ = ["check"]


@click.command()
@click.argument("what", nargs=-1, required=True, metavar="FILE | KIND NAME")
@settings
def check(what: tuple[str, ...], changes: Sequence[str]) -> int:
    """Check a config or experiment FILE, or run the conformance kit of KIND on the plugin NAME.

    --set changes values of the file, or parameters of the plugin. Exit status 1 when something is wrong, every problem on a line.
    """
    if len(what) == 1:
        return _file(what[0], changes)
    if len(what) == 2:
        return _plugin(what[0], what[1], changes)
    raise click.UsageError(f"give a FILE, or a KIND and a NAME, not {len(what)} words")


def _file(path: str, changes: Sequence[str]) -> int:
    from ohmlet.config import files
    from ohmlet.config.analog import AnalogConfig
    from ohmlet.config.dotted import assignment, with_paths
    from ohmlet.errors import ConfigError
    from ohmlet.experiment.schema import is_experiment
    from ohmlet.experiment.sweep import read
    from ohmlet.experiment.sweep_paths import changed
    from ohmlet.hooks import hooks

    content, paths = files.read(path), dict(assignment(change) for change in changes)
    content = changed(content, paths, path) if is_experiment(content) else with_paths(content, paths)
    try:
        config = read(content, path).hardware if is_experiment(content) else AnalogConfig.parse(content, path)
    except ConfigError as error:
        problems = list(error.problems)
    else:
        problems = [line for lines in hooks().ohmlet_check_config(config=config) for line in lines]
    for problem in problems:
        click.echo(problem)
    if problems:
        click.echo(f"{path}: {len(problems)} problem{'s' * (len(problems) > 1)}")
        return 1
    click.echo(f"{path}: a valid {'experiment' if is_experiment(content) else 'config'}")
    return 0


def _plugin(kind: str, name: str, changes: Sequence[str]) -> int:
    from ohmlet.config.dotted import assignment, with_paths
    from ohmlet.config.structure import structure
    from ohmlet.registry import registry
    from ohmlet.testing import run_kit

    known = registry(kind)
    cls, paths = known.get(name), dict(assignment(change) for change in changes)
    spec = cls() if kind == "preset" else structure(with_paths({}, paths), cls, f"{kind} {name}")
    results = run_kit(kind, spec)
    for result in results:
        word, colour = ("skip", "yellow") if result.skipped else ("pass", "green") if result.passed else ("FAIL", "red")
        click.echo(f"{click.style(word, fg=colour)}  {result.name}")
        if result.message:
            click.echo("      " + result.message.strip().replace("\n", "\n      "))
    failed, skipped = sum(not result.passed for result in results), sum(result.skipped for result in results)
    click.echo(f"{kind} {name}: {len(results) - failed - skipped} passed, {failed} failed, {skipped} skipped")
    return 1 if failed else 0
