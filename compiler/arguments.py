"""The parameters that commands share: the spec, `-D NAME=VALUE`, `--size SET=SIZE`, the choice of implementations."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import click


class Definition(click.ParamType):
    """`-D I=784`: a size (the name starts with a capital) or a hyper-parameter."""

    name = "NAME=VALUE"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, int | float | bool]:
        name, equals, text = str(value).partition("=")
        name, text = name.strip(), text.strip()
        if not equals or not name.replace("'", "").isidentifier():
            self.fail(f"{value!r} is not of the form NAME=VALUE, such as I=784 or beta=0.5", param, ctx)
        number = _number(text)
        if number is None:
            self.fail(f"the value of {name} must be a number, true or false, not {text!r}", param, ctx)
        if name[0].isupper() and (type(number) is not int or number < 1):
            self.fail(f"{name} is an index set: its size must be a positive integer, not {text}", param, ctx)
        return name, number


def _number(text: str) -> int | float | bool | None:
    if text in ("true", "false"):
        return text == "true"
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return None


def split_definitions(definitions: Iterable[tuple[str, Any]]) -> dict[str, dict[str, Any]]:
    """The -D options as the arguments `sizes` and `hyper` of the driver."""
    chosen = dict(definitions)
    return {
        "sizes": {name: value for name, value in chosen.items() if name[0].isupper()},
        "hyper": {name: value for name, value in chosen.items() if not name[0].isupper()},
    }


class Size(click.ParamType):
    """`--size B=64`: an open index set."""

    name = "SET=SIZE"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, int]:
        name, equals, text = str(value).partition("=")
        if not equals or not name.strip() or not text.strip().isdecimal() or int(text) < 1:
            self.fail(f"{value!r} is not of the form SET=SIZE with a positive integer, such as B=64", param, ctx)
        return name.strip(), int(text)


spec_argument = click.argument("spec", metavar="SPEC")
specs_argument = click.argument("specs", metavar="SPEC...", nargs=-1, required=True)
define_option = click.option(
    "-D", "definitions", type=Definition(), multiple=True, help="Fix a size (I=784) or a hyper-parameter (beta=0.5)."
)
dtype_option = click.option(
    "--dtype", type=click.Choice(["float32", "float64"]), default="float32", show_default=True, help="The real type."
)
model_option = click.option("--model", metavar="NAME", help="The model or layer, if the file has several.")
gemm_option = click.option(
    "--gemm", type=click.Choice(["tile", "blas", "loops"]), help="Compute every matrix product by this implementation."
)
conv_option = click.option(
    "--conv",
    type=click.Choice(["direct", "winograd", "gemm"]),
    help="Compute convolutions in place, by Winograd's products, or by packed windows.",
)


def cost_options(command: Callable[..., None]) -> Callable[..., None]:
    """The options of commands that tell what kernels cost."""
    for option in reversed(
        (
            spec_argument,
            click.option("--size", "sizes", type=Size(), multiple=True, help="Of an open index set, such as B=64."),
            click.option("--json", "as_json", is_flag=True, help="Print JSON in SI units."),
            click.option("--brief", is_flag=True, help="Leave out the formulas, and how each kernel is computed."),
            click.option("--wrt", multiple=True, metavar="NAME", help="Differentiate by this input too; '*': by all."),
            define_option,
            dtype_option,
            gemm_option,
            conv_option,
            model_option,
        )
    ):
        command = option(command)
    return command
