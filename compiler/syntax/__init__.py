"""From text to AST and back: the grammar, the tree of what was written, and the formatter.

Every node carries its span. Nothing is resolved here: a name is a name, and what it means is the work of `semantics`.
"""
