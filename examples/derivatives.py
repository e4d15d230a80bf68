"""Look at what the compiler does: `python examples/derivatives.py`.

Prints the derivative of the loss of `weight_decay.dl` by its weights, as equations, and the Python module that the
model is compiled to: the same as `dlc grad examples/weight_decay.dl --of loss --wrt w` and `dlc compile`.
"""

from __future__ import annotations

from pathlib import Path

from dlc.compiler import driver

SPEC = Path(__file__).with_name("weight_decay.dl")


def main() -> str:
    """The text of the module."""
    print(driver.gradient_text(SPEC, of="loss", wrt="w"))
    module = driver.compile_spec(SPEC).path
    text = module.read_text(encoding="utf-8")
    print(f"\n{module}: {len(text.splitlines())} lines\n\n{text}")
    return text


if __name__ == "__main__":
    main()
