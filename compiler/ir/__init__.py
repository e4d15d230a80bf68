"""The two languages the compiler works in: the graph of equations, and loops over buffers, each with its printer and verifier."""
