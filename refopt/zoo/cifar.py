"""CIFAR-10 from its own files: 60,000 colour images of 32×32 pixels in ten classes. The files are the user's.

    binary    data_batch_1.bin … data_batch_5.bin, test_batch.bin: 10,000 records of 3,073 bytes each, the label and
              1,024 bytes of red, of green and of blue, row by row
    Python    data_batch_1 … data_batch_5, test_batch: pickled dicts of the same numbers

A pickle may name any function to be called. Here it is read with those alone that make a NumPy array.

A. Krizhevsky, *Learning multiple layers of features from tiny images*, University of Toronto 2009;
www.cs.toronto.edu/~kriz/cifar.html has the files.
"""

import pickle
import tarfile
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
SHAPE = (3, 32, 32)
IMAGES = 10_000  #: in a file
FOLDERS = ("cifar-10-batches-bin", "cifar-10-batches-py")
FILES = (*(f"data_batch_{k}" for k in range(1, 6)), "test_batch")


class Cifar10(NamedTuple):
    """Images as bytes, 0 to 255: ``X[:5000] / np.float32(255)`` makes numbers of those that are wanted."""

    X: np.ndarray  #: (50,000, 3, 32, 32) uint8, to train with: red, green, blue
    y: np.ndarray  #: (50,000,) int64, their classes
    X_test: np.ndarray  #: (10,000, 3, 32, 32)
    y_test: np.ndarray  #: (10,000,)
    classes: tuple[str, ...] = CLASSES


def cifar10(path: Any) -> Cifar10:
    """The images at `path`: the folder with the six files, the one above it, or the .tar.gz as it is downloaded.

    FileNotFoundError where files are missing, ValueError where one is not what it should be.
    """
    place = Path(path).expanduser()
    found = {name.removesuffix(".bin"): batch(name, content) for name, content in stored(place)}
    missing = [name for name in FILES if name not in found]
    if missing:
        raise FileNotFoundError(
            f"{place} lacks {', '.join(missing)} of CIFAR-10, in its binary version with the ending .bin: give the "
            "folder or the archive from www.cs.toronto.edu/~kriz/cifar.html"
        )
    X, y = (np.concatenate(parts) for parts in zip(*(found[name] for name in FILES[:-1]), strict=True))
    return Cifar10(X, y, *found[FILES[-1]])


def stored(place: Path) -> Iterator[tuple[str, bytes]]:
    """Names and contents of those of the six files that are there."""
    names = {name + ending for name in FILES for ending in ("", ".bin")}
    if place.is_dir():
        folders = [place, *(place / folder for folder in FOLDERS)]
        kept = [[folder / name for name in sorted(names) if (folder / name).is_file()] for folder in folders]
        yield from ((file.name, file.read_bytes()) for file in next(filter(None, kept), []))
        return
    if not place.exists():
        raise FileNotFoundError(f"there is no file or folder {place} with CIFAR-10")
    try:
        with tarfile.open(place) as archive:
            for member in archive:
                if member.isfile() and (name := Path(member.name).name) in names:
                    yield name, archive.extractfile(member).read()  # type: ignore[union-attr]
    except (tarfile.TarError, EOFError, OSError) as error:
        raise ValueError(f"{place} is no whole archive of CIFAR-10, a .tar.gz: {error}") from error


def batch(name: str, content: bytes) -> tuple[np.ndarray, np.ndarray]:
    """Images (10,000, 3, 32, 32) and labels of one file."""
    pixels, labels = (of_bytes if name.endswith(".bin") else of_pickle)(name, content)
    if not 0 <= labels.min() <= labels.max() < len(CLASSES):
        raise ValueError(f"{name} has labels from {labels.min()} to {labels.max()}; those of CIFAR-10 are 0 to 9")
    return pixels.reshape(-1, *SHAPE), labels


def of_bytes(name: str, content: bytes) -> tuple[np.ndarray, np.ndarray]:
    length = 1 + int(np.prod(SHAPE))
    if len(content) != IMAGES * length:
        raise ValueError(f"{name} has {len(content):,} bytes, not {IMAGES:,} images of {length:,}: copy it anew")
    records = np.frombuffer(content, np.uint8).reshape(IMAGES, length)
    return records[:, 1:], records[:, 0].astype(np.int64)


def of_pickle(name: str, content: bytes) -> tuple[np.ndarray, np.ndarray]:
    try:
        kept = OfArrays(BytesIO(content), encoding="bytes").load()
        pixels, labels = kept[b"data"], np.array(kept[b"labels"], np.int64)
    except Exception as error:  # a damaged pickle may raise anything
        raise ValueError(f"{name} is no batch of CIFAR-10's Python version: {error}") from error
    shape = (IMAGES, int(np.prod(SHAPE)))
    if getattr(pixels, "dtype", None) != np.uint8 or pixels.shape != shape or labels.shape != shape[:1]:
        raise ValueError(f"{name} does not hold {IMAGES:,} images of {shape[1]:,} bytes with a label each")
    return pixels, labels


class OfArrays(pickle.Unpickler):
    """Reads what numbers, texts, lists, dicts and arrays are made of, and calls nothing else."""

    def find_class(self, module: str, name: str) -> Any:
        known = {"ndarray": np.ndarray, "dtype": np.dtype, "_reconstruct": np.zeros(0).__reduce__()[0]}
        if module not in ("numpy", "numpy.core.multiarray", "numpy._core.multiarray") or name not in known:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, which arrays do not need")
        return known[name]
