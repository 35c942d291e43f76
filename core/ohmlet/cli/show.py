"""`ohmlet show`: one plugin with its documentation, parameters, units and source."""

from __future__ import annotations

import inspect

import click
from attrs import NOTHING, Factory, fields

__all__ = ["show"]


@click.command()
@click.argument("kind")
@click.argument("name")
def show(kind: str, name: str) -> None:
    """Show the plugin NAME of KIND: what it is, its parameters with units and defaults, where it comes from."""
    from ohmlet.registry import registry

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
