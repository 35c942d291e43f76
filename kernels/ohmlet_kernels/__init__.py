"""Kernels of Ohmlet, one folder per operation; they know torch, numba and Triton, and nothing of Ohmlet."""
