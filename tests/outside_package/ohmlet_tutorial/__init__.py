"""A noise model, a drift compensation and a tile for Ohmlet, in a package of their own."""
