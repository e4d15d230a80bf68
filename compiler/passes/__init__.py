"""Optimisation, graph to graph: one pass a file, one name a pass.

Passes never import each other; `pipeline` orders them.
"""
