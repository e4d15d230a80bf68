"""The compiler: from the text of a `.dl` file to the text of one Python module.

The folder `compiler/` is imported as `dlc.compiler`. Each sub-package is one step or one language between two steps:
`syntax` (text and AST), `semantics` (AST to graph), `ir` (the graph and loop languages), `grad` (differentiation),
`passes` (graph to graph), `lower` (graph to loops), `emit` (loops to Python). ARCHITECTURE.md draws the arrows.
"""

if __name__ != "dlc.compiler":
    raise ImportError(
        "this folder is the package dlc.compiler: install the project (pip install -e .) and import dlc.compiler"
    )
