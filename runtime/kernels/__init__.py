"""Kernels that every compiled module shares: elementary functions and matrix products, compiled once for a host."""
