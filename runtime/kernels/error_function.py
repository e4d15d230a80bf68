"""erf, branch-free. Largest error found, in units in the last place: 1.9 in float32, 2.3 in float64.

In float64, below a border erf(x) = x * P(x^2), above it erf(x) = 1 - exp(-Q(x)), where Q approximates -log(erfc(x)):
what exp adds in relative error is multiplied by erfc, which is small there. P and Q by Remez exchange.

In float32 erf(x) = -expm1(-Q(x)) everywhere, with Q(x) = x + x * P(x), of which only the sum rounds by much; P has the
least weighted error, by Lawson's method.
"""

from __future__ import annotations

from dlc.runtime.kernels.elementary import elementary
from dlc.runtime.kernels.exponential import EXP32, LOG2E32, ONE32, ROUND32, F, exp, singles
from dlc.runtime.kernels.primitives import absolute, copysign, horner, power_of_two

BORDER = 1.0
# Beyond them erf rounds to 1.
TO, TO32 = 6.0, F(3.95)
LN2_32 = F(0.6931471805599453)
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
# -log(erfc(x)) / x - 1
SLOPE32 = singles(
    0.12837916612625122,
    0.6366193890571594,
    0.10277783125638962,
    -0.019153064116835594,
    -0.0001603964774403721,
    0.0016670279437676072,
    -0.0006328371237032115,
    0.00011764135706471279,
    -9.25627591641387e-06,
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
    z = -(c * horner(c, SLOPE32) + c)
    t = z * LOG2E32 + ROUND32
    r = z - (t - ROUND32) * LN2_32
    scale = power_of_two(t)
    return copysign((ONE32 - scale) - scale * (r + r * r * horner(r, EXP32)), x)


erf = elementary(_erf32, _erf)
