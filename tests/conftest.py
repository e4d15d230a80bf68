"""What all tests share: an environment that no setting of the machine reaches, and `--update-golden`."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

ROOT = Path(__file__).parent.parent
if str(ROOT) not in sys.path:  # for `benchmarks`; behind all else, for the root has a folder `dlc` too
    sys.path.append(str(ROOT))

# Random examples are the same in each run, but for tests marked `fuzz`; how long one takes decides nothing.
settings.register_profile("dlc", derandomize=True, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("dlc")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-golden", action="store_true", help="write golden files instead of comparing with them")
    parser.addoption("--gemm", choices=("tile", "blas", "loops"), help="compute matrix products by this implementation")
    parser.addoption(
        "--conv", choices=("direct", "winograd", "gemm"), help="compute convolutions by this implementation"
    )


def pytest_configure(config: pytest.Config) -> None:
    """Before any fixture compiles."""
    for option, variable in (("--gemm", "DLC_GEMM"), ("--conv", "DLC_CONV")):
        os.environ.pop(variable, None)
        forced = config.getoption(option)
        if forced:
            os.environ[variable] = str(forced)


@pytest.fixture
def update_golden(request: pytest.FixtureRequest) -> bool:
    """Whether golden files are to be written: `pytest --update-golden`."""
    return bool(request.config.getoption("--update-golden"))


@pytest.fixture(scope="session")
def root() -> Path:
    """The folder of the project."""
    return ROOT


@pytest.fixture(autouse=True)
def own_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Variables that change what dlc prints or finds are unset; a test that wants one sets it."""
    for name in ("DLC_PATH", "DLC_DEBUG", "NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
