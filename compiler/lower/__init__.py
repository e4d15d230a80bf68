"""Lowering: a graph of equations becomes kernels of loops and matrix products over named buffers.

``lower`` takes the graph of every entry of a model (forward, value and gradient) and gives one program.  The steps,
each a file: ``nests`` (an equation as loops), ``contractions`` (which equations are matrix products), ``layouts`` and
``products`` (where these read, and their statements), ``tables`` (those that are read in place wherever they lie),
``windows`` (small reductions, written out), ``masks`` (where elements are needed), ``spacing`` (room between
planes), ``fusion`` and ``kernels`` (equations that share loops), ``pieces`` (reductions across shards), ``shares``
(few samples shared out among them), ``blocks`` (rows that take turns), ``rows`` (what is kept between loops),
``invariants`` (what stands before a loop), ``sharing`` (repeated sub-expressions as locals), ``regions`` (what runs
without waiting), ``places`` (tensors in the place of others), ``in_place`` (next values that replace those before
them).  ARCHITECTURE.md names the others.
"""

from __future__ import annotations

from dlc.compiler.lower.in_place import in_place
from dlc.compiler.lower.places import in_old_places
from dlc.compiler.lower.program import lower

__all__ = ["in_old_places", "in_place", "lower"]
