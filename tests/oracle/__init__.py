"""Slow scalar implementations in float64, written from the papers' equations, that the fast ones are compared with."""
