"""Parameters in files: what comes back, and what is refused with the file's name."""

from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy

from vae_rosetta.shared import checks, files, oracle, parameters, spec
from vae_rosetta.shared.contract import Array
from vae_rosetta.shared.spec import Sizes

SIZES = Sizes(12, 8, 3)


@pytest.fixture
def params() -> dict[str, Array]:
    return parameters.initial(0, SIZES)


def test_round_trip_is_exact(params: dict[str, Array], tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    parameters.save(path, {name: np.asfortranarray(value) for name, value in params.items()}, {"spec": spec.VERSION})
    read = parameters.read_params(path, SIZES)
    for name, value in params.items():
        np.testing.assert_array_equal(read[name], value, strict=True)


def test_full_size_has_its_number_of_parameters() -> None:
    assert sum(value.size for value in parameters.initial(0).values()) == 652_824


def test_other_sizes_are_refused(params: dict[str, Array], tmp_path: Path) -> None:
    parameters.save(tmp_path / "w.safetensors", params)
    with pytest.raises(ValueError, match=r"w\.safetensors: got a model of 12-8-3 .*; expected 784-400-20"):
        parameters.read_params(tmp_path / "w.safetensors", Sizes())


FAULTS = {
    "missing": ({"decoder.fc4.bias": None}, "missing decoder.fc4.bias"),
    "extra": ({"decoder.fc5.bias": np.zeros(3, np.float32)}, "unknown decoder.fc5.bias"),
    "misshapen": ({"decoder.fc4.weight": np.zeros((8, 12), np.float32)}, r"decoder\.fc4\.weight.*got shape \(8, 12\)"),
    "one dimension": ({"encoder.fc1.weight": np.zeros(96, np.float32)}, r"encoder\.fc1\.weight.*got shape \(96,\)"),
    "not finite": ({"encoder.fc1.bias": np.full(8, np.nan, np.float32)}, r"encoder\.fc1\.bias.*got nan at \[0\]"),
    "integers": ({"encoder.fc1.bias": np.zeros(8, np.int32)}, r"encoder\.fc1\.bias.*got dtype int32"),
    "no hidden units": (
        {
            "encoder.fc1.weight": np.zeros((0, 12), np.float32),
            "encoder.fc1.bias": np.zeros(0, np.float32),
            "encoder.fc2_mu.weight": np.zeros((3, 0), np.float32),
            "encoder.fc2_logvar.weight": np.zeros((3, 0), np.float32),
            "decoder.fc3.weight": np.zeros((0, 3), np.float32),
            "decoder.fc3.bias": np.zeros(0, np.float32),
            "decoder.fc4.weight": np.zeros((12, 0), np.float32),
        },
        r"encoder\.fc1\.weight.*got shape \(0, 12\)",
    ),
}


@pytest.mark.parametrize(("changes", "message"), FAULTS.values(), ids=FAULTS.keys())
def test_faulty_files_are_named(
    params: dict[str, Array], changes: dict[str, Array | None], message: str, tmp_path: Path
) -> None:
    path = tmp_path / "weights.safetensors"
    tensors = {name: value for name, value in {**params, **changes}.items() if value is not None}
    path.write_bytes(safetensors.numpy.save(tensors))
    with pytest.raises((TypeError, ValueError), match=rf"weights\.safetensors: params.*{message}"):
        parameters.read_params(path)


@pytest.mark.parametrize("data", [b"", b"\x00" * 4, b"not a tensor file at all", b"\xff" * 64])
def test_unreadable_file_is_named(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    path.write_bytes(data)
    with pytest.raises(ValueError, match=r"weights\.safetensors: not a readable safetensors file"):
        parameters.read_params(path)


def test_truncated_file_is_named(params: dict[str, Array], tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    parameters.save(path, params)
    path.write_bytes(path.read_bytes()[:-8])
    with pytest.raises(ValueError, match=r"weights\.safetensors: not a readable"):
        parameters.read_params(path)


def test_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    files.write_text(path, "old")

    def fail_halfway() -> None:
        with files.replacing(path) as temporary:
            temporary.write_text("half of the n", encoding="utf-8")
            raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        fail_halfway()
    assert path.read_text(encoding="utf-8") == "old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("step", [-1, 2**31, 2**62])
def test_steps_that_no_backend_can_count_are_refused(params: dict[str, Array], step: int) -> None:
    state = {**oracle.load(params).state(), "adam.step": np.array(step)}
    with pytest.raises(ValueError, match=rf"adam\.step'\]: got {step}; expected 0 to 1073741824"):
        parameters.check_state(state, parameters.sizes_of(params))


def test_large_numbers_are_finite_and_raise_no_warning() -> None:
    assert checks.finite("z", np.array([1e308, 1e308])) is not None
    with pytest.raises(ValueError, match=r"^z: got inf at \[0\]"):
        checks.finite("z", np.array([np.inf, -np.inf]))
