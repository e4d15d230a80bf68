"""Specs in tests: a text becomes a graph, and a graph becomes numbers through the interpreter."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from dlc.compiler import semantics
from dlc.compiler.diagnostics import CompileError
from dlc.compiler.ir.graph import Graph
from dlc.compiler.ir.reference import evaluate
from dlc.compiler.ir.verify import check
from dlc.compiler.semantics.modules import Loader
from dlc.compiler.source import Source, Span
from dlc.compiler.syntax import ast
from dlc.compiler.syntax.parse import parse

LINEAR = """
layer Linear(x[J]; w[I,J] ~ xavier_uniform, b[I] = 0) -> y[I]:
    y[i] = w[i,j]*x[j] + b[i]
"""


def parsed(text: str) -> ast.File:
    return parse(Source("spec.dl", textwrap.dedent(text)))


def library(**modules: str) -> Loader:
    """A loader that knows these modules only (`nn__linear` is `nn.linear`)."""
    texts = {Path(f"{name.replace('__', '/')}.dl"): textwrap.dedent(text) for name, text in modules.items()}

    def find(name: str, beside: Path | None) -> Path | None:
        path = Path(*name.split(".")).with_suffix(".dl")
        return path if path in texts else None

    def opened(path: Path, span: Span | None) -> Source:
        return Source(str(path), texts[path])

    return Loader(find, opened, lambda name, beside: tuple(".".join(path.with_suffix("").parts) for path in texts))


def graph_of(text: str, name: str | None = None, loader: Loader | None = None, **settings: Any) -> Graph:
    """The graph, verified."""
    sizes = settings.pop("sizes", {})
    graph = semantics.elaborate(parsed(text), name, loader or Loader(), sizes, settings.pop("hypers", {}))
    assert not settings
    check(graph, "semantics")
    return graph


def errors_of(text: str, name: str | None = None, loader: Loader | None = None, **settings: Any) -> tuple[Any, ...]:
    """The diagnostics of a spec that is wrong."""
    try:
        graph_of(text, name, loader, **settings)
    except CompileError as error:
        return error.diagnostics
    raise AssertionError("the spec has no errors")


def codes_of(text: str, name: str | None = None, loader: Loader | None = None, **settings: Any) -> list[str]:
    return [problem.code for problem in errors_of(text, name, loader, **settings)]


def run(text: str, inputs: Mapping[str, Any], name: str | None = None, **settings: Any) -> dict[str, np.ndarray]:
    """The outputs of a spec, by name; parameters are given among the inputs."""
    sizes = settings.pop("bound", {})
    graph = graph_of(text, name, **settings)
    values = evaluate(graph, inputs, sizes, [output.tensor for output in graph.outputs])
    return {output.name: values[output.tensor] for output in graph.outputs}
