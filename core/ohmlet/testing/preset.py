"""What every preset promises: complete settings with a source, usable by name and traceable afterwards."""

from __future__ import annotations

import inspect
import re

from ohmlet.config import files, plain, structure
from ohmlet.config.analog import AnalogConfig
from ohmlet.interfaces.preset import FACTS, FAMILIES, STATUSES, Preset, ReadConditions, WritePulses, in_words
from ohmlet.registry import KINDS, registry
from ohmlet.status import facts_of
from ohmlet.testing.draws import addressed
from ohmlet.testing.expect import expect

__all__ = ["PresetTests"]


class PresetTests:
    """Inherit it with a fixture `spec` that returns a preset, whose class must be registered."""

    def test_says_what_it_is(self, spec: Preset) -> None:
        """`gives` is a kind or "config", `status` one of the words for where numbers come from, and the docstring opens with a sentence."""
        gives, status = getattr(spec, "gives", None), getattr(spec, "status", None)
        kinds = [*(kind for kind in KINDS if kind != "preset"), "config"]
        expect(gives in kinds, f"gives must be one of {', '.join(kinds)}, got {gives!r}")
        expect(status in STATUSES, f"status must be one of {', '.join(STATUSES)}, got {status!r}")
        first = inspect.cleandoc(vars(type(spec)).get("__doc__") or "").partition("\n")[0]
        expect(first.endswith("."), f"the docstring of {type(spec).__name__} must open with one sentence on one line, got {first!r}")

    def test_names_its_source(self, spec: Preset) -> None:
        """The source can be found: it has a DOI or a year."""
        source = getattr(spec, "source", None)
        found = isinstance(source, str) and re.search(r"\b10\.\d{4,}/\S+|\b(19|20)\d{2}\b", source)
        expect(bool(found), f"source must name a publication with its DOI, or at least its year, got {source!r}")

    def test_states_the_device_as_measured(self, spec: Preset) -> None:
        """The family is a known one, the window has both ends in their order or none, conditions and notes are what they are shown as."""
        family, ends = getattr(spec, "family", None), (getattr(spec, "g_min_uS", None), getattr(spec, "g_max_uS", None))
        expect(family in FAMILIES, f"family must be one of {', '.join(FAMILIES)}, got {family!r}")
        known = [end for end in ends if end is not None]
        ordered = len(known) == 2 and all(isinstance(end, int | float) for end in known) and 0 <= known[0] < known[1]
        expect(not known or ordered, f"g_min_uS and g_max_uS must be both None, or numbers with 0 <= g_min_uS < g_max_uS, got {ends!r}")
        for name, kind in (("write", WritePulses), ("read", ReadConditions)):
            value = getattr(spec, name, None)
            expect(value is None or isinstance(value, kind), f"{name} must be None or {kind.__name__}, got {value!r}")
        for name in ("retention", "endurance", "based_on"):
            expect(isinstance(getattr(spec, name, ""), str), f"{name} must be text, got {getattr(spec, name)!r}")

    def test_is_listed_as_it_is(self, spec: Preset) -> None:
        """What `ohmlet list preset` reads from the source is what the class says."""
        known = registry("preset")
        entry = known.find(known.name_of(type(spec)))
        shown, stated = facts_of(entry), in_words({name: getattr(spec, name, None) for name in FACTS})
        for name, value in stated.items():
            inherited = spec.based_on and value in {"generic", "not known"}
            expect(
                inherited or shown.get(name) == value,
                f"`ohmlet list preset` reads {name} {shown.get(name)!r} from the source, and the class says {value!r}: "
                "write it as a literal",
            )

    def test_builds_what_it_says(self, spec: Preset) -> None:
        """`build` returns a spec of the kind, or for a whole config the mapping that a file would hold, the same at each call."""
        built = addressed(spec.build, "build")
        if spec.gives == "config":
            AnalogConfig.parse(plain(built))
        else:
            base = registry(spec.gives).base()
            expect(isinstance(built, base), f"build() must return a {base.__name__} since gives = {spec.gives!r}, got {built!r}")

    def test_works_by_name(self, spec: Preset) -> None:
        """A config may name it; the expanded config equals what was built, and says where it came from in YAML and JSON, too."""
        name = registry("preset").name_of(type(spec))
        if spec.gives == "config":
            config = AnalogConfig.parse(name)
            expect(config == AnalogConfig.parse(plain(spec.build())), f"the name '{name}' gives other settings than build()")
            forms = {"plain data": config.to_plain(), **{form: files.parse(config.dumps(form), form) for form in ("yaml", "json")}}
            again = {form: AnalogConfig.parse(data) for form, data in forms.items()}
        else:
            base = registry(spec.gives).base()
            config = structure(name, base)
            expect(config == spec.build(), f"the name '{name}' gives {config!r} instead of {spec.build()!r}")
            again = {"plain data": structure(plain(config), base)}
            again |= {form: structure(files.parse(files.dumps(plain(config), form), form), base) for form in ("yaml", "json")}
        expect(config.preset == name, f"a config that names '{name}' says preset: {config.preset!r}")
        for form, value in again.items():
            expect(value == config, f"the expanded config comes back different from {form}: {value!r} instead of {config!r}")
            expect(
                value.preset == name, f"the expanded config forgot in {form} that it came from '{name}': it says preset: {value.preset!r}"
            )
