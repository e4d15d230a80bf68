"""The standard library of specs, as package data: `use nn.linear: Linear` finds `specs/nn/linear.dl`.

There is no Python in here. The folders are packages so that installing the project installs the `.dl` files with it.
"""
