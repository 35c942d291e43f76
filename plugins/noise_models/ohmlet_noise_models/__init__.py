"""Noise models, conductance converters and drift compensations of Ohmlet, one file each."""
