"""exp, expm1, log, log1p: branch-free, so that loops over them become vectors.

Largest errors found, in units in the last place, for both types: exp 1.1, expm1 2.1, log 0.9, log1p 2.1.
nan, infinities, -0 and subnormal numbers are treated as IEEE 754 recommends.

exp: x = n*ln(2) + r with |r| <= ln(2)/2, then 2^n times a polynomial in r (Remez). Adding and subtracting t = 1.5 * 2^m
rounds to an integer and leaves it in the low bits. log: the method of FreeBSD's e_log.c and s_log1p.c (msun, after
Tang), with s = f/(2+f) and an odd polynomial.
"""

from __future__ import annotations

import numpy as np

from dlc.runtime.kernels.elementary import elementary
from dlc.runtime.kernels.primitives import absolute, horner, split, times_power_of_two

F = np.float32


def singles(*values: float) -> tuple[np.float32, ...]:
    return tuple(F(value) for value in values)


INF, NAN = np.inf, np.nan
INF32, NAN32 = singles(np.inf, np.nan)
HALF32, ONE32, TWO32, ZERO32 = singles(0.5, 1.0, 2.0, 0.0)

LOG2E, LOG2E32 = 1.4426950408889634, F(1.4426950408889634)
ROUND, ROUND32 = 1.5 * 2.0**52, F(1.5 * 2.0**23)
# ln(2) in two parts; the first has so many zero bits at its end that n times it is exact.
LN2_HIGH, LN2_LOW = 6.93147180369123816490e-01, 1.90821492927058770002e-10
LN2_HIGH32, LN2_LOW32 = singles(0.693359375, -2.12194440e-4)
# (e^r - 1 - r) / r^2
EXP = (
    0.5000000000000011,
    0.1666666666666641,
    0.04166666666652919,
    0.008333333333495627,
    0.0013888888943921454,
    0.00019841269504751636,
    2.4801492763973955e-05,
    2.7557587357531655e-06,
    2.7630378228186743e-07,
    2.4999960208336418e-08,
)
EXP32 = singles(0.49999994, 0.1666652, 0.041668393, 0.008368781, 0.0013814471)
# Beyond these the result is 0 or infinity; between them the exponent stays within what the scaling can do.
EXP_FROM, EXP_TO = -746.0, 710.0
EXP_FROM32, EXP_TO32 = singles(-104.0, 89.0)


def _exp(x):
    """e^x"""
    x = EXP_FROM if x < EXP_FROM else x
    x = EXP_TO if x > EXP_TO else x
    t = x * LOG2E + ROUND
    n = t - ROUND
    r = (x - n * LN2_HIGH) - n * LN2_LOW
    return times_power_of_two(1.0 + (r + r * r * horner(r, EXP)), t)


def _exp32(x):
    x = EXP_FROM32 if x < EXP_FROM32 else x
    x = EXP_TO32 if x > EXP_TO32 else x
    t = x * LOG2E32 + ROUND32
    n = t - ROUND32
    r = (x - n * LN2_HIGH32) - n * LN2_LOW32
    return times_power_of_two(ONE32 + (r + r * r * horner(r, EXP32)), t)


EXPM1_FROM, EXPM1_TINY = -40.0, 2.0**-54
EXPM1_FROM32, EXPM1_TINY32 = singles(-20.0, 2.0**-26)


def _expm1(x):
    """e^x - 1, accurate near 0"""
    z = EXPM1_FROM if x < EXPM1_FROM else x
    z = EXP_TO if z > EXP_TO else z
    t = z * LOG2E + ROUND
    n = t - ROUND
    r = (z - n * LN2_HIGH) - n * LN2_LOW
    q = r + r * r * horner(r, EXP)
    # 2^n * q + (2^n - 1), at half the size: 2^n alone would overflow before the result does
    scale = times_power_of_two(0.5, t)
    y = 2.0 * (scale * q + (scale - 0.5))
    return x if absolute(x) < EXPM1_TINY else y


