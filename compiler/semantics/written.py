"""The equations of a definition with the sums of the summation rule written out, as `dlc show --sums` prints them."""

from __future__ import annotations

from dataclasses import replace

from dlc.compiler.diagnostics import CompileError, Diagnostic
from dlc.compiler.semantics.errors_names import UnknownDefinition
from dlc.compiler.semantics.frames import scope_of
from dlc.compiler.semantics.modules import Loader, Resolved
from dlc.compiler.semantics.scope import Scope
from dlc.compiler.semantics.summation import Sums, left_names, sums_of, sums_of_claim, sums_of_equation
from dlc.compiler.syntax import ast
from dlc.compiler.syntax.format import INDENT, wrapped
from dlc.compiler.syntax.spell import Speller


def written_sums(file: ast.File, definition: str | None, loader: Loader) -> str:
    """A definition (or all of a file) as text; raises `CompileError` if the rule cannot be applied."""
    module = loader.module(file)
    problems: list[Diagnostic] = module.every_problem()
    chosen = [item for item in file.definitions if definition is None or item.name.text == definition]
    if definition is not None and not chosen:
        names = tuple(item.name.text for item in file.definitions)
        problems.append(UnknownDefinition(None, definition, file.span.source.name, names))
    texts: list[str] = []
    for item in chosen:
        scope = scope_of(Resolved(module, item), item)
        problems.extend(scope.problems)
        texts.append(_definition(scope, problems))
    if problems:
        raise CompileError(problems)
    return "\n".join(texts)


def _definition(scope: Scope, problems: list[Diagnostic]) -> str:
    speller = Speller()
    lines = [speller.line(scope.definition)]
    for statement in scope.definition.body:
        written: ast.Statement = statement
        if isinstance(statement, ast.Update) or (
            isinstance(statement, ast.Equation) and statement.target.name.text in scope.equations
        ):
            sums = sums_of_equation(scope, statement)
            problems.extend(sums.problems)
            written = replace(statement, value=_summed(statement.value, sums))
        elif isinstance(statement, ast.Check):
            left, right, _ = sums_of_claim(scope, statement)
            problems.extend((*left.problems, *right.problems))
            written = replace(statement, right=_summed(statement.right, right))
        elif isinstance(statement, ast.Draw) and isinstance(statement.distribution, ast.Call):
            written = replace(statement, distribution=_drawn(scope, statement, statement.distribution, problems))
        lines.extend(" " * INDENT + line for line in wrapped(speller.line(written), INDENT))
    return "".join(f"{line}\n" for line in lines)


def _drawn(scope: Scope, draw: ast.Draw, call: ast.Call, problems: list[Diagnostic]) -> ast.Call:
    """What a random tensor follows: each argument is a term of its own."""

    def summed(argument: ast.Argument) -> ast.Argument:
        if isinstance(argument.value, ast.Name):  # the set of `randint(S)`
            return argument
        sums = sums_of(scope, argument.value, left_names(scope, draw.target))
        problems.extend(sums.problems)
        return replace(argument, value=_summed(argument.value, sums))

    return replace(call, groups=tuple(tuple(map(summed, group)) for group in call.groups))


def _summed(node: ast.Expression, sums: Sums) -> ast.Expression:
    """The expression with `sum[..]` before every product that sums."""

    def visit(part: ast.Node) -> ast.Node:
        inner = ast.map_children(visit, part)
        names = sums.of(part) if isinstance(part, ast.Product) else ()
        if not names or not isinstance(inner, ast.Product):
            return inner
        indices = tuple(ast.Name(name, span=part.span) for name in names)
        return ast.Reduction("sum", indices, False, None, inner, span=part.span)

    result = visit(node)
    assert isinstance(result, ast.Expression)
    return result
