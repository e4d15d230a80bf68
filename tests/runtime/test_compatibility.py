"""A module knows which kernels it was compiled for."""

from __future__ import annotations

import pytest

from dlc.runtime import StaleModuleError
from dlc.runtime.compatibility import require_kernels
from dlc.runtime.kernels_fingerprint import fingerprint


def test_a_module_of_this_installation_is_accepted() -> None:
    require_kernels(fingerprint(), "mlp")


def test_a_module_of_another_one_says_what_to_do() -> None:
    with pytest.raises(StaleModuleError, match=r"mlp was compiled by another version .*: compile its spec again"):
        require_kernels("0123456789abcdef", "mlp")
