"""How large a definition becomes when its layers are inlined, counted before anything is expanded."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from dlc.compiler.diagnostics import CompileError
from dlc.compiler.semantics.errors_calls import Recursive
from dlc.compiler.semantics.errors_limits import NestedTooDeep, TooMuchExpansion
from dlc.compiler.semantics.frames import scope_of
from dlc.compiler.semantics.modules import Module, Resolved
from dlc.compiler.semantics.scope import Scope
from dlc.compiler.source import Span
from dlc.compiler.syntax import ast

MOST_EQUATIONS = 20_000
MOST_NODES = 2_000_000
DEEPEST_CALLS = 48


class Count:
    """Equations and expression nodes of a definition with everything that it calls; each definition is counted once."""

    def __init__(self) -> None:
        self.known: dict[int, tuple[int, int, int]] = {}
        self.open: list[ast.Definition | ast.Function] = []

    def check(self, scope: Scope) -> None:
        """Raises `CompileError` if the definition is recursive, or too large or too deep when expanded."""
        self.check_item(scope.module, scope.definition)

    def check_item(self, module: Module, item: ast.Definition | ast.Function) -> None:
        """The same of a definition or a function of a module."""
        name, span = item.name.text, item.name.span
        expanded = self.of(module, item, span)
        body = item.body if isinstance(item, ast.Definition) else ()
        claims = [statement for statement in body if isinstance(statement, ast.Check)]
        # after the definition is counted: a claim may call the layer that it is about
        equations, nodes, depth = self.written(module, item, claims, expanded)
        if depth > DEEPEST_CALLS:
            raise CompileError(NestedTooDeep(span, name, DEEPEST_CALLS))
        for what, count, limit in (("equations", equations, MOST_EQUATIONS), ("terms", nodes, MOST_NODES)):
            if count > limit:
                shown = str(count) if count < 10**12 else "more than 10^12"
                raise CompileError(TooMuchExpansion(span, name, what, shown, limit))

    def of(self, module: Module, item: ast.Definition | ast.Function, span: Span) -> tuple[int, int, int]:
        if id(item) in self.known:
            return self.known[id(item)]
        if any(one is item for one in self.open):
            raise CompileError(_circle(self.open[next(n for n, one in enumerate(self.open) if one is item) :]))
        if len(self.open) > DEEPEST_CALLS:
            raise CompileError(NestedTooDeep(span, item.name.text, DEEPEST_CALLS))
        self.open.append(item)
        # the claims of a definition stand for themselves: they are not expanded where it is called
        parts = [part for part in ast.children(item) if not isinstance(part, ast.Check)]
        self.known[id(item)] = self.written(module, item, parts, (0, 0, 0))
        self.open.pop()
        return self.known[id(item)]

    def written(
        self,
        module: Module,
        item: ast.Definition | ast.Function,
        parts: Iterable[ast.Node],
        counted: tuple[int, int, int],
    ) -> tuple[int, int, int]:
        """What was counted, and these parts of a definition with everything that they call."""
        equations, nodes, depth = counted
        walked = [node for part in parts for node in ast.walk(part)]
        nodes += len(walked)
        equations += sum(isinstance(node, ast.Equation | ast.Update | ast.Check) for node in walked)
        for called, place in _called(module, item, walked):
            inner = self.of(called.module, called.item, place)
            equations, nodes, depth = equations + inner[0] + 2, nodes + inner[1], max(depth, inner[2] + 1)
        return equations, nodes, depth


def _circle(items: Sequence[ast.Definition | ast.Function]) -> Recursive:
    """The same error wherever the walk entered the circle: it begins with the first name in order."""
    start = min(range(len(items)), key=lambda n: items[n].name.text)
    turned = [*items[start:], *items[:start], items[start]]
    return Recursive(turned[0].name.span, tuple(item.name.text for item in turned))


def _called(
    module: Module, item: ast.Definition | ast.Function, nodes: Iterable[ast.Node]
) -> Iterator[tuple[Resolved, Span]]:
    """Every call in a definition, with what it calls: once for each time that its body is expanded."""
    instances = scope_of(Resolved(module, item), item).instances if isinstance(item, ast.Definition) else {}
    made = {id(entry.call) for entry in instances.values()}
    for node in nodes:
        if not isinstance(node, ast.Call) or id(node) in made:
            continue
        base: ast.Expression = node.function
        while isinstance(base, ast.Indexed | ast.Member):
            base = base.base
        if not isinstance(base, ast.Name):
            continue
        found = instances[base.text].layer if base.text in instances else module.find(base.text)
        if found is not None and not isinstance(found.item, ast.Model | ast.Optimizer):
            yield found, node.span
