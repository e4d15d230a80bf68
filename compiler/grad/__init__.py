"""Differentiation, graph to graph: the table of derivative rules and the reverse walk that applies it."""
