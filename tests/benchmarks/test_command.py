"""`vae bench`: the arguments that it refuses, the backends that it chooses, and its help."""

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from vae_rosetta.benchmarks import cli


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["vae_rosetta.shared.oracle", "vae_rosetta.shared.oracle"],
            "MODULE: got 'vae_rosetta.shared.oracle' 2 times; expected each once",
        ),
        (["no_such_vae"], "MODULE: got 'no_such_vae'; no such module can be imported from the current folder"),
        (["os; x"], "MODULE: got 'os; x'; expected a dotted name, as in an import statement"),
        (
            ["--quick", "--images", "100"],
            "batch size: got 128; expected at most an epoch's 100 images",
        ),
        (["--data", "cifar"], "data: got 'cifar'; expected mnist-5k, mnist, or a path ending in .npy or .npz"),
        (["--out", "table.txt"], "--out: got 'table.txt'; expected a name that ends in .json"),
        (["--out", "gone/x.json"], "--out: got 'gone/x.json'; there is no folder 'gone'"),
        (["--out", "here.json"], "--out: 'here.json' exists; --force replaces it"),
    ],
)
def test_bad_input_is_told_in_one_line_before_the_work(
    arguments: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("here.json").write_text("{}", encoding="utf-8")
    modules = [] if arguments[0].startswith(("vae_rosetta", "os", "no_such")) else ["vae_rosetta.shared.oracle"]
    result = CliRunner().invoke(cli.bench, [*modules, *arguments])
    assert (result.exit_code, result.stderr, result.stdout) == (2, f"Error: {message}\n", "")


def test_ours_are_measured_when_none_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    present: set[str] = set()
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name in present or None)
    with pytest.raises(ModuleNotFoundError, match=r"try: pip install 'vae-rosetta\[all\]'"):
        cli._modules(())
    present |= {"implementations", "jax", "flax", "optax", "tensorflow"}  # Keras is missing
    assert cli._modules(()) == ["vae_rosetta.implementations.jax_vae"]
    (tmp_path / "my_pkg").mkdir()
    monkeypatch.chdir(tmp_path)
    assert cli._modules(("my_pkg.my_vae",)) == ["my_pkg.my_vae"]


def test_help_is_the_protocol_and_loads_nothing_heavy(root: Path) -> None:
    command = [sys.executable, "-X", "importtime", "-m", "vae_rosetta.benchmarks", "--help"]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    imported = set(re.findall(r"^import time:.*\| +([\w.]+)$", done.stderr, re.MULTILINE))
    assert done.returncode == 0
    for word in ("Gate", "A B C A B C", "fit", "train", "Limits", "Memory"):
        assert word in done.stdout
    assert {"vae_rosetta.benchmarks.cli", "click"} <= imported, "the list of imports was not read"
    assert not imported & {"numpy", "rich", "torch", "tensorflow", "jax"}
