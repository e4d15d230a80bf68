"""Data for training: arrays by the names of a model's inputs, in two parts, one to learn from and one to test with.

``digits`` are the 1,797 handwritten digits of 8×8 pixels that come with scikit-learn, standardised, and enlarged to the
images that the model takes. A ``.npz`` file has an array for each input, samples first, under the input's name; or two,
under ``NAME_train`` and ``NAME_test``. Where there are not two, a fifth of the samples is kept for testing. Which fifth
does not depend on the seed of a training: results of different seeds can be compared.
"""

from __future__ import annotations

import os
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from math import isqrt
from typing import Any

import numpy as np

from dlc.runtime.declarations import Declaration, Input, evaluated
from dlc.runtime.errors import listed

Vector = np.ndarray[Any, Any]

DIGITS = "digits"
TEST_PART = 0.2
_SPLIT_SEED = 20150507
_SIDE, _CLASSES = 8, 10  # of the digits


class DataError(ValueError):
    """The data cannot be read, or do not fit the model."""


@dataclass(frozen=True)
class Samples:
    """``arrays`` have the samples as their first axis; ``constants`` are inputs that are the same for all samples."""

    arrays: Mapping[str, Vector]
    constants: Mapping[str, Vector] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(next(iter(self.arrays.values())))

    def take(self, chosen: Any) -> dict[str, Vector]:
        """The inputs of a call on some of the samples."""
        return {**self.constants, **{name: array[chosen] for name, array in self.arrays.items()}}

    def batches(self, size: int, order: Vector | None = None) -> Iterator[dict[str, Vector]]:
        """All samples in parts of ``size``, the last of which may be smaller."""
        for start in range(0, len(self), size):
            part = slice(start, start + size)
            yield self.take(part if order is None else order[part])


@dataclass(frozen=True)
class Data:
    """``sizes`` are those of index sets that the model leaves open and the data tell."""

    train: Samples
    test: Samples
    sizes: Mapping[str, int]


def read(source: str, declaration: Declaration) -> Data:
    """``digits`` or the path of a ``.npz`` file, as data for a model. Raises DataError."""
    batch = batch_size_name(declaration)
    if source == DIGITS:
        return _digits(declaration, batch)
    return _from_file(source, declaration, batch)


def batch_size_name(declaration: Declaration) -> str:
    """The index set of samples: the open set that is the first axis of most inputs."""
    first = [value.sizes[0] for value in declaration.inputs if value.sizes]
    names = [size for size in first if isinstance(size, str)]
    if not names:
        raise DataError(
            f"{declaration.name} takes no batches: leave the size of the first axis of its inputs open, so that the "
            "last batch may be smaller"
        )
    return max(dict.fromkeys(names), key=names.count)


# -- digits ---------------------------------------------------------------------------------------------------------


def _digits(declaration: Declaration, batch: str) -> Data:
    images, labels = _load_digits()
    picture, target = _picture_and_target(declaration, batch)
    shape = _image_shape(picture)
    train, test = _stratified(labels)
    pixels = _enlarged(images / 16, shape)
    mean, deviation = pixels[train].mean(), pixels[train].std()
    arrays = {
        picture.name: ((pixels - mean) / deviation).reshape(len(pixels), *_axes_of(picture, shape)),
        target.name: _as_target(labels, target),
    }
    arrays = {name: array.astype(declaration.dtype(_input(declaration, name).type)) for name, array in arrays.items()}
    sizes = _told(declaration, batch, arrays)
    if target.bound is not None and isinstance(target.bound, str):
        sizes.setdefault(target.bound, _CLASSES)
    whole = Samples(arrays)
    return Data(Samples(whole.take(train)), Samples(whole.take(test)), sizes)


def _load_digits() -> tuple[Vector, Vector]:
    try:
        from sklearn.datasets import load_digits
    except ImportError:
        raise DataError("the digits come with scikit-learn, which is not installed: pip install scikit-learn") from None
    found = load_digits()
    return found.images, found.target  # type: ignore[attr-defined]  # of a Bunch, which has its fields as a dictionary