def _expm132(x):
    z = EXPM1_FROM32 if x < EXPM1_FROM32 else x
    z = EXP_TO32 if z > EXP_TO32 else z
    t = z * LOG2E32 + ROUND32
    n = t - ROUND32
    r = (z - n * LN2_HIGH32) - n * LN2_LOW32
    q = r + r * r * horner(r, EXP32)
    scale = times_power_of_two(HALF32, t)
    y = TWO32 * (scale * q + (scale - HALF32))
    return x if absolute(x) < EXPM1_TINY32 else y


# (log(1+s) - log(1-s) - 2s) / s over s^2, s = f/(2+f): Lg1.. of FreeBSD's e_log.c and e_logf.c
LOG = (
    6.666666666666735130e-01,
    3.999999999940941908e-01,
    2.857142874366239149e-01,
    2.222219843214978396e-01,
    1.818357216161805012e-01,
    1.531383769920937332e-01,
    1.479819860511658591e-01,
)
LOG32 = singles(0.66666662693, 0.40000972152, 0.28498786688, 0.24279078841)
LOGF_HIGH32, LOGF_LOW32 = singles(6.9313812256e-01, 9.0580006145e-06)
NORMAL, NORMAL32 = 2.2250738585072014e-308, F(1.17549435e-38)
LIFT, LIFT32, LIFTED, LIFTED32 = 2.0**54, F(2.0**25), 54.0, F(25.0)


def _log(x):
    """The natural logarithm; nan below 0"""
    subnormal = x < NORMAL
    k, m = split(x * LIFT if subnormal else x)
    k = k - LIFTED if subnormal else k
    f = m - 1.0
    s = f / (2.0 + f)
    z = s * s
    half = 0.5 * f * f
    y = k * LN2_HIGH - ((half - (s * (half + z * horner(z, LOG)) + k * LN2_LOW)) - f)
    y = INF if x == INF else y
    y = -INF if x == 0.0 else y
    return y if x >= 0.0 else NAN


def _log32(x):
    subnormal = x < NORMAL32
    k, m = split(x * LIFT32 if subnormal else x)
    k = k - LIFTED32 if subnormal else k
    f = m - ONE32
    s = f / (TWO32 + f)
    z = s * s
    half = HALF32 * f * f
    y = k * LOGF_HIGH32 - ((half - (s * (half + z * horner(z, LOG32)) + k * LOGF_LOW32)) - f)
    y = INF32 if x == INF32 else y
    y = -INF32 if x == ZERO32 else y
    return y if x >= ZERO32 else NAN32


def _log1p(x):
    """log(1 + x), accurate near 0; nan below -1"""
    u = 1.0 + x
    k, m = split(NORMAL if u < NORMAL else u)
    # what 1 + x lost in rounding; nothing is lost where 1 + x is not scaled, because f = x there
    lost = (1.0 - (u - x) if k > 0.0 else x - (u - 1.0)) / u
    f = x if k == 0.0 else m - 1.0
    lost = 0.0 if k == 0.0 else lost
    s = f / (2.0 + f)
    z = s * s
    half = 0.5 * f * f
    y = k * LN2_HIGH - ((half - (s * (half + z * horner(z, LOG)) + (k * LN2_LOW + lost))) - f)
    y = INF if x == INF else y
    y = -INF if x == -1.0 else y
    y = x if absolute(x) < EXPM1_TINY else y
    return y if x >= -1.0 else NAN


def _log1p32(x):
    u = ONE32 + x
    k, m = split(NORMAL32 if u < NORMAL32 else u)
    lost = (ONE32 - (u - x) if k > ZERO32 else x - (u - ONE32)) / u
    f = x if k == ZERO32 else m - ONE32
    lost = ZERO32 if k == ZERO32 else lost
    s = f / (TWO32 + f)
    z = s * s
    half = HALF32 * f * f
    y = k * LOGF_HIGH32 - ((half - (s * (half + z * horner(z, LOG32)) + (k * LOGF_LOW32 + lost))) - f)
    y = INF32 if x == INF32 else y
    y = -INF32 if x == -ONE32 else y
    y = x if absolute(x) < EXPM1_TINY32 else y
    return y if x >= -ONE32 else NAN32


exp = elementary(_exp32, _exp)
expm1 = elementary(_expm132, _expm1)
log = elementary(_log32, _log)
log1p = elementary(_log1p32, _log1p)
