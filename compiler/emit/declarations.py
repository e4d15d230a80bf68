"""What the runtime has to know of a program, as the text of a ``Declaration``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field

from dlc.compiler.emit.expressions import Spelling
from dlc.compiler.emit.regions import is_parallel, needing_all_shards, slots, touched
from dlc.compiler.emit.writer import Writer, literal
from dlc.compiler.ir.affine import integer, known
from dlc.compiler.ir.expr import Expr, Size, walk
from dlc.compiler.ir.graph import Initialiser
from dlc.compiler.ir.loops import SHARDS, Buffer, Entry, Program, Region, Step, Value, expressions, statements

GIVEN = ("input", "cotangent", "parameter", "hyper", "mode", "state")
_SHARDS = "SHARDS"


def size_text(size: Expr, used: set[str]) -> str:
    """A number, the name of a size, or a function of the sizes."""
    value = known(size)
    if value is not None:
        return str(value)
    if isinstance(size, Size) and size is not SHARDS:
        return literal(size.name)
    return f"lambda n: {_spelling(used).text(integer(size))}"


def _spelling(used: set[str]) -> Spelling:
    def name(size: Expr | str) -> str:
        assert isinstance(size, Size), size
        if size is SHARDS:
            used.add(_SHARDS)
            return f"n[{_SHARDS}]"
        return f"n[{literal(size.name)}]"

    return Spelling("float64", name, is_plain=True)


def sizes_text(sizes: Iterable[Expr], used: set[str]) -> str:
    texts = [size_text(size, used) for size in sizes]
    return "(" + ", ".join(texts) + ("," if len(texts) == 1 else "") + ")"


@dataclass
class DeclarationWriter:
    """Writes ``declaration = Declaration(..)``; ``functions`` names the function of every region."""

    program: Program
    real: str
    spec: str
    functions: Mapping[tuple[Step, ...], str]
    writer: Writer
    used: set[str] = field(default_factory=set)

    def write(self) -> None:
        self._slots = slots(self.program)
        self.used.add("Declaration")
        program = self.program
        outputs = self._outputs_of_cotangents()
        with self._call("declaration = Declaration"):
            self._field("name", literal(program.name))
            self._field("real", literal(self.real))
            if self.spec:
                self._field("spec", literal(self.spec))
            if program.sizes:
                self._field("sizes", literal(program.sizes))
            if program.derived:
                with self._call("derived=", "{", "},"):
                    for name, size in program.derived.items():
                        self.writer.line(f"{literal(name)}: {size_text(size, self.used)},")
            self._listed("inputs", [self._input(v) for v in self._values("input")])
            self._listed("cotangents", [self._cotangent(v, outputs) for v in self._values("cotangent")])
            self._listed("parameters", [self._parameter(v) for v in self._values("parameter")])
            self._listed("hypers", [self._hyper(v) for v in self._values("hyper")])
            self._listed("modes", [self._text("Mode", v.name, (), v.type) for v in self._values("mode")])
            self._listed("states", [self._state(v) for v in self._values("state")])
            self._listed("arrays", [self._array(b) for b in program.buffers.values() if b.role not in GIVEN])
            self._listed("requirements", [self._requirement(r.value, r.message) for r in program.requirements])
            with self._call("entries=", "(", "),"):
                for entry in program.entries:
                    self._entry(entry)

    # -- values and arrays --------------------------------------------------------------------------------------------

    def _values(self, role: str) -> list[Value]:
        return [value for value in self.program.values if value.role == role]

    def _array(self, buffer: Buffer) -> str:
        return self._text("Array", buffer.id, buffer.sizes, "int32" if buffer.is_short else buffer.type)

    def _input(self, value: Value) -> str:
        default = () if value.default is None else (f"default={_number(value.default)}",)
        return self._value("Input", value, *self._range(value), *default)

    def _range(self, value: Value) -> Iterable[str]:
        if value.bound is not None:
            yield f"bound={size_text(value.bound, self.used)}"
            if value.bound_set:
                yield f"bound_set={literal(value.bound_set)}"

    def _cotangent(self, value: Value, outputs: Mapping[str, str]) -> str:
        return self._value("Cotangent", value, "default=0", f"output={literal(outputs[value.name])}")

    def _parameter(self, value: Value) -> str:
        parts = list(self._initialiser(value.initialiser)) if value.initialiser is not None else []
        return self._value("Parameter", value, *parts)

    def _initialiser(self, rule: Initialiser) -> Iterable[str]:
        numbers = [_number(number) for number in rule.arguments]
        yield f"initialiser=({', '.join([literal(rule.name), *numbers])}{'' if numbers else ','})"
        for name, size in (("fan_in", rule.fan_in), ("fan_out", rule.fan_out)):
            if size is not None:
                yield f"{name}={size_text(size, self.used)}"

    def _hyper(self, value: Value) -> str:
        default = () if value.default is None else (f"default={_number(value.default)}",)
        return self._text("Hyper", value.name, (), value.type, *default, *_doc(value))

    def _state(self, value: Value) -> str:
        parts = list(self._initialiser(value.initialiser)) if value.initialiser is not None else []
        return self._value("State", value, *parts)

    def _value(self, kind: str, value: Value, *more: str) -> str:
        sets = (f"sets={literal(value.sets)}",) if value.sets else ()
        return self._text(kind, value.name, value.sizes, value.type, *sets, *more, *_doc(value))

    def _text(self, kind: str, name: str, sizes: tuple[Expr, ...], type: str, *more: str) -> str:
        self.used.add(kind)
        parts = [literal(name), f"slot={self._slots[name]}"]
        if sizes:
            parts.append(f"sizes={sizes_text(sizes, self.used)}")
        if type != "real":
            parts.append(f"type={literal(type)}")
        return f"{kind}({', '.join((*parts, *more))})"

    def _requirement(self, value: Expr, message: str) -> str:
        self.used.add("Requirement")
        return f"Requirement({size_text(value, self.used)}, {literal(message)})"

    # -- entries ------------------------------------------------------------------------------------------------------

    def _entry(self, entry: Entry) -> None:
        self.used.update(("Entry", "Step"))
        results = {result.name: result.buffer for result in entry.results}
        loss = next((name for name, buffer in results.items() if buffer == entry.loss), entry.loss)
        if entry.loss is not None and loss is not None:
            results.setdefault(loss, entry.loss)
        with self._call("Entry", "(", "),"):
            self.writer.line(f"{literal(entry.name)},")
            whole = needing_all_shards(entry, self.program)
            self._listed("steps", [self._step(region, n in whole) for n, region in enumerate(entry.regions)])
            inputs = self._inputs_of(entry, (*results.values(), *(update.buffer for update in entry.updates)))
            if inputs:
                self._field("inputs", literal(inputs))
            sizes = self._sizes_of(entry, (*inputs, *results.values()))
            if sizes != self.program.sizes:
                self._field("sizes", literal(sizes))
            self._field("results", _mapping(results))
            if loss is not None:
                self._field("loss", literal(loss))
            gradients = {gradient.name: gradient.buffer for gradient in entry.gradients}
            if gradients:
                self._field("gradients", _mapping(gradients))
            if entry.over and entry.over != tuple(value.name for value in self._values("parameter")):
                self._field("over", literal(entry.over))
            updates = {update.name: update.buffer for update in entry.updates}
            if updates:
                self._field("updates", _mapping(updates))
            self._workspace(entry, {*results.values(), *gradients.values(), *updates.values()})

    def _step(self, region: Region, all_shards: bool) -> str:
        parts = [self.functions[region.steps]]
        if is_parallel(region, self.program):
            parts.append("parallel=True")
            if region.work is not None:
                parts.append(f"work={size_text(region.work, self.used)}")
            if all_shards:
                parts.append("all_shards=True")
        return f"Step({', '.join(parts)})"

    def _touched(self, entry: Entry, number: int) -> dict[str, bool]:
        found: dict[str, bool] = {}
        for kernel in entry.regions[number].kernels:
            for name in touched(self.program.kernels[kernel]):
                if name in self.program.buffers:
                    found[name] = True
        return found

    def _inputs_of(self, entry: Entry, returned: Iterable[str]) -> tuple[str, ...]:
        """The inputs that the entry reads, or gives back as they are."""
        used = {name for number in range(len(entry.regions)) for name in self._touched(entry, number)}
        used.update(returned)
        return tuple(value.name for value in self._values("input") if value.name in used)

    def _sizes_of(self, entry: Entry, given: Iterable[str]) -> tuple[str, ...]:
        """The sizes that must be known to run the entry: those of what it touches, and those that its kernels need."""
        program = self.program
        names = {*given, *(gradient.buffer for gradient in entry.gradients)}
        parts: list[Expr] = []
        for number, region in enumerate(entry.regions):
            names.update(self._touched(entry, number))
            kernels = [program.kernels[name] for name in region.kernels]
            parts += [part for part in (region.work, *(kernel.split for kernel in kernels)) if part is not None]
            parts += [part for kernel in kernels for s in statements(kernel.body) for part in expressions(s)]
        parts += [size for name in sorted(names) for size in program.buffers[name].sizes]
        parts += [value.bound for value in program.values if value.name in names and value.bound is not None]
        found: set[str] = set()
        while parts:
            new = {node.name for node in walk(*parts) if isinstance(node, Size)} - found
            found |= new
            parts = [program.derived[name] for name in sorted(new) if name in program.derived]
        return tuple(name for name in program.sizes if name in found)

    def _workspace(self, entry: Entry, returned: set[str]) -> None:
        lives: dict[str, tuple[int, int]] = {}
        for number in range(len(entry.regions)):
            for name in self._touched(entry, number):
                if self.program.buffers[name].role not in GIVEN and name not in returned:
                    first, _ = lives.get(name, (number, number))
                    lives[name] = (first, number)
        if lives:
            self._listed("workspace", [f"{literal(name)}: {life}" for name, life in lives.items()], "{}")

    def _outputs_of_cotangents(self) -> dict[str, str]:
        """The output that every cotangent belongs to."""
        return {given.buffer: given.name for entry in self.program.entries for given in entry.cotangents}

    # -- lines --------------------------------------------------------------------------------------------------------

    def _field(self, name: str, text: str) -> None:
        self.writer.line(f"{name}={text},")

    def _listed(self, name: str, items: list[str], brackets: str = "()") -> None:
        if items:
            with self._call(f"{name}=", brackets[0], f"{brackets[1]},"):
                self.writer.lines(f"{item}," for item in items)

    def _call(self, head: str, opened: str = "(", closed: str = ")") -> AbstractContextManager[None]:
        return self.writer.bracket(f"{head}{opened}", closed)


def _number(value: float | int | bool) -> str:
    if isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):
        return f'float("{value}")'
    return repr(value)


def _doc(value: Value) -> tuple[str, ...]:
    return (f"doc={literal(value.doc)}",) if value.doc else ()


def _mapping(names: Mapping[str, str]) -> str:
    return "{" + ", ".join(f"{literal(name)}: {literal(value)}" for name, value in names.items()) + "}"