def _input(declaration: Declaration, name: str) -> Input:
    return next(value for value in declaration.inputs if value.name == name)


def _picture_and_target(declaration: Declaration, batch: str) -> tuple[Input, Input]:
    """The input that takes the images, and the one that takes the labels."""
    sampled = [value for value in declaration.inputs if value.sizes and value.sizes[0] == batch]
    needed = [value for value in declaration.inputs if value.default is None]
    pictures = [value for value in sampled if value.type == "real" and len(value.sizes) > 1 and value.name != "target"]
    targets = [value for value in sampled if value not in pictures]
    if len(pictures) != 1 or len(targets) != 1 or len(needed) > 2:
        takes = listed(f"{value.name}[{', '.join(value.sets)}]" for value in declaration.inputs)
        raise DataError(f"the digits are images with labels; {declaration.name} takes {takes}")
    return pictures[0], targets[0]


def _image_shape(picture: Input) -> tuple[int, int]:
    """The height and width that the model asks for: 8 where it leaves them open."""
    fixed = [size if isinstance(size, int) else None for size in picture.sizes[1:]]
    if any(callable(size) for size in picture.sizes):
        raise DataError(f"the sizes of {picture.name} depend on each other, so digits cannot be fitted to it")
    if len(fixed) == 1:
        count = fixed[0] or _SIDE**2
        side = isqrt(count)
        if side**2 != count:
            raise DataError(f"{picture.name} has {count} features, which is no square: a digit cannot fill it")
        return side, side
    if len(fixed) == 3:
        channels = fixed.pop(_channel_axis(fixed))
        if channels not in (None, 1):
            raise DataError(f"{picture.name} has {channels} channels; the digits are grey and have 1")
    if len(fixed) != 2:
        raise DataError(
            f"{picture.name} has {len(picture.sizes)} axes: a digit has height, width and perhaps a channel"
        )
    return fixed[0] or _SIDE, fixed[1] or _SIDE


def _channel_axis(sizes: list[int | None]) -> int:
    """Channels stand first; last where only that axis has one element."""
    return 2 if sizes[2] == 1 and sizes[0] != 1 else 0


def _axes_of(picture: Input, shape: tuple[int, int]) -> tuple[int, ...]:
    if len(picture.sizes) == 2:
        return (shape[0] * shape[1],)
    if len(picture.sizes) == 3:
        return shape
    fixed = [size if isinstance(size, int) else None for size in picture.sizes[1:]]
    return (*shape, 1) if _channel_axis(fixed) == 2 else (1, *shape)


def _enlarged(images: Vector, shape: tuple[int, int]) -> Vector:
    """The images with ``shape`` pixels, between which intensities are interpolated linearly."""
    if shape == images.shape[1:]:
        return images
    from scipy.ndimage import zoom

    factors = (1, shape[0] / images.shape[1], shape[1] / images.shape[2])
    return np.asarray(zoom(images, factors, order=1, mode="nearest", grid_mode=True))


def _as_target(labels: Vector, target: Input) -> Vector:
    """Integers; for real targets with a second axis, 1 at the label and 0 elsewhere."""
    if target.type == "int" and len(target.sizes) == 1:
        bound = target.bound
        if isinstance(bound, int) and bound < _CLASSES:
            raise DataError(f"the digits are of {_CLASSES} classes; {target.name} has only {bound}")
        return labels
    if target.type == "real" and len(target.sizes) == 1:
        return labels
    if target.type == "real" and len(target.sizes) == 2 and target.sizes[1] in (_CLASSES, target.sizes[1]):
        classes = target.sizes[1]
        if isinstance(classes, str) or classes == _CLASSES:
            return np.eye(_CLASSES)[labels]
    raise DataError(
        f"the labels of the digits are one of {_CLASSES} classes a sample, which {target.name} does not take"
    )


def _stratified(labels: Vector) -> tuple[Vector, Vector]:
    """The positions of a training and a test part with the same share of every class."""
    random = np.random.default_rng(_SPLIT_SEED)
    train, test = [], []
    for label in np.unique(labels):
        members = random.permutation(np.flatnonzero(labels == label))
        kept = round(len(members) * TEST_PART)
        test.append(members[:kept])
        train.append(members[kept:])
    return np.sort(np.concatenate(train)), np.sort(np.concatenate(test))


