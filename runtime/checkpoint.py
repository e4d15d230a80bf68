"""Parameters and states in a file: safetensors, one tensor for each under its dotted name.

A file is written beside its final place and then moved there, so that a crash leaves either the old one or the new one.
Reading converts between float32 and float64 and checks every name and shape before anything is changed.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from dlc.runtime.errors import CheckpointError, ParameterError, listed
from dlc.runtime.parameters import Parameters
from dlc.runtime.states import States

_MOST_NAMES = 5  # listed in a message


def save(path: str | os.PathLike[str], parameters: Parameters, states: States, metadata: Mapping[str, str]) -> None:
    """Write all parameters and states, and ``metadata`` as strings."""
    write(path, {**parameters, **states}, metadata)


def write(path: str | os.PathLike[str], arrays: Mapping[str, Any], metadata: Mapping[str, str]) -> None:
    from safetensors.numpy import save as serialised

    data = serialised({name: np.asarray(value, order="C") for name, value in arrays.items()}, dict(metadata))
    write_atomically(Path(path), data)


def write_atomically(path: Path, data: bytes) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    try:
        with open(temporary, "xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def load(
    path: str | os.PathLike[str], parameters: Parameters, states: States, model: tuple[str, str] | None = None
) -> dict[str, str]:
    """Set all parameters and states from a file, and give its metadata.

    ``model`` is the name of the model and of its spec: a file of another model of that spec may hold more.
    Raises CheckpointError, with the model unchanged, if it does not fit.
    """
    found, metadata = _read(path)
    saved = (metadata.get("model", ""), metadata.get("spec", ""))
    if model is not None and model[1] and saved[1] == model[1] and saved[0] != model[0]:
        known = {*parameters, *states}
        found = {name: value for name, value in found.items() if name in known}
    _check_names(path, set(found), {*parameters, *states})
    before = states.copies()
    try:
        states.update({name: found[name] for name in states})
        parameters.update({name: found[name] for name in parameters})
    except ParameterError as error:
        states.update(before)
        raise CheckpointError(f"{os.fspath(path)} does not fit: {error}") from None
    return metadata


def read_into(path: str | os.PathLike[str], arrays: Mapping[str, Any], owner: str) -> None:
    """Set all arrays from a file; raises CheckpointError, with nothing changed, if it does not fit."""
    found, _ = _read(path)
    _check_names(path, set(found), set(arrays), owner)
    for name, array in arrays.items():
        if found[name].shape != array.shape:
            problem = f"{name} has shape {array.shape}; what was given has shape {found[name].shape}"
            raise CheckpointError(f"{os.fspath(path)} does not fit: {problem}")
    for name, array in arrays.items():
        array[...] = found[name]


def _read(path: str | os.PathLike[str]) -> tuple[dict[str, Any], dict[str, str]]:
    from safetensors import SafetensorError, safe_open
    from safetensors.numpy import load_file

    if not os.path.exists(path):
        raise FileNotFoundError(f"there is no file {os.fspath(path)}")
    try:
        with safe_open(path, "numpy") as file:
            metadata = file.metadata() or {}
        return load_file(path), metadata
    except (SafetensorError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{os.fspath(path)} is no safetensors file that can be read: {error}") from None


def _check_names(path: str | os.PathLike[str], found: set[str], known: set[str], owner: str = "the model") -> None:
    problems = []
    if known - found:
        problems.append(f"it has no {_some(known - found)}")
    if found - known:
        problems.append(f"{owner} has no {_some(found - known)}")
    if problems:
        raise CheckpointError(f"{os.fspath(path)} does not fit: {'; '.join(problems)}")


def _some(names: set[str]) -> str:
    ordered = sorted(names)
    more = len(ordered) - _MOST_NAMES
    return listed([*ordered[:_MOST_NAMES], f"{more} more"] if more > 0 else ordered)
