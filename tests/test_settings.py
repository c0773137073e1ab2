"""`config.json`: what was written is read, by whichever version it was written, and damage is told by its key."""

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from vae_rosetta.applications.runs import Run
from vae_rosetta.applications.settings import Config, Pixels
from vae_rosetta.shared.binarisation import Protocol
from vae_rosetta.shared.spec import Sizes

OLD = Path(__file__).with_name("old_configs")


@pytest.fixture
def document() -> dict[str, Any]:
    """A config as it is written now."""
    found: dict[str, Any] = json.loads((OLD / "binarised.json").read_text())
    return found


def test_a_config_is_written_as_it_was_read(tmp_path: Path) -> None:
    config = Config.read(OLD / "binarised.json")
    config.write(tmp_path / "config.json")
    assert (tmp_path / "config.json").read_bytes() == (OLD / "binarised.json").read_bytes()
    assert config.settings.data_dir == Path("/data")
    assert config.dataset.image_shape == (28, 28)
    assert (config.earlier[0].backend, config.earlier[0].epochs_done) == ("oracle", 4)
    assert Run(tmp_path, config).tested_on == Protocol("drawn", 3)


def test_a_run_from_before_pixels_could_be_binarised_is_grey() -> None:
    config = Config.read(OLD / "before-binarise.json")
    assert (config.settings.binarise, config.protocol) == ("none", None)
    assert (config.sizes, config.settings.seed, config.epochs_done) == (Sizes(), 3, 10)
    now = Config.read(OLD / "binarised.json")
    grey = replace(now, settings=replace(now.settings, binarise="none"), protocol=None)
    assert config == grey


def test_a_kept_model_of_leave_one_out_is_a_whole_run() -> None:
    config = Config.read(OLD / "without-digit.json")
    assert (config.without_digit, config.epochs_done, config.settings.device) == (4, 10, "auto")
    assert (config.settings.binarise, config.earlier, dict(config.describe)) == ("none", (), {})


def test_what_only_some_runs_have_is_not_written(config_of: Callable[..., Config], tmp_path: Path) -> None:
    config = replace(Config.read(OLD / "without-digit.json"), protocol=Pixels("grey", "grey"))
    config.write(tmp_path / "config.json")
    written = json.loads((tmp_path / "config.json").read_text())
    assert "command" not in written  # vae train leaves no digit out
    assert Config.read(tmp_path / "config.json") == config


WRONG: list[tuple[str, Any, str]] = [
    ("spec", 1.0, "got 1.0; expected text"),
    ("data", None, "got None; expected text"),
    ("data_dir", 3, "got 3; expected a folder or null"),
    ("binarise", "static", "got 'static'; expected one of none, dynamic"),
    ("epochs", 0, "got 0; expected a whole number, 1 or more"),
    ("batch_size", True, "got True; expected a whole number, 1 or more"),
    ("seed", 2**64, f"got {2**64}; expected a whole number from 0 to 2**64 - 1"),
    ("latent_dim", "20", "got '20'; expected a whole number, 1 or more"),
    ("hidden_dim", 1.5, "got 1.5; expected a whole number, 1 or more"),
    ("epochs_done", -1, "got -1; expected a whole number, 0 or more"),
    ("describe", {"version": 2}, "got {'version': 2}; expected an object of texts"),
    ("earlier", {}, "got {}; expected a list"),
    ("earlier", [3], "got 3; expected an object"),
    ("protocol", None, "got None; expected an object"),
    ("dataset", None, "got None; expected an object"),
    ("dataset.pixels", "many", "got 'many'; expected a whole number, 1 or more"),
    ("dataset.image_shape", [2, 2], "got [2, 2]; expected height and width of 784 pixels"),
    ("dataset.image_shape", [28], "got [28]; expected height and width, or null"),
    ("dataset.sha256", 7, "got 7; expected text"),
]


@pytest.mark.parametrize(("key", "value", "message"), WRONG, ids=[f"{key} {value}"[:40] for key, value, _ in WRONG])
def test_a_wrong_value_is_told_with_file_and_key(
    key: str, value: Any, message: str, document: dict[str, Any], tmp_path: Path
) -> None:
    path, (*outer, name) = tmp_path / "config.json", key.split(".")
    (document[outer[0]] if outer else document)[name] = value
    path.write_text(json.dumps(document))
    with pytest.raises(
        ValueError, match=rf"^{re.escape(f'{path}: {key}: {message}'.replace('dataset.', 'dataset: '))}$"
    ):
        Config.read(path)


@pytest.mark.parametrize("key", ["spec", "backend", "data", "data_dir", "seed", "dtype", "dataset", "versions"])
def test_a_missing_key_is_told(key: str, document: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    del document[key]
    path.write_text(json.dumps(document))
    with pytest.raises(ValueError, match=rf"config\.json: {key}: missing; expected "):
        Config.read(path)


@pytest.mark.parametrize("text", ["", "{", "[" * 100_000, '{"a": 1}}', "\x00"], ids=lambda text: text[:4])
def test_what_is_no_json_is_one_line(text: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(ValueError, match=r"config\.json: damaged \(\w+: [^\n]+\)\Z"):
        Config.read(tmp_path / "config.json")


def test_a_long_wrong_value_is_shortened(document: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({**document, "seed": "9" * 10_000}))
    with pytest.raises(ValueError, match=r"^.{0,300}$"):
        Config.read(tmp_path / "config.json")