# -- files ----------------------------------------------------------------------------------------------------------


def _from_file(path: str, declaration: Declaration, batch: str) -> Data:
    found = _read_arrays(path)
    names = [value.name for value in declaration.inputs]
    split = any(f"{name}_train" in found for name in names)
    needed = [value.name for value in declaration.inputs if value.default is None]
    for name in needed:
        for wanted in (f"{name}_train", f"{name}_test") if split and name not in found else (name,):
            if wanted not in found:
                raise DataError(f"{path} has no array {wanted}: it has {listed(found) if found else 'none'}")
    if not split:
        return _split(path, {name: found[name] for name in names if name in found}, declaration, batch)
    parts = []
    for suffix in ("_train", "_test"):
        arrays = {name: found.get(name + suffix, found.get(name)) for name in names}
        parts.append(_samples(path, {n: a for n, a in arrays.items() if a is not None}, declaration, batch))
    return Data(parts[0], parts[1], _told(declaration, batch, {**parts[0].arrays, **parts[0].constants}))


def _read_arrays(path: str) -> dict[str, Vector]:
    if not os.path.exists(path):
        raise DataError(f"there is no file {path}; the data are `{DIGITS}` or the path of a .npz file")
    try:
        file = np.load(path, allow_pickle=False)
        found = {name: file[name] for name in file.files} if hasattr(file, "files") else None
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise DataError(f"{path} is no .npz file that can be read: {error}") from None
    if found is None:
        raise DataError(f"{path} holds one array without a name: save it with numpy.savez(path, x=..)")
    return found


def _split(path: str, found: Mapping[str, Vector], declaration: Declaration, batch: str) -> Data:
    whole = _samples(path, found, declaration, batch)
    if len(whole) < 2:
        raise DataError(
            f"{path} has {len(whole)} sample: at least 2 are needed, one to learn from and one to test with"
        )
    order = np.random.default_rng(_SPLIT_SEED).permutation(len(whole))
    kept = max(1, round(len(whole) * TEST_PART))
    parts = [
        Samples({name: array[part] for name, array in whole.arrays.items()}, whole.constants)
        for part in (np.sort(order[kept:]), np.sort(order[:kept]))
    ]
    return Data(parts[0], parts[1], _told(declaration, batch, found))


def _samples(path: str, found: Mapping[str, Vector], declaration: Declaration, batch: str) -> Samples:
    arrays: dict[str, Vector] = {}
    constants: dict[str, Vector] = {}
    for name, array in found.items():
        value = _input(declaration, name)
        if array.ndim != len(value.sizes):
            axes = f"[{', '.join(value.sets)}]" if value.sizes else ""
            raise DataError(f"{name} in {path} has shape {array.shape}; {declaration.name} takes {name}{axes}")
        (arrays if value.sizes and value.sizes[0] == batch else constants)[name] = array
    lengths = {name: len(array) for name, array in arrays.items()}
    if len(set(lengths.values())) > 1:
        told = listed(f"{length} of {name}" for name, length in lengths.items())
        raise DataError(f"the arrays in {path} have different numbers of samples: {told}")
    if not arrays or not min(lengths.values()):
        raise DataError(f"{path} has no samples")
    return Samples(arrays, constants)


def _told(declaration: Declaration, batch: str, arrays: Mapping[str, Vector]) -> dict[str, int]:
    """The sizes of open index sets, the batch's aside, that the shapes of the arrays tell."""
    sizes: dict[str, int] = {}
    for name, array in arrays.items():
        for size, length in zip(_input(declaration, name).sizes, array.shape, strict=True):
            if isinstance(size, str) and size != batch:
                sizes.setdefault(size, length)
    return sizes


def bound_of(value: Input, sizes: Mapping[str, int]) -> int | None:
    """The number of classes of an integer input, if it is known."""
    try:
        return None if value.bound is None else evaluated(value.bound, sizes)
    except KeyError:
        return None
