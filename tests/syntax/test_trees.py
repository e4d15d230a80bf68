"""The grammar has no conflicts, and small texts give the trees that ast.py promises."""

from __future__ import annotations

import pytest

from dlc.compiler.source import Source, Span
from dlc.compiler.syntax import ast
from dlc.compiler.syntax.parse import grammar, parse_text
from dlc.compiler.syntax.vocabulary import LINE_KEYWORDS


def test_grammar_has_no_conflicts() -> None:
    assert grammar(strict=True).parser.options.strict


def body(*lines: str) -> tuple[ast.Statement, ...]:
    file = parse_text("layer F(x) -> y:\n" + "".join(f"    {line}\n" for line in lines))
    return file.definitions[0].body


def expression(text: str) -> str:
    (statement,) = body(f"y = {text}")
    assert isinstance(statement, ast.Equation)
    return ast.dump(statement.value)


@pytest.mark.parametrize(
    ("text", "tree"),
    [
        ("3", "3"),
        (".5", "0.5"),
        ("1.", "1.0"),
        ("1.E-8", "1.0e-8"),
        ("i''", "i''"),
        ("|I'|", "Size(I')"),
        # chains
        ("a*b/c", "Product([a, b, c], ['*', '/'])"),
        ("(a*b)*c", "Product([Product([a, b], ['*']), c], ['*'])"),
        ("a*(b*c)", "Product([a, Product([b, c], ['*'])], ['*'])"),
        ("a - b + c", "Sum([a, b, c], ['-', '+'])"),
        ("a - (b + c)", "Sum([a, Sum([b, c], ['+'])], ['-'])"),
        ("a*b//c*d", "Product([Binary('//', Product([a, b], ['*']), c), d], ['*'])"),
        ("a mod b // c", "Binary('//', Binary('mod', a, b), c)"),
        ("a + b*c", "Sum([a, Product([b, c], ['*'])], ['+'])"),
        # powers and signs
        ("-x^2", "Unary('-', Binary('^', x, 2))"),
        ("(-x)^2", "Binary('^', Unary('-', x), 2)"),
        ("a^b^c", "Binary('^', a, Binary('^', b, c))"),
        ("a^-b^c", "Binary('^', a, Unary('-', Binary('^', b, c)))"),
        ("-a*b", "Product([Unary('-', a), b], ['*'])"),
        ("a*-b", "Product([a, Unary('-', b)], ['*'])"),
        ("--a", "Unary('-', Unary('-', a))"),
        # conditions
        ("a if b else c if d else e", "Conditional(a, b, Conditional(c, d, e))"),
        ("a or b and not c < d", "Logical('or', [a, Logical('and', [b, Unary('not', Comparison([c, d], ['<']))])])"),
        ("(a or b) or c", "Logical('or', [Logical('or', [a, b]), c])"),
        ("0 <= i < n != m", "Comparison([0, i, n, m], ['<=', '<', '!='])"),
        ("i + 1 in S", "Comparison([Sum([i, 1], ['+']), S], ['in'])"),
        ("x < -1", "Comparison([x, Unary('-', 1)], ['<'])"),
        ("x*[i < j]", "Product([x, Iverson(Comparison([i, j], ['<']))], ['*'])"),
        # reductions
        ("sum[i,j] a*b + c", "Sum([Reduction('sum', [i, j], False, None, Product([a, b], ['*'])), c], ['+'])"),
        ("sum[j : j <= i] e", "Reduction('sum', [j], False, Comparison([j, i], ['<=']), e)"),
        ("sum[..] x", "Reduction('sum', [], True, None, x)"),
        ("a*sum[i] b*c", "Product([a, Reduction('sum', [i], False, None, Product([b, c], ['*']))], ['*'])"),
        ("(sum[i] b)*c", "Product([Reduction('sum', [i], False, None, b), c], ['*'])"),
        ("a/sum[i] b", "Product([a, Reduction('sum', [i], False, None, b)], ['/'])"),
        ("a/(sum[i] b*c)", "Product([a, Reduction('sum', [i], False, None, Product([b, c], ['*']))], ['/'])"),
        ("-sum[i] a*b", "Unary('-', Reduction('sum', [i], False, None, Product([a, b], ['*'])))"),
        ("2*-max[i] a", "Product([2, Unary('-', Reduction('max', [i], False, None, a))], ['*'])"),
        ("max[i] min[j] a", "Reduction('max', [i], False, None, Reduction('min', [j], False, None, a))"),
        ("not all[i] [a > b]", "Unary('not', Reduction('all', [i], False, None, Iverson(Comparison([a, b], ['>']))))"),
        ("any[i] (a)", "Reduction('any', [i], False, None, a)"),
        ("mean[b] f(x)^2", "Reduction('mean', [b], False, None, Binary('^', Call(f, [[Argument(None, x)]]), 2))"),
        ("sum[i] a if c else d", "Conditional(Reduction('sum', [i], False, None, a), c, d)"),
        # calls, subscripts, members
        ("max(a, b)", "Call(max, [[Argument(None, a), Argument(None, b)]])"),
        ("sum + max", "Sum([sum, max], ['+'])"),
        ("fc.max[i]", "Indexed(Member(fc, max), [i])"),
        ("(max)[i]", "Indexed(max, [i])"),
        ("pos()", "Call(pos, [[]])"),
        ("f(x;; h=1)", "Call(f, [[Argument(None, x)], [], [Argument(h, 1)]])"),
        ("f(;w)", "Call(f, [[], [Argument(None, w)]])"),
        ("f(x; k, s=2)", "Call(f, [[Argument(None, x)], [Argument(None, k), Argument(s, 2)]])"),
        ("f(o[b,Y])[z[b]]", "Indexed(Call(f, [[Argument(None, Indexed(o, [b, Y]))]]), [Indexed(z, [b])])"),
        ("blocks[l](h)", "Call(Indexed(blocks, [l]), [[Argument(None, h)]])"),
        ("blocks[l].w[i,j]", "Indexed(Member(Indexed(blocks, [l]), w), [i, j])"),
        ("(a + b)[i]", "Indexed(Sum([a, b], ['+']), [i])"),
        ("x[..]", "Indexed(x, [AllAxes()])"),
        ("x[(g,c), 2*i+1]", "Indexed(x, [Group([g, c]), Sum([Product([2, i], ['*']), 1], ['+'])])"),
        ("x[(i), J]", "Indexed(x, [i, J])"),
        ("x[pad(t-1),d']", "Indexed(x, [Call(pad, [[Argument(None, Sum([t, 1], ['-']))]]), d'])"),
        ("x[\n  i,\n  j]", "Indexed(x, [i, j])"),
        ("(a # why\n + b)", "Sum([a, b], ['+'])"),
    ],
)
def test_expressions(text: str, tree: str) -> None:
    assert expression(text) == tree


