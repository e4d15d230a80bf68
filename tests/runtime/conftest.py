"""A small compiled model that the tests of the runtime share: it is emitted and compiled once for a run."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest
from emit.programs import small

from dlc.compiler.emit import emit


@pytest.fixture(scope="session")
def small_module(tmp_path_factory: pytest.TempPathFactory) -> ModuleType:
    """The module of ``emit.programs.small()``, in float32."""
    module, _ = emit([small()], "float32", spec="small.dl")
    return loaded(module, tmp_path_factory.mktemp("modules") / "small_model.py")


def loaded(text: str, path: Path) -> ModuleType:
    """The module with that text; it stays importable, as copies of its models need."""
    path.write_text(text, encoding="utf-8")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return module
