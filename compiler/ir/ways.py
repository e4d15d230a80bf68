"""Which implementations are forced where several compute the same: `dlc compile --gemm blas --conv winograd`.

Left open, the rules of lowering and of the runtime choose by sizes and by how operands lie in memory. All give equal
results but for rounding.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

#: `tile`: the register tile of the runtime; `blas`: the library, or the tile where its integers of 32 bits or its rules
#: on rows cannot say a product; `loops`: loop nests, and no product is a call.
Gemm = Literal["", "tile", "blas", "loops"]
GEMMS: tuple[Gemm, ...] = get_args(Gemm)[1:]
#: Of products whose factors do not lie evenly, as the windows of a convolution: `direct` reads them in place, through
#: tables of offsets; `gemm` packs them for a product of matrices; `winograd` takes convolutions with few taps apart,
#: which otherwise are where that is faster, and reads the others in place.
Conv = Literal["", "direct", "winograd", "gemm"]
CONVS: tuple[Conv, ...] = get_args(Conv)[1:]


@dataclass(frozen=True)
class Ways:
    """``gemm``: how matrix products are computed; '' is open, and then those of fewer than ``loops_below``
    multiplications are loops.  ``conv``: how convolutions are.
    """

    gemm: Gemm = ""
    conv: Conv = ""
    loops_below: int = 2048

    @property
    def smallest(self) -> int:
        """The multiplications from which on a product is one: any, where its implementation is forced."""
        return 1 if self.gemm else self.loops_below

    @property
    def packs(self) -> bool:
        """Whether factors that do not lie evenly are packed, as a product of matrices needs them, and never read
        through tables."""
        return self.conv == "gemm" or (self.gemm != "" and self.conv not in ("direct", "winograd"))

    @property
    def described(self) -> str:
        """For the head of a module; '' if nothing is forced."""
        tuned = f"loops below {self.loops_below} multiplications" if self.loops_below != OPEN.loops_below else ""
        return ", ".join(filter(None, (_WORDS[self.gemm], _WORDS[self.conv], tuned)))


_WORDS: dict[str, str] = {
    "": "",
    "tile": "matrix products by the tile",
    "blas": "matrix products by BLAS",
    "loops": "matrix products by loops",
    "direct": "convolutions in place",
    "winograd": "convolutions by Winograd's products",
    "gemm": "convolutions by packed windows",
}

OPEN = Ways()
