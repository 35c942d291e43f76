"""IBM's aihwkit: its class and field names, as plain dicts, into Ohmlet configs, with a report of what it would have ignored."""
