"""erf, branch-free. Largest error found, in units in the last place, for both types: 2.3.

Below a border erf(x) = x * P(x^2), above it erf(x) = 1 - exp(-Q(x)), where Q approximates -log(erfc(x)): what exp adds
in relative error is multiplied by erfc, which is small there. P and Q by Remez exchange.
"""

from __future__ import annotations

from dlc.runtime.kernels.elementary import elementary
from dlc.runtime.kernels.exponential import F, exp, singles
from dlc.runtime.kernels.primitives import absolute, copysign, horner

BORDER, BORDER32 = 1.0, F(0.921875)
ONE32 = F(1.0)
# Beyond them erf rounds to 1.
TO, TO32 = 6.0, F(4.0)
CENTRE = (
    1.1283791670955126,
    -0.3761263890318375,
    0.11283791670954857,
    -0.026866170645072896,
    0.005223977624780875,
    -0.0008548326978742633,
    0.00012055331036913794,
    -1.4925593507190661e-05,
    1.6460972821184672e-06,
    -1.6350025260055095e-07,
    1.465788005199366e-08,
    -1.1365666624567702e-09,
    5.945262640753955e-11,
)
CENTRE32 = singles(1.1283792, -0.37612635, 0.11283696, -0.0268593989, 0.00520103239, -0.00081427034, 8.3700972e-05)
TAIL = (
    1.7962145192579736e-07,
    1.128377329249075,
    0.636628489002406,
    0.102747251825976,
    -0.019078154217831347,
    -0.0002804911874696593,
    0.0017690038974563446,
    -0.0006411758013915935,
    4.482479390596996e-05,
    7.036522610398145e-05,
    -4.503669142124617e-05,
    1.6513678423952683e-05,
    -4.326966710880054e-06,
    8.50558022176486e-07,
    -1.2570239383803065e-07,
    1.3626413945549558e-08,
    -1.0256782904015209e-09,
    4.795928311032576e-11,
    -1.0495962545688161e-12,
)
TAIL32 = singles(
    0.00019856638391502202,
    1.1276637315750122,
    0.6372023820877075,
    0.10391393303871155,
    -0.022218404337763786,
    0.003041080432012677,
    -0.00019571931625250727,
)


def _erf(x):
    """2/sqrt(pi) times the integral of exp(-t^2) from 0 to x"""
    a = absolute(x)
    c = TO if a > TO else a
    tail = 1.0 - exp(-horner(c, TAIL))
    return x * horner(c * c, CENTRE) if a < BORDER else copysign(tail, x)


def _erf32(x):
    a = absolute(x)
    c = TO32 if a > TO32 else a
    tail = ONE32 - exp(-horner(c, TAIL32))
    return x * horner(c * c, CENTRE32) if a < BORDER32 else copysign(tail, x)


erf = elementary(_erf32, _erf)
