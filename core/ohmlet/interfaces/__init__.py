"""What plugins implement: one module per kind, each an abstract class that can be subclassed from its docstring alone."""
