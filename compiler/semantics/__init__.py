"""From AST to graph: names, index sets, ranks, sizes and types are resolved, layers are instantiated and inlined."""
