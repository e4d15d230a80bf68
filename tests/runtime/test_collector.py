"""The garbage collector rests while something is compiled, and is as it was before afterwards."""

from __future__ import annotations

import gc

import pytest

from dlc.runtime.collector import resting


def test_the_collector_rests_and_wakes() -> None:
    assert gc.isenabled()
    with resting():
        assert not gc.isenabled()
        with resting():
            assert not gc.isenabled()
        assert not gc.isenabled()
    assert gc.isenabled()


def test_it_wakes_after_an_error() -> None:
    with pytest.raises(KeyboardInterrupt), resting():
        raise KeyboardInterrupt
    assert gc.isenabled()


def test_who_does_without_it_goes_on_without_it() -> None:
    gc.disable()
    try:
        with resting():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()
