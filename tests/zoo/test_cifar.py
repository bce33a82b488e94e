"""CIFAR-10 in both of its versions, on files of this test: seven images each in place of ten thousand."""

import io
import pickle
import tarfile

import numpy as np
import pytest

from refopt.zoo import cifar, cifar10

FILES = ["data_batch_1", "data_batch_2", "data_batch_3", "data_batch_4", "data_batch_5", "test_batch"]
COUNT = 7


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setattr(cifar, "IMAGES", COUNT)


def images(k):
    """Those of file k: red, green and blue planes, and labels."""
    rng = np.random.default_rng(k)
    return rng.integers(256, size=(COUNT, 3, 32, 32), dtype=np.uint8), rng.integers(10, size=COUNT)


def binary(k):
    return b"".join(bytes([label]) + image.tobytes() for image, label in zip(*images(k), strict=True))


def pickled(k):
    """As Python 2 wrote the dataset's own, opcode by opcode: its texts, of kind U and T, are bytes."""
    X, y = images(k)
    array = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R(K\x01"
    array += b"K" + bytes([COUNT]) + b"M\x00\x0c\x86cnumpy\ndtype\nU\x02u1K\x00K\x01\x87R"
    array += b"(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89"
    array += b"T" + len(X.tobytes()).to_bytes(4, "little") + X.tobytes() + b"tb"
    labels = b"](" + b"".join(b"K" + bytes([label]) for label in y) + b"e"
    return b"\x80\x02}(U\x0bbatch_labelU\x05batchU\x04data" + array + b"U\x06labels" + labels + b"u."


def written(folder, make, ending):
    folder.mkdir(parents=True)
    for k, name in enumerate(FILES):
        (folder / (name + ending)).write_bytes(make(k))
    (folder / "batches.meta.txt").write_text("airplane\n")
    return folder


VERSIONS = [(binary, ".bin", "cifar-10-batches-bin"), (pickled, "", "cifar-10-batches-py")]


@pytest.mark.parametrize("packed", ["folder", "above", "tar.gz"])
@pytest.mark.parametrize(("make", "ending", "name"), VERSIONS)
def test_every_version_has_the_same_images(tmp_path, make, ending, name, packed):
    folder = written(tmp_path / name, make, ending)
    if packed == "tar.gz":
        with tarfile.open(tmp_path / "cifar.tar.gz", "w:gz") as archive:
            archive.add(folder, arcname=name)
    found = cifar10({"folder": folder, "above": tmp_path, "tar.gz": tmp_path / "cifar.tar.gz"}[packed])
    X, y = (np.concatenate(parts) for parts in zip(*(images(k) for k in range(5)), strict=True))
    assert found.X.dtype == np.uint8
    assert np.array_equal(found.X, X)
    assert np.array_equal(found.y, y)
    assert np.array_equal(found.X_test, images(5)[0])
    assert np.array_equal(found.y_test, images(5)[1])
    assert found.y.dtype == np.int64
    assert (
        found.classes[found.y[0]]
        == ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"][y[0]]
    )


def test_what_is_missing_is_named(tmp_path):
    folder = written(tmp_path / "a", binary, ".bin")
    (folder / "data_batch_3.bin").unlink()
    with pytest.raises(FileNotFoundError, match=r"lacks data_batch_3 of CIFAR-10.*from www\.cs\.toronto\.edu"):
        cifar10(folder)
    with pytest.raises(FileNotFoundError, match="lacks data_batch_1, data_batch_2"):
        cifar10(tmp_path)
    with pytest.raises(FileNotFoundError, match="there is no file or folder"):
        cifar10(tmp_path / "b")


def test_a_file_of_another_length_is_refused(tmp_path):
    folder = written(tmp_path / "a", binary, ".bin")
    (folder / "data_batch_2.bin").write_bytes(binary(1)[:-1])
    with pytest.raises(ValueError, match=r"data_batch_2\.bin has 21,510 bytes, not 7 images of 3,073: copy it anew"):
        cifar10(folder)


def test_a_label_that_is_none_is_refused(tmp_path):
    folder = written(tmp_path / "a", binary, ".bin")
    (folder / "test_batch.bin").write_bytes(b"\x0b" + binary(5)[1:])
    with pytest.raises(ValueError, match=r"test_batch\.bin has labels from \d to 11"):
        cifar10(folder)


def test_what_is_no_archive_is_refused(tmp_path):
    (tmp_path / "a.tar.gz").write_bytes(b"nothing of the kind")
    with pytest.raises(ValueError, match="is no whole archive of CIFAR-10"):
        cifar10(tmp_path / "a.tar.gz")
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        archive.add(written(tmp_path / "b", binary, ".bin"))
    (tmp_path / "a.tar.gz").write_bytes(buffer.getvalue()[: len(buffer.getvalue()) // 2])
    with pytest.raises(ValueError, match="is no whole archive of CIFAR-10"):
        cifar10(tmp_path / "a.tar.gz")


class Calls:
    """A pickle that calls a function when it is read."""

    def __reduce__(self):
        return print, ("called",)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (pickle.dumps({b"data": Calls(), b"labels": []}), r"asks for (builtins|__builtin__)\.print"),
        (b"no pickle", "is no batch of CIFAR-10's Python version"),
        (pickle.dumps({b"data": np.zeros((2, 3072), np.uint8), b"labels": [0, 1]}), "does not hold 7 images"),
        (pickle.dumps({b"data": np.zeros((7, 3072)), b"labels": [0] * 7}), "does not hold 7 images"),
        (pickle.dumps({b"data": [1, 2], b"labels": [0] * 7}), "does not hold 7 images"),
        (pickle.dumps([1, 2]), "is no batch of CIFAR-10's Python version"),
    ],
    ids=["a call", "none", "two images", "floats", "a list", "no dict"],
)
def test_a_pickle_of_anything_else_is_refused(tmp_path, capsys, content, message):
    folder = written(tmp_path / "a", pickled, "")
    (folder / "data_batch_4").write_bytes(content)
    with pytest.raises(ValueError, match=message):
        cifar10(folder)
    assert capsys.readouterr().out == ""
