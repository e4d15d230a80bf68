"""The two languages the compiler works in: the graph of equations, and loops over buffers.

Each has its declaration, its printer and its verifier.
"""