@pytest.mark.parametrize(
    ("text", "tree"),
    [
        ("h[0, d] = 1", "Equation(Target(h, [0, d]), 1)"),
        ("y[|C1| + C2, (g,c)] = x", "Equation(Target(y, [Sum([Size(C1), C2], ['+']), Group([g, c])]), x)"),
        ("y[..] = x[..]", "Equation(Target(y, [AllAxes()]), Indexed(x, [AllAxes()]))"),
        ("fc = Linear(I=Y)", "Equation(Target(fc, []), Call(Linear, [[Argument(I, Y)]]))"),
        ("u[b] ~ uniform(0, 1)", "Draw(Target(u, [b]), Call(uniform, [[Argument(None, 0), Argument(None, 1)]]))"),
        ("m[c] <- m[c]", "Update(Target(m, [c]), Indexed(m, [c]))"),
        ("x <-1", "Update(Target(x, []), 1)"),
        ("index I = 3, J", "IndexLine([IndexSet(I, 3), IndexSet(J, None)])"),
        ("param w[I] ~ ones", "Param([Declaration(w, [I], None, None, ones, None)])"),
        (
            "state m[..] = 0, k : int = 0",
            "State([Declaration(m, [AllAxes()], None, None, None, 0), Declaration(k, [], 'int', None, None, 0)])",
        ),
        ("total n = g^2", "Total(n, Binary('^', g, 2))"),
        ("minimize loss", "Minimize(loss, [])"),
        ("minimize d over gen, fc.w", "Minimize(d, [gen, Member(fc, w)])"),
        ("check a*b == c if d else e", "Check(Product([a, b], ['*']), Conditional(c, d, e))"),
        ("check (a) == b", "Check(a, b)"),
        ("check [a > b] == c", "Check(Iverson(Comparison([a, b], ['>'])), c)"),
    ],
)
def test_statements(text: str, tree: str) -> None:
    (statement,) = body(text)
    assert ast.dump(statement) == tree


