"""Other simulators: reading their settings, and replaying their numbers."""
