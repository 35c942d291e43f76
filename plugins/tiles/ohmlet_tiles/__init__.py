"""Tiles and engines of Ohmlet, one file each."""