@pytest.mark.parametrize("word", [*LINE_KEYWORDS, "over"])
def test_line_keywords_are_names_elsewhere(word: str) -> None:
    lines = (f"{word} = 1", f"{word}[i] = {word}[i] + {word}", f"{word} <- 2")
    trees = [ast.dump(statement) for statement in body(*lines)]
    assert trees[0] == f"Equation(Target({word}, []), 1)"
    assert trees[1] == f"Equation(Target({word}, [i]), Sum([Indexed({word}, [i]), {word}], ['+']))"
    assert trees[2] == f"Update(Target({word}, []), 2)"


@pytest.mark.parametrize(
    ("text", "tree"),
    [
        ("use nn.linear: Linear, Conv2d", "Use([nn, linear], [Linear, Conv2d])"),
        ("index B", "IndexLine([IndexSet(B, None)])"),
        ("fn f(x, b = 1) = x", "Function(f, [{x}, Declaration(b, [], None, None, None, 1)], x)"),
        ("fn f() = pi", "Function(f, [], pi)"),
        ("layer F(x) -> y:\n  y = x", "Layer(F, Signature([{x}], [], [], [{y}]), [{yx}])"),
        ("layer F(x; w) -> y:\n  y = x", "Layer(F, Signature([{x}], [{w}], [], [{y}]), [{yx}])"),
        ("layer F(x;; w) -> y:\n  y = x", "Layer(F, Signature([{x}], [], [{w}], [{y}]), [{yx}])"),
        ("layer F(; w; x) -> y, w:\n  y = x", "Layer(F, Signature([], [{w}], [{x}], [{y}, {w}]), [{yx}])"),
        ("model F(x) -> y:\n\ty = x", "Model(F, Signature([{x}], [], [], [{y}]), [{yx}])"),
        ("optimizer F(x):\n y = x\n\n # c\n y = x\n", "Optimizer(F, Signature([{x}], [], [], []), [{yx}, {yx}])"),
        (
            "model F(z[B,T] in V, m[B] : bool) -> y[..] : real:\n  y = x",
            "Model(F, Signature([Declaration(z, [B, T], None, V, None, None), "
            "Declaration(m, [B], 'bool', None, None, None)], [], [], "
            "[Declaration(y, [AllAxes()], 'real', None, None, None)]), [{yx}])",
        ),
    ],
)
def test_items(text: str, tree: str) -> None:
    for name in "xyw":
        tree = tree.replace(f"{{{name}}}", f"Declaration({name}, [], None, None, None, None)")
    (item,) = parse_text(text).items
    assert ast.dump(item) == tree.replace("{yx}", "Equation(Target(y, []), x)")


