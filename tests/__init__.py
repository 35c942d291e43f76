"""The tests of Ohmlet; they mirror the sources."""
