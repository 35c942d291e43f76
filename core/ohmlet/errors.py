"""What Ohmlet raises and warns: each message quotes the offending value and says what to do."""

__all__ = [
    "ConfigError",
    "ConversionError",
    "OhmletError",
    "OrderError",
    "PluginError",
    "SaturationWarning",
    "SurrogateWarning",
    "UnprogrammedWarning",
    "UntrainedWarning",
    "shortened",
]


def shortened(value: object, limit: int = 80) -> str:
    """Return a value as messages quote it: its repr, cut when it is long."""
    try:
        words = repr(value)
    except (RecursionError, ValueError):  # nested too deeply, or a number of more digits than Python writes
        return f"({type(value).__name__} too large to show)"
    return words if len(words) <= limit else f"{words[:limit]}... ({type(value).__name__})"


class OhmletError(Exception):
    """Base of every error that Ohmlet raises on purpose."""


class ConfigError(OhmletError, ValueError):
    """A config, an argument or a file does not make sense; `problems` holds one line per problem."""

    def __init__(self, *problems: str) -> None:
        self.problems = problems
        super().__init__("\n".join(problems))

    def __reduce__(self) -> tuple[type["ConfigError"], tuple[str, ...]]:
        return type(self), self.problems


class PluginError(OhmletError, LookupError):
    """A plugin is unknown, ambiguous, broken or made for another version."""


class ConversionError(OhmletError, TypeError):
    """A model cannot be converted as asked."""


class OrderError(OhmletError, RuntimeError):
    """Calls came in an order that no hardware allows, such as drift before programming."""


class UnprogrammedWarning(UserWarning):
    """An analog layer is evaluated with weights that no chip holds yet, which is optimistic."""


class UntrainedWarning(UserWarning):
    """Something that a layer learns stays as it is: no optimizer updates it, or the layer is in evaluation mode."""


class SurrogateWarning(UserWarning):
    """A matrix that stands for a circuit differs from it by more than its settings state."""


class SaturationWarning(UserWarning):
    """Devices or pulse trains came to their end, and weights are not where an algorithm wanted them."""
