"""Recurrences made by hand, as semantics gives them: cycles of the graph, a tensor for each tensor of a spec."""

from __future__ import annotations

import numpy as np
from building import Model, add, at, given, graph, index, mul, parts, sub, total, when

from dlc.compiler.ir.expr import Const, Expr, Index, Reduce, Select, Size, op
from dlc.compiler.ir.graph import Graph, Tensor, whole

ONE, ZERO = Const(1.0), Const(0.0)


def reals(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(100 * seed + sum(shape)).normal(size=shape)


def itself(id: str, rank: int, type: str = "real") -> Tensor:
    """What stands for a tensor inside its own equations."""
    return Tensor(id, (Const(1),) * rank, type, "computed")  # type: ignore[arg-type]


def plus(size: str | Expr, more: int) -> Expr:
    return add(Size(size) if isinstance(size, str) else size, Const(more))


def tanh(x: Expr) -> Expr:
    return op("tanh", x)


def sigmoid(x: Expr) -> Expr:
    return op("sigmoid", x)


def weighing(tensor: Tensor) -> Tensor:
    """A loss that weighs every element differently."""
    axes = [index("abcd"[axis], size) for axis, size in enumerate(tensor.sizes)]
    weights = [op("real", add(axis, Const(number + 1))) for number, axis in enumerate(axes)]
    return whole("loss", (), total(*axes, of=mul(op("sin", at(tensor, *axes)), *weights)))


def with_loss(*tensors: Tensor, sizes: tuple[str, ...] = ()) -> Graph:
    """The last tensor is an output, and a loss is made of it."""
    return graph(*tensors, weighing(tensors[-1]), loss="loss", outputs=[tensors[-1].id], sizes=sizes)


def linear(w: Tensor, i: Index, x: Tensor, j: Index, *before: Expr) -> Expr:
    """``sum[j] w[i,j]*x[..,j]``"""
    return total(j, of=mul(at(w, i, j), at(x, *before, j)))


def rnn(batch: int | None = None, steps: int = 4, width: int = 3) -> Model:
    """h[0,d] = h0[d];  h[t+1,d] = tanh(wx[d,i]*x[t,i] + wh[d,d']*h[t,d'] + c[d])"""
    b = [] if batch is None else [index("b", "B")]
    front = ["B"] if b else []
    x, h0 = given("x", *front, "T", 2), given("h0", *front, "D")
    wx, wh, c = (given(n, *s, kind="parameter") for n, s in (("wx", ("D", 2)), ("wh", ("D", "D")), ("c", ("D",))))
    h = itself("h", 2 + len(b))
    d, d2, d3, i, t = index("d", "D"), index("d", "D"), index("d", "D"), index("i", 2), index("t", "T")
    step = tanh(add(linear(wx, d2, x, i, *b, t), linear(wh, d2, h, d3, *b, t), at(c, d2)))
    h = parts(
        "h",
        [*front, plus("T", 1), "D"],
        ((*b, d), (*b, Const(0), d), at(h0, *b, d)),
        ((*b, t, d2), (*b, add(t, Const(1)), d2), step),
    )
    made = with_loss(x, h0, wx, wh, c, h, sizes=(*front, "T", "D"))
    lead = () if batch is None else (batch,)
    inputs = {"x": reals(*lead, steps, 2), "h0": reals(*lead, width), "wx": reals(width, 2), "c": reals(width)}
    return Model("rnn" + ("-batch" if b else ""), made, {**inputs, "wh": reals(width, width)})


def guarded_rnn() -> Model:
    """h[t,d] = tanh(x[t,d] + (wh[d,d']*h[t-1,d'] if t > 0 else h0[d]))"""
    x, h0, wh = given("x", "T", "D"), given("h0", "D"), given("wh", "D", "D", kind="parameter")
    h = itself("h", 2)
    t, d, d2 = index("t", "T"), index("d", "D"), index("d", "D")
    before = linear(wh, d, h, d2, add(t, Const(-1)))
    step = tanh(add(at(x, t, d), Select(op("lt", Const(0), t), before, at(h0, d))))
    made = with_loss(x, h0, wh, whole("h", (t, d), step), sizes=("T", "D"))
    return Model("guarded-rnn", made, {"x": reals(4, 3), "h0": reals(3), "wh": reals(3, 3)})


def padded_rnn() -> Model:
    """h[t,d] = tanh(x[t,d] + wh[d,d']*h[pad(t-1),d'])"""
    x, wh = given("x", "T", "D"), given("wh", "D", "D", kind="parameter")
    h = itself("h", 2)
    t, d, d2 = index("t", "T"), index("d", "D"), index("d", "D")
    before = when(op("le", Const(1), t), at(h, add(t, Const(-1)), d2))
    step = tanh(add(at(x, t, d), total(d2, of=mul(at(wh, d, d2), before))))
    made = with_loss(x, wh, whole("h", (t, d), step), sizes=("T", "D"))
    return Model("padded-rnn", made, {"x": reals(4, 3), "wh": reals(3, 3)})


def lstm(backwards: bool = False) -> Model:
    """Gates are tensors over (b, t, ..) of their own, members of the cycle."""
    x = given("x", "B", "T", 2)
    w, u, c0 = (given(n, *s, kind="parameter") for n, s in (("w", (4, 3, 2)), ("u", (4, 3, 3)), ("c0", (4, 3))))
    h, c = itself("h", 3), itself("c", 3)
    b, t, k, d, d2, i = index("b", "B"), index("t", "T"), index("k", 4), index("d", 3), index("d", 3), index("i", 2)
    last = Size("T") if backwards else Const(0)
    before = add(t, Const(1)) if backwards else t
    sums = add(
        total(i, of=mul(at(w, k, d, i), at(x, b, t, i))),
        total(d2, of=mul(at(u, k, d, d2), at(h, b, before, d2))),
        at(c0, k, d),
    )
    a = whole("a", (b, t, k, d), sums)
    b2, t2, e = index("b", "B"), index("t", "T"), index("d", 3)
    before2, now2 = (add(t2, Const(1)), t2) if backwards else (t2, add(t2, Const(1)))

    def gate(number: int) -> Expr:
        return sigmoid(at(a, b2, t2, number, e))

    cell = add(mul(gate(0), at(c, b2, before2, e)), mul(gate(1), tanh(at(a, b2, t2, 3, e))))
    b0, d0 = index("b", "B"), index("d", 3)
    sizes = ["B", plus("T", 1), 3]
    c = parts("c", sizes, ((b0, d0), (b0, last, d0), ZERO), ((b2, t2, e), (b2, now2, e), cell))
    b0, d0, b1, t1, e1 = index("b", "B"), index("d", 3), index("b", "B"), index("t", "T"), index("d", 3)
    now1 = t1 if backwards else add(t1, Const(1))
    out = mul(sigmoid(at(a, b1, t1, 2, e1)), tanh(at(c, b1, now1, e1)))
    h = parts("h", sizes, ((b0, d0), (b0, last, d0), ZERO), ((b1, t1, e1), (b1, now1, e1), out))
    made = with_loss(x, w, u, c0, a, c, h, sizes=("B", "T"))
    inputs = {"x": reals(2, 3, 2), "w": reals(4, 3, 2), "u": reals(4, 3, 3), "c0": reals(4, 3)}
    return Model("lstm-backwards" if backwards else "lstm", made, inputs)


def padded_lstm() -> Model:
    """a tensor for each gate, and two that look back: h[pad(t-1)] in a sum, c[pad(t-1)] in a map."""
    x, q = given("x", "B", "T", 2), given("q", 4, 3, kind="parameter")
    w, u = given("w", 4, 3, 2, kind="parameter"), given("u", 4, 3, 3, kind="parameter")
    a, c, h = itself("a", 4), itself("c", 3), itself("h", 3)

    def axes() -> tuple[Index, Index, Index]:
        return index("b", "B"), index("t", "T"), index("d", 3)

    def before(tensor: Tensor, b: Index, t: Index, d: Index) -> Expr:
        return when(op("le", Const(1), t), at(tensor, b, add(t, Const(-1)), d))

    def gate(id: str, number: int, function: str = "sigmoid") -> Tensor:
        b, t, d = axes()
        return whole(id, (b, t, d), op(function, at(a, b, t, number, d)))

    (b, t, d), k, i, e = axes(), index("k", 4), index("i", 2), index("d", 3)
    products = total(i, of=mul(at(w, k, d, i), at(x, b, t, i))), total(e, of=mul(at(u, k, d, e), before(h, b, t, e)))
    a = whole("a", (b, t, k, d), add(*products, at(q, k, d)))
    enter, forget, leave, new = gate("i", 0), gate("f", 1), gate("o", 2), gate("g", 3, "tanh")
    b, t, d = axes()
    kept = mul(at(forget, b, t, d), before(c, b, t, d))
    c = whole("c", (b, t, d), add(kept, mul(at(enter, b, t, d), at(new, b, t, d))))
    b, t, d = axes()
    h = whole("h", (b, t, d), mul(at(leave, b, t, d), tanh(at(c, b, t, d))))
    made = with_loss(x, w, u, q, a, enter, forget, leave, new, c, h, sizes=("B", "T"))
    inputs = {"x": reals(2, 3, 2), "w": reals(4, 3, 2), "u": reals(4, 3, 3), "q": reals(4, 3)}
    return Model("padded-lstm", made, inputs)


def gru() -> Model:
    """Gates over (b, t, d): reset, update, candidate; h[t+1] = (1 - z)*n + z*h[t]"""
    x, w, u = given("x", "B", "T", 2), given("w", 3, 3, 2, kind="parameter"), given("u", 3, 3, 3, kind="parameter")
    h = itself("h", 3)

    def gate(id: str, number: int, *reset: Tensor) -> Tensor:
        b, t, d, d2, i = index("b", "B"), index("t", "T"), index("d", 3), index("d", 3), index("i", 2)
        before = total(d2, of=mul(at(u, number, d, d2), at(h, b, t, d2)))
        kept = [at(one, b, t, d) for one in reset]
        a = add(total(i, of=mul(at(w, number, d, i), at(x, b, t, i))), mul(*kept, before))
        return whole(id, (b, t, d), tanh(a) if reset else sigmoid(a))

    r, z = gate("r", 0), gate("z", 1)
    n = gate("n", 2, r)
    b0, d0, b, t, d = index("b", "B"), index("d", 3), index("b", "B"), index("t", "T"), index("d", 3)
    update = at(z, b, t, d)
    step = add(mul(sub(ONE, update), at(n, b, t, d)), mul(update, at(h, b, t, d)))
    h = parts(
        "h",
        ["B", plus("T", 1), 3],
        ((b0, d0), (b0, Const(0), d0), ZERO),
        ((b, t, d), (b, add(t, Const(1)), d), step),
    )
    made = with_loss(x, w, u, r, z, n, h, sizes=("B", "T"))
    return Model("gru", made, {"x": reals(2, 3, 2), "w": reals(3, 3, 2), "u": reals(3, 3, 3)})


def grid() -> Model:
    """g[i,j] from above, from the left and from the corner: two indices at once."""
    x, w = given("x", "I", "J"), given("w", 3, kind="parameter")
    g = itself("g", 2)
    i, j = index("i", "I"), index("j", "J")
    up, left = add(i, Const(-1)), add(j, Const(-1))
    not_first = op("le", Const(1), i), op("le", Const(1), j)
    value = add(
        at(x, i, j),
        mul(at(w, 0), when(not_first[0], at(g, up, j))),
        mul(at(w, 1), when(not_first[1], at(g, i, left))),
        mul(at(w, 2), when(op("and", *not_first), op("sin", at(g, up, left)))),
    )
    made = with_loss(x, w, whole("g", (i, j), tanh(value)), sizes=("I", "J"))
    return Model("grid", made, {"x": reals(3, 4), "w": reals(3)})


def crf() -> Model:
    """alpha[t+1,y] = log sum[y'] exp(alpha[t,y'] + tr[y',y]) + e[t,y], and the logarithm of the partition sum."""
    e, tr = given("e", "T", "Y"), given("tr", "Y", "Y", kind="parameter")
    alpha = itself("alpha", 2)
    t, y, y1, y2 = index("t", "T"), index("y", "Y"), index("y", "Y"), index("y", "Y")
    step = add(op("log", total(y2, of=op("exp", add(at(alpha, t, y2), at(tr, y2, y))))), at(e, t, y))
    alpha = parts(
        "alpha",
        [plus("T", 1), "Y"],
        ((y1,), (Const(0), y1), ZERO),
        ((t, y), (add(t, Const(1)), y), step),
    )
    y3 = index("y", "Y")
    z = whole("loss", (), op("log", total(y3, of=op("exp", at(alpha, Size("T"), y3)))))
    made = graph(e, tr, alpha, z, loss="loss", outputs=["loss"], sizes=("T", "Y"))
    return Model("crf", made, {"e": reals(4, 3), "tr": reals(3, 3)})


def viterbi() -> Model:
    """The best score by max, and the path of its positions, which is a recurrence over integers."""
    e, tr = given("e", "T", "Y"), given("tr", "Y", "Y", kind="parameter")
    t, y, y1, y2 = index("t", "T"), index("y", "Y"), index("y", "Y"), index("y", "Y")
    score = add(at(itself("v", 2), t, y2), at(tr, y2, y))
    v = parts(
        "v",
        [plus("T", 1), "Y"],
        ((y1,), (Const(0), y1), ZERO),
        ((t, y), (add(t, Const(1)), y), add(Reduce("max", (y2,), score), at(e, t, y))),
    )
    t3, y3, y4 = index("t", "T"), index("y", "Y"), index("y", "Y")
    back = whole("back", (t3, y3), Reduce("argmax", (y4,), add(at(v, t3, y4), at(tr, y4, y3))))
    y5, r = index("y", "Y"), index("r", "T")
    path = parts(
        "path",
        [plus("T", 1)],
        ((), (Size("T"),), Reduce("argmax", (y5,), at(v, Size("T"), y5))),
        ((r,), (r,), at(back, r, at(itself("path", 1, "int"), add(r, Const(1))))),
    )
    r2, y6 = index("r", plus("T", 1)), index("y", "Y")
    on_path = whole("on_path", (), total(r2, of=at(v, r2, at(path, r2))))
    best = whole("best", (), add(Reduce("max", (y6,), at(v, Size("T"), y6)), op("sin", at(on_path))))
    made = graph(e, tr, v, back, path, on_path, best, loss="best", outputs=["best", "path"], sizes=("T", "Y"))
    return Model("viterbi", made, {"e": reals(5, 3), "tr": reals(3, 3)})


def all_earlier() -> Model:
    """Attention over the own earlier values: h[t,d] = tanh(x[t,d] + sum[s : s < t] softmax(q.h) h[s,d])"""
    x, q = given("x", "T", "D"), given("q", "D", "D", kind="parameter")
    h, a = itself("h", 2), itself("a", 2)
    t, s, s2, d, d2 = index("t", "T"), index("s", "T"), index("s", "T"), index("d", "D"), index("d", "D")
    scores = total(d, d2, of=mul(at(x, t, d), at(q, d, d2), at(h, s, d2)))
    a = whole("a", (t, s), when(op("lt", s, t), scores))
    t1, e, s1 = index("t", "T"), index("d", "D"), index("s", "T")
    weight = op("exp", at(a, t1, s1))
    norm = total(s2, of=when(op("lt", s2, t1), op("exp", at(a, t1, s2))))
    mixed = total(s1, of=when(op("lt", s1, t1), mul(op("div", weight, norm), at(h, s1, e))))
    h = whole("h", (t1, e), tanh(add(at(x, t1, e), mixed)))
    made = with_loss(x, q, a, h, sizes=("T", "D"))
    return Model("all-earlier", made, {"x": reals(4, 3), "q": reals(3, 3)})


def depth() -> Model:
    """Layers as a recurrence over l, whose weights are stacked: h[l+1,t,d] = h[l,t,d] + tanh(w[l,d,d']*mean h)"""
    x, w = given("x", "T", 3), given("w", "L", 3, 3, kind="parameter")
    h = itself("h", 3)
    t0, d0 = index("t", "T"), index("d", 3)
    k, t, d, d2, t2 = index("l", "L"), index("t", "T"), index("d", 3), index("d", 3), index("t", "T")
    mixed = add(at(h, k, t, d2), op("div", total(t2, of=at(h, k, t2, d2)), op("real", Size("T"))))
    step = add(at(h, k, t, d), tanh(total(d2, of=mul(at(w, k, d, d2), mixed))))
    h = parts(
        "h",
        [plus("L", 1), "T", 3],
        ((t0, d0), (Const(0), t0, d0), at(x, t0, d0)),
        ((k, t, d), (add(k, Const(1)), t, d), step),
    )
    made = with_loss(x, w, h, sizes=("T", "L"))
    return Model("depth", made, {"x": reals(4, 3), "w": reals(2, 3, 3)})


def products() -> Model:
    """p[t] = prod[s : s < t] (1 + x[s]*p[s]): all earlier ones, multiplied."""
    x = given("x", "T")
    t, s = index("t", "T"), index("s", "T")
    factor = add(ONE, mul(at(x, s), at(itself("p", 1), s)))
    p = whole("p", (t,), Reduce("prod", (s,), Select(op("lt", s, t), factor, ONE)))
    return Model("products", with_loss(x, p, sizes=("T",)), {"x": reals(5)})


def extremes() -> Model:
    """m[t+1,j] = max of two, of a window over j of m, and min: kinks inside a cycle."""
    x = given("x", "T", "J")
    j0, t, j, k = index("j", "J"), index("t", "T"), index("j", "J"), index("k", 2)
    m = itself("m", 2)
    place = op("mod", add(j, k), Size("J"))
    best = Reduce("max", (k,), mul(at(m, t, place), op("real", add(k, Const(1)))))
    step = op("max", add(best, at(x, t, j)), op("min", at(m, t, j), sub(at(x, t, j), ONE)))
    m = parts("m", [plus("T", 1), "J"], ((j0,), (Const(0), j0), ONE), ((t, j), (add(t, Const(1)), j), step))
    return Model("extremes", with_loss(x, m, sizes=("T", "J")), {"x": reals(4, 3)})


def fed_back() -> Model:
    """Greedy decoding: the argmax of the scores chooses the next row of an embedding; and scheduled inputs."""
    e, w, h0 = given("e", "V", "D", kind="parameter"), given("w", "D", "D", kind="parameter"), given("h0", "D")
    h, z = itself("h", 2), itself("z", 1, "int")
    d0, t, d, d2 = index("d", "D"), index("t", 4), index("d", "D"), index("d", "D")
    step = tanh(add(linear(w, d, h, d2, t), at(e, at(z, t), d)))
    h = parts("h", [5, "D"], ((d0,), (Const(0), d0), at(h0, d0)), ((t, d), (add(t, Const(1)), d), step))
    t2, v, d3 = index("t", 5), index("v", "V"), index("d", "D")
    z = whole("z", (t2,), Reduce("argmax", (v,), total(d3, of=mul(at(e, v, d3), at(h, t2, d3)))))
    made = with_loss(e, w, h0, z, h, sizes=("V", "D"))
    return Model("fed-back", made, {"e": reals(4, 3), "w": reals(3, 3), "h0": reals(3)})


def strided() -> Model:
    """A tree: s[v] = tanh(s[2*v + 1]*s[2*v + 2]) for the inner nodes; every element of another depth."""
    x = given("x", "N")
    v, n = index("v", plus("N", -1)), index("n", "N")
    s = itself("s", 1)
    child = add(mul(Const(2), v), Const(1))
    inner = tanh(add(mul(at(s, child), at(s, add(child, Const(1)))), at(s, child)))
    size = add(mul(Const(2), Size("N")), Const(-1))
    s = parts("s", [size], ((v,), (v,), inner), ((n,), (add(n, Size("N"), Const(-1)),), at(x, n)))
    return Model("strided", with_loss(x, s, sizes=("N",)), {"x": reals(5)})


def two_directions() -> Model:
    """Forwards, then backwards over the result, and both together."""
    x, w = given("x", "T", 2), given("w", 2, 2, kind="parameter")
    f, r = itself("f", 2), itself("r", 2)
    t, d, d2 = index("t", "T"), index("d", 2), index("d", 2)
    d0, d1 = index("d", 2), index("d", 2)
    f = parts(
        "f",
        [plus("T", 1), 2],
        ((d0,), (Const(0), d0), ZERO),
        ((t, d), (add(t, Const(1)), d), tanh(add(at(x, t, d), linear(w, d, f, d2, t)))),
    )
    t2, e, e2 = index("t", "T"), index("d", 2), index("d", 2)
    r = parts(
        "r",
        [plus("T", 1), 2],
        ((t2, e), (t2, e), tanh(add(at(f, t2, e), linear(w, e, r, e2, add(t2, Const(1)))))),
        ((d1,), (Size("T"), d1), ONE),
    )
    t3, c = index("t", plus("T", 1)), index("c", 2)
    both = whole("both", (t3, c), mul(at(f, t3, c), at(r, t3, c)))
    return Model("two-directions", with_loss(x, w, f, r, both, sizes=("T",)), {"x": reals(4, 2), "w": reals(2, 2)})


def models() -> list[Model]:
    return [
        rnn(),
        rnn(batch=2),
        guarded_rnn(),
        padded_rnn(),
        lstm(),
        lstm(backwards=True),
        padded_lstm(),
        gru(),
        grid(),
        crf(),
        viterbi(),
        all_earlier(),
        depth(),
        products(),
        extremes(),
        fed_back(),
        strided(),
        two_directions(),
    ]
