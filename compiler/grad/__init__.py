"""Derivatives of graphs, as graphs: the table of rules, the walk in an expression, the walk over the tensors."""
