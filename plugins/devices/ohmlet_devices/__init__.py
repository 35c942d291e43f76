"""Pulsed resistive devices of Ohmlet, one file each."""
