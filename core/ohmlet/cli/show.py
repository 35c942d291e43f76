"""`ohmlet show`: one plugin with its documentation, parameters, units and source."""

from __future__ import annotations

import inspect

import click
from attrs import NOTHING, Factory, fields

__all__ = ["show"]


@click.command()
@click.argument("plugin", nargs=-1, required=True, metavar="[KIND] NAME")
def show(plugin: tuple[str, ...]) -> None:
    """Show the plugin NAME: what it is, its parameters with units and defaults, where it comes from.

    KIND may be left out where plugins of one kind only have the name.
    """
    from ohmlet.registry import registry

    if len(plugin) > 2:
        raise click.UsageError(f"give a NAME, or a KIND and a NAME, not {len(plugin)} words", click.get_current_context())
    kind, name = plugin if len(plugin) == 2 else (_kind_of(plugin[0]), plugin[0])
    known = registry(kind)
    entry, cls = known.find(name), known.get(name)
    click.echo(f"{kind} {entry.name}   {entry}\n")
    click.echo(inspect.getdoc(cls) or "")
    if kind == "preset":
        from ohmlet.status import facts_of

        _preset(cls, facts_of(entry))
        return
    click.echo("\nparameters")
    for attribute in fields(cls):
        if attribute.name == "preset":
            continue
        default = attribute.default
        if isinstance(default, Factory):  # type: ignore[arg-type]
            made = default.factory() if not default.takes_self else "computed"
            default = made if made is None or made == "computed" else getattr(made, "type_name", None) or known_name(made)
        unit = attribute.metadata.get("unit", "1")
        value = "required" if default is NOTHING else ("none" if default is None else default)
        words = f"  {attribute.name} = {value}" + (f" {unit}" if unit != "1" else "")
        click.echo(f"{words:<36}  {attribute.metadata.get('doc', '')}".rstrip())


def _kind_of(name: str) -> str:
    """Return the one kind that has plugins of a name; raises PluginError for none and for several."""
    from ohmlet.errors import PluginError, shortened
    from ohmlet.registry import KINDS, did_you_mean, registry

    kinds = [kind for kind in KINDS if name in registry(kind)]
    if len(kinds) == 1:
        return kinds[0]
    if kinds:
        raise PluginError(f"'{name}' names several plugins: {', '.join(f'`ohmlet show {kind} {name}`' for kind in kinds)}")
    if name in KINDS:
        raise PluginError(f"'{name}' is a kind of plugin: `ohmlet list {name}` lists those there are")
    every = {each for kind in KINDS for each in registry(kind).entries()}
    raise PluginError(f"unknown plugin {shortened(name)}; {did_you_mean(name.rpartition(':')[2], every)}")


def known_name(part: object) -> str:
    """Return a default part's plugin name, or its class."""
    from ohmlet.registry import registry
    from ohmlet.spec import Spec

    return registry(part.kind).name_of(type(part)) if isinstance(part, Spec) else type(part).__name__


def _preset(cls: type, facts: dict[str, str]) -> None:
    from ohmlet.config import files
    from ohmlet.config.analog import AnalogConfig
    from ohmlet.config.structure import plain

    made = cls()
    click.echo("")
    for word, value in facts.items():
        click.echo(f"{word:<7} {value}")
    click.echo("")
    spec = AnalogConfig.parse(made.build()).to_plain() if made.gives == "config" else plain(made.build())
    click.echo(files.dumps(spec, "yaml"), nl=False)