def test_doc_comments_go_with_what_follows() -> None:
    file = parse_text(
        "## The set.\nindex I\n## Adds\n##  one.\n\n# why\n"
        "layer F(x) -> y:\n    ## The sum.\n    y = x + 1  ## no doc\n"
        "    ## nothing follows\n## nor here\n"
    )
    index, layer = file.items
    assert index.doc == "The set."
    assert layer.doc == "Adds\n one."
    assert file.definitions[0].body[0].doc == "The sum."
    assert [comment.text for comment in file.comments if not comment.is_doc] == [
        "# why",
        "## no doc",
        "## nothing follows",
        "## nor here",
    ]
    assert [comment.own_line for comment in file.comments if not comment.is_doc] == [True, False, True, True]


def test_doc_comments_at_the_end_of_a_body() -> None:
    file = parse_text(
        " ## first\nindex I\nlayer F(x) -> y:\n## sum\n    y = x\n    ## body\n"
        "## next\n  ## two\nlayer G(x) -> y:\n  y = x\n"
    )
    index, _, layer = file.items
    assert index.doc == "first"
    assert file.definitions[0].body[0].doc == "sum"
    assert layer.doc == "next\ntwo"
    assert [comment.text for comment in file.comments if not comment.is_doc] == ["## body"]


def test_spans_hold_what_was_written() -> None:
    text = "layer F(x) -> y:\n    y[i] = (a + b) * sum[j] c[j]  # end\n    z = f(x; k, s=2)\n"
    definition = parse_text(text).definitions[0]
    assert definition.span.text == text[: text.rindex("\n")]
    equation, call = definition.body
    assert isinstance(equation, ast.Equation)
    assert equation.span.text == "y[i] = (a + b) * sum[j] c[j]"
    assert equation.target.span.text == "y[i]"
    assert equation.value.span.text == "(a + b) * sum[j] c[j]"
    assert [child.span.text for child in ast.children(equation.value)] == ["a + b", "sum[j] c[j]"]
    assert [node.span.text for node in ast.walk(call)][4:] == ["f", "x", "x", "k", "k", "s=2", "s", "2"]


def test_spans_stand_outside_equality() -> None:
    assert parse_text("index  I\n") == parse_text("\n\nindex I")
    assert hash(parse_text("index  I\n").items[0]) == hash(parse_text("index I").items[0])
    assert parse_text("## a\nindex I\n") != parse_text("## b\nindex I")


def test_walk_and_map_children() -> None:
    (statement,) = body("y = a*b + a")
    names = [node.text for node in ast.walk(statement) if isinstance(node, ast.Name)]
    assert names == ["y", "a", "b", "a"]

    def renamed(node: ast.Node) -> ast.Node:
        if isinstance(node, ast.Name) and node.text == "a":
            return ast.Name("c", span=node.span)
        return ast.map_children(renamed, node)

    assert ast.dump(renamed(statement)) == "Equation(Target(y, []), Sum([Product([c, b], ['*']), c], ['+']))"
    assert ast.map_children(lambda node: node, statement) is statement


def test_numbers_are_exact() -> None:
    place = Span(Source("a", "0"), 0, 1)
    tenth, three = ast.Number("0.1", span=place), ast.Number("3", span=place)
    assert tenth.exact * 10 == 1
    assert not tenth.is_integer
    assert three.is_integer and isinstance(three.value, int)


def test_long_chains_are_not_deep() -> None:
    (statement,) = body("y = " + " + ".join(["a*b"] * 2000))
    assert isinstance(statement, ast.Equation) and isinstance(statement.value, ast.Sum)
    assert len(statement.value.terms) == 2000


def test_deepest_tree_can_be_walked() -> None:
    (statement,) = body("y = " + "f(" * 31 + "x" + ")" * 31)
    assert hash(statement) == hash(body("y = " + "f(" * 31 + "x" + ")" * 31)[0])
    assert repr(statement).count("Call") == 31
    assert len(list(ast.walk(statement))) > 60
