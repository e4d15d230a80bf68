"""The implementations: what each makes of a workload. A maker raises ImportError if its library is not installed, or if
the workload has nothing for it.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from types import SimpleNamespace
from typing import Any

from benchmarks.workload import COTANGENT, Named, Numbers, Sizes, Workload

Step = Callable[[], Sequence[Any]]
RATE = 1e-6
"""Of Adam, which moves the parameters in training steps: so small that all steps of a measurement do the same work."""
Maker = Callable[[Workload, Sizes, Numbers, int], Step]


def made(name: str, workload: Workload, sizes: Sizes, numbers: Numbers, threads: int) -> Step:
    """The step of one implementation, not yet run."""
    return _MAKERS[name](workload, sizes, numbers, threads)


def import_library(name: str) -> None:
    """Import what the implementation needs before it sees a workload."""
    for library in _LIBRARIES[name]:
        importlib.import_module(library)


def comparable(name: str, workload: Workload, found: Sequence[Any]) -> list[Any]:
    """What a step gave, with derivatives by the parameters as the other implementations hold them."""
    if name not in OURS:
        return list(found)
    value, *derivatives = found
    return [value, *workload.layout(dict(zip(workload.wrt, derivatives, strict=True))).values()]


def _dlc(workload: Workload, sizes: Sizes, numbers: Numbers, threads: int) -> Step:
    """What stays is bound, as the arrays of the others that live on their device."""
    return _dlc_step(workload, sizes, numbers, threads, binds=True)


def _dlc_call(workload: Workload, sizes: Sizes, numbers: Numbers, threads: int) -> Step:
    """Arrays are given anew to each call, which looks at them, and its gradients belong to the caller."""
    if not _can_bind(workload, numbers):
        raise ImportError("this workload is measured by such calls anyway")
    return _dlc_step(workload, sizes, numbers, threads, binds=False)


def _can_bind(workload: Workload, numbers: Numbers) -> bool:
    return bool(workload.wrt) and COTANGENT not in numbers and not workload.trains


def _dlc_step(workload: Workload, sizes: Sizes, numbers: Numbers, threads: int, binds: bool) -> Step:
    import dlc

    dlc.set_num_threads(threads)
    is_layer = COTANGENT in numbers
    definitions: dict[str, Any] = workload.definitions(sizes)
    wrt = list(workload.wrt) if is_layer else None
    module = dlc.compile(workload.spec, dtype="float32", wrt=wrt, model=workload.definition, **definitions)
    model = getattr(module, workload.definition)()
    model.train = True
    for name in model.params:
        model.params[name][...] = numbers[name]
    inputs = {name: value for name, value in numbers.items() if name in model.inputs}
    if not workload.wrt:
        return lambda: [model.forward(inputs)["y"]]
    if is_layer:

        def layer_step() -> Sequence[Any]:
            outputs, gradients = model.vjp(numbers[COTANGENT], **inputs)
            return [outputs["y"], *(gradients[name] for name in workload.wrt)]

        return layer_step

    if binds and _can_bind(workload, numbers):
        bound = model.bind(inputs)
        stay = [bound.gradients[name] for name in workload.wrt]
        return lambda: [bound(), *stay]

    move = dlc.compile("optim.adam", model="Adam").Adam(model, lr=RATE).step if workload.trains else None

    def step() -> Sequence[Any]:
        loss, gradients = model.value_and_grad(inputs)
        if move is not None:
            move(gradients)
        return [loss, *(gradients[name] for name in workload.wrt)]

    return step


def _torch(workload: Workload, sizes: Sizes, numbers: Numbers, threads: int) -> Step:
    return _torch_step(workload, sizes, numbers, threads)


def _torch_channels_last(workload: Workload, sizes: Sizes, numbers: Numbers, threads: int) -> Step:
    if not workload.images:
        raise ImportError("this workload has no images")
    return _torch_step(workload, sizes, numbers, threads, channels_last=True)


def _torch_compile(workload: Workload, sizes: Sizes, numbers: Numbers, threads: int) -> Step:
    return _torch_step(workload, sizes, numbers, threads, channels_last=workload.images, compiled=True)


def _torch_step(
    workload: Workload,
    sizes: Sizes,
    numbers: Numbers,
    threads: int,
    channels_last: bool = False,
    compiled: bool = False,
) -> Step:
    import torch

    torch.set_num_threads(threads)
    formula = _torch_compiled(torch, workload.torch) if compiled else workload.torch
    # copies: PyTorch's own memory begins where a line of the cache does, NumPy's need not
    fixed, moving = ({name: torch.tensor(a) for name, a in part.items()} for part in _parts(workload, numbers))
    if channels_last:
        fixed, moving = ({name: _channels_last(torch, t) for name, t in part.items()} for part in (fixed, moving))
    leaves = [tensor.requires_grad_() for tensor in moving.values()]
    named, options, weight = Named({**fixed, **moving}), SimpleNamespace(**sizes), fixed.get(COTANGENT)
    if not leaves:
        return lambda: [formula(torch, named, options)]
    optimizer = torch.optim.Adam(leaves, lr=RATE, fused=True) if workload.trains else None

    def step() -> Sequence[Any]:
        value = formula(torch, named, options)
        gradients = torch.autograd.grad(value, leaves, weight)
        if optimizer is not None:
            for leaf, gradient in zip(leaves, gradients, strict=True):
                leaf.grad = gradient
            optimizer.step()
        return [value.detach(), *gradients]

    return step


def _torch_compiled(torch: Any, formula: Callable[..., Any]) -> Callable[..., Any]:
    """Recurrent networks stay as they are, as in `torch.nn.LSTM`: they are not traced, or fail if they are."""
    for name in ("lstm", "gru"):
        setattr(torch, name, torch.compiler.disable(getattr(torch, name)))
    return torch.compile(formula)


def _channels_last(torch: Any, tensor: Any) -> Any:
    return tensor.contiguous(memory_format=torch.channels_last) if tensor.ndim == 4 else tensor


def _jax(workload: Workload, sizes: Sizes, numbers: Numbers, threads: int) -> Step:
    if workload.jax is None:
        raise ImportError("this workload has no formula for it")
    import jax  # pyright: ignore[reportMissingImports]

    formula, options = workload.jax, SimpleNamespace(**sizes)
    fixed, moving = ({name: jax.numpy.array(a) for name, a in part.items()} for part in _parts(workload, numbers))
    if not moving:
        value_of = jax.jit(lambda fixed: formula(jax, Named(fixed), options))
        return lambda: [jax.block_until_ready(value_of(fixed))]

    @jax.jit
    def differentiated(moving: Any, fixed: Any) -> Any:
        value, pull_back = jax.vjp(lambda moving: formula(jax, Named({**moving, **fixed}), options), moving)
        return value, pull_back(fixed.get(COTANGENT, jax.numpy.ones_like(value)))[0]

    if workload.trains:
        return _jax_training(jax, differentiated, moving, fixed)

    def step() -> Sequence[Any]:
        value, gradients = jax.block_until_ready(differentiated(moving, fixed))
        return [value, *(gradients[name] for name in moving)]

    return step


def _jax_training(jax: Any, differentiated: Callable[[Any, Any], Any], moving: Any, fixed: Any) -> Step:
    """Steps of Adam: Kingma and Ba 2015, algorithm 1."""
    tree_map = jax.tree_util.tree_map

    @partial(jax.jit, donate_argnums=0)
    def trained(state: Any, fixed: Any) -> Any:
        moving, m, v, k = state
        value, g = differentiated(moving, fixed)
        k = k + 1
        m = tree_map(lambda m, g: 0.9 * m + 0.1 * g, m, g)
        v = tree_map(lambda v, g: 0.999 * v + 0.001 * g * g, v, g)
        rate, correction = RATE / (1 - 0.9**k), jax.numpy.sqrt(1 - 0.999**k)
        moving = tree_map(lambda x, m, v: x - rate * m / (jax.numpy.sqrt(v) / correction + 1e-8), moving, m, v)
        return (moving, m, v, k), (value, g)

    zeros = [tree_map(jax.numpy.zeros_like, moving) for _ in "mv"]
    state = [(moving, *zeros, jax.numpy.zeros(()))]

    def step() -> Sequence[Any]:
        state[0], (value, gradients) = jax.block_until_ready(trained(state[0], fixed))
        return [value, *(gradients[name] for name in moving)]

    return step


def _pytensor(workload: Workload, sizes: Sizes, numbers: Numbers, threads: int) -> Step:
    if workload.pytensor is None:
        raise ImportError("this workload has no formula for it")
    import pytensor  # pyright: ignore[reportMissingImports]

    pytensor.config.floatX = "float32"
    fixed, moving = _parts(workload, numbers)
    given = {**fixed, **moving}
    variables = {name: pytensor.tensor.as_tensor(array).type(name) for name, array in given.items()}
    value = workload.pytensor(pytensor, Named(variables), SimpleNamespace(**sizes))
    leaves = [variables[name] for name in moving]
    known = {value: variables[COTANGENT]} if COTANGENT in variables else None
    gradients = pytensor.grad(None if known else value, leaves, known_grads=known)
    inputs = list(variables.values())
    compiled = pytensor.function(inputs, [value, *gradients], mode="NUMBA", on_unused_input="ignore")
    compiled.trust_input = True
    return lambda: compiled(*given.values())


def _numba(workload: Workload, sizes: Sizes, numbers: Numbers, threads: int) -> Step:
    module = importlib.import_module(f"benchmarks.handwritten.{workload.name}")
    return module.step(numbers, sizes, threads)


def _parts(workload: Workload, numbers: Numbers) -> tuple[Numbers, Numbers]:
    """What stays as it is, and what is differentiated by, as libraries hold it."""
    fixed = {name: value for name, value in numbers.items() if name not in workload.wrt}
    return fixed, workload.layout({name: numbers[name] for name in workload.wrt})


_MAKERS: Mapping[str, Maker] = {
    "dlc": _dlc,
    "dlc.call": _dlc_call,
    "torch": _torch,
    "torch.channels_last": _torch_channels_last,
    "torch.compile": _torch_compile,
    "jax": _jax,
    "pytensor": _pytensor,
    "numba": _numba,
}
_LIBRARIES: Mapping[str, Sequence[str]] = {
    "dlc": ("dlc.compiler.driver", "dlc.runtime.kernels"),
    "dlc.call": ("dlc.compiler.driver", "dlc.runtime.kernels"),
    "torch": ("torch",),
    "torch.channels_last": ("torch",),
    "torch.compile": ("torch", "torch._inductor.compile_fx"),
    "jax": ("jax", "jax.numpy"),
    "pytensor": ("pytensor", "pytensor.tensor"),
    "numba": ("dlc.runtime.kernels",),
}
IMPLEMENTATIONS = tuple(_MAKERS)
OURS = ("dlc", "dlc.call")
HANDWRITTEN = "numba"
"""What specs are to be as fast as, but nobody's competitor."""
PEERS = tuple(name for name in IMPLEMENTATIONS if name not in (*OURS, HANDWRITTEN))
COMPILERS = ("dlc", "torch.compile", "pytensor")
"""Those that keep what they have compiled for the next process."""
