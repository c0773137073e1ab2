"""`vae evaluate`: its table, its file, its defaults, and what it refuses."""

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

from vae_rosetta.applications import outputs, runs
from vae_rosetta.applications.cli import vae
from vae_rosetta.applications.evaluation import command, measures, published
from vae_rosetta.applications.evaluation.measures import latents
from vae_rosetta.applications.runs import Run
from vae_rosetta.applications.settings import Config
from vae_rosetta.applications.weights import Weights
from vae_rosetta.shared import binarisation, datasets, oracle, parameters, passes
from vae_rosetta.shared.contract import Array
from vae_rosetta.shared.datasets import Dataset
from vae_rosetta.shared.spec import Sizes

Call = Callable[..., Result]


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with data of 4 x 3 pixels, of which 6 images are held out, and a run of two epochs for each protocol."""
    folder = tmp_path_factory.mktemp("template")
    np.save(folder / "tiny.npy", np.random.default_rng(0).random((60, 4, 3), dtype=np.float32))
    sizes = ["--hidden-dim", "8", "--latent-dim", "3", "--backend", "oracle", "--epochs", "2", "--seed", "5"]
    for binarise in ("none", "dynamic"):
        out = ["--binarise", binarise, "--out", str(folder / binarise)]
        result = CliRunner().invoke(vae, ["train", "--data", str(folder / "tiny.npy"), *sizes, *out])
        assert result.exit_code == 0, result.output
    return folder


@pytest.fixture
def evaluate(tmp_path: Path, template: Path) -> Call:
    """Calls `vae evaluate` with the run that was trained on binarised pixels, and writes to the test's own folder."""

    def call(*arguments: object, weights: Path | str = "dynamic", out: Path | None = tmp_path / "x.json") -> Result:
        options = ["--weights", template / weights, "--backend", "oracle", *(("--out", out) if out else ()), *arguments]
        return CliRunner().invoke(vae, ["evaluate", *map(str, options)])

    return call


def found(tmp_path: Path) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((tmp_path / "x.json").read_text())
    return document


def test_the_file_holds_what_the_functions_return(evaluate: Call, template: Path, tmp_path: Path) -> None:
    result = evaluate("--samples", 7, "--importance", 25, "--seed", 3, "--draw-seed", 2)
    assert (result.exit_code, result.stderr) == (0, "")
    data = datasets.load(str(template / "tiny.npy"))
    x = binarisation.drawn(data.test, 2)
    model = oracle.load(parameters.read_params(template / "dynamic" / runs.WEIGHTS))
    elbo = passes.negative_elbo(model, x, samples=7, seed=3)
    use = latents(model, x)

    def figure(values: Array) -> dict[str, float]:
        mean, error = measures.estimate(values)
        return {"nats": mean, "standard_error": error, "bits_per_pixel": measures.bits_per_pixel(mean, 12)}

    written = found(tmp_path)
    assert written.pop("seconds") > 0
    assert written == {
        "format": "vae-rosetta/likelihood/1",
        "protocol": "dynamic-binarised (one draw, seed 2)",
        "binarise": "drawn",
        "draw_seed": 2,
        "seed": 3,
        "images": 6,
        "pixels": 12,
        "data": {"name": str(template / "tiny.npy"), "sha256": data.sha256},
        "weights": str(template / "dynamic" / runs.WEIGHTS),
        "sizes": {"input_dim": 12, "hidden_dim": 8, "latent_dim": 3},
        "trained": {
            "backend": "oracle",
            "data": str(template / "tiny.npy"),
            "epochs_done": 2,
            "batch_size": 128,
            "seed": 5,
            "binarise": "dynamic",
        },
        "backend": f"numpy {np.__version__}",
        "project": written["project"],
        "spec": "1.0",
        "negative_elbo": {"samples": 7, **figure(elbo.objective)},
        "reconstruction": figure(elbo.reconstruction),
        "kl": figure(elbo.kl),
        "latents": {
            "active": int(use.active.sum()),
            "active_above": 0.01,
            "variance_of_mean": use.variance_of_mean.tolist(),
            "kl": use.kl.tolist(),
        },
        "importance_weighted": [
            {"k": k, **figure(-value)}
            for k, value in zip((1, 10, 25), passes.importance_weighted(model, x, ks=[1, 10, 25], seed=3), strict=True)
        ],
        "published": [],
    }


@pytest.mark.parametrize(
    ("weights", "arguments", "words"),
    [
        ("none", (), "grey"),
        ("dynamic", ("--importance", "5"), "dynamic-binarised (one draw, seed 0)"),
        ("none", ("--binarise", "drawn", "--importance", "5"), "dynamic-binarised (one draw, seed 0)"),
        ("dynamic", ("--binarise", "none"), "grey"),
        ("none", ("--binarise", "rounded", "--importance", "5"), "rounded"),
    ],
)
def test_every_figure_says_of_which_data_it_is(
    weights: str, arguments: tuple[str, ...], words: str, evaluate: Call, tmp_path: Path
) -> None:
    """What a run was trained on is the default."""
    result = evaluate(*arguments, weights=weights)
    assert result.exit_code == 0, result.output
    document = found(tmp_path)
    assert document["protocol"] == words
    figures = [line for line in result.stdout.splitlines() if re.search(r"\d\.\d\d( |$)|\d of \d", line)]
    names = ["-ELBO, L = 10", "reconstruction", "KL", "active latents"]
    names += [f"NLL, k = {k}" for k in (1, 5)] if "--importance" in arguments else []
    for name in names:
        assert any(line.strip().startswith(name) for line in figures), name
    assert len(figures) == len(names) + 1
    assert all(words in line for line in figures)
    assert f"{document['negative_elbo']['nats']:.2f}" in result.stdout
    assert words in result.stdout.splitlines()[-1]


def test_the_file_lies_in_the_runs_folder_unless_weights_are_a_file(
    evaluate: Call, template: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    for name in (runs.WEIGHTS, runs.CONFIG):
        (folder / name).write_bytes((template / "none" / name).read_bytes())
    assert evaluate(weights=folder, out=None).exit_code == 0
    first = json.loads((folder / outputs.LIKELIHOOD.file).read_text())
    refused = evaluate(weights=folder, out=None)
    assert refused.exit_code == 2
    assert refused.stderr.endswith("likelihood.json, which exists; --force replaces it\n")
    assert evaluate("--force", "--images", 1, weights=folder, out=None).exit_code == 0
    second = json.loads((folder / outputs.LIKELIHOOD.file).read_text())
    assert (first["images"], second["images"]) == (6, 1)
    assert second["negative_elbo"]["standard_error"] is None  # of one image
    (folder / outputs.LIKELIHOOD.file).unlink()
    assert evaluate(weights=folder / runs.WEIGHTS, out=None).exit_code == 0
    assert not (folder / outputs.LIKELIHOOD.file).exists()


def test_weights_of_no_known_run_are_evaluated_on_data_that_are_named(
    evaluate: Call, template: Path, tmp_path: Path
) -> None:
    stray = tmp_path / "stray.safetensors"
    stray.write_bytes((template / "none" / runs.WEIGHTS).read_bytes())
    refused = evaluate(weights=stray)
    assert (refused.exit_code, refused.stderr) == (
        2,
        f"Error: data: no config.json beside {stray} names its data; give --data\n",
    )
    assert evaluate("--data", template / "tiny.npy", weights=stray).exit_code == 0
    assert (found(tmp_path)["trained"], found(tmp_path)["protocol"]) == (None, "grey")


def test_data_that_have_changed_are_not_taken_for_the_runs_own(evaluate: Call, template: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    np.save(tmp_path / "tiny.npy", np.zeros((60, 4, 3), dtype=np.float32))
    config = json.loads((template / "none" / runs.CONFIG).read_text())
    (folder / runs.CONFIG).write_text(json.dumps({**config, "data": str(tmp_path / "tiny.npy")}))
    (folder / runs.WEIGHTS).write_bytes((template / "none" / runs.WEIGHTS).read_bytes())
    refused = evaluate(weights=folder)
    assert refused.exit_code == 2
    assert re.fullmatch(
        r"Error: data: got \S+ \(SHA-256 \w{64}\); expected \w{64}, as the run had; .*\n", refused.stderr
    )
    assert evaluate("--data", tmp_path / "tiny.npy", "--importance", 2, weights=folder).exit_code == 0
    assert found(tmp_path)["protocol"] == "binary as given"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ("--binarise", "none", "--importance", "5"),
            "importance: got 5 for grey pixels; expected black and white ones",
        ),
        (("--binarise", "dynamic"), "'dynamic' is not one of 'none', 'drawn', 'rounded'"),
        (("--images", "7"), "images: got 7; expected at most 6, which"),
        (("--samples", "0"), "0 is not in the range x>=1"),
        (("--importance", "0"), "0 is not in the range x>=1"),
        (("--seed", str(2**64)), f"seed: got {2**64}; expected a whole number"),
        (("--draw-seed", str(2**64)), f"seed: got {2**64}; expected a whole number"),
        (("--data", "missing.npy"), "data: got 'missing.npy'; there is no such file"),
        (("--data", "wide.npy"), "with 7 pixels; expected 12, as "),
        (("--weights", "nowhere"), "weights: got nowhere; expected a run's folder or a .safetensors file"),
        (("--out", "none/x.json"), "expected a folder that exists"),
        (("--out", "x.txt"), "expected a name that ends in .json"),
    ],
)
def test_bad_input_is_told_in_a_line(
    arguments: tuple[str, ...], message: str, evaluate: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    np.save("wide.npy", np.zeros((30, 7), dtype=np.float32))
    result = evaluate(*arguments)
    assert result.exit_code == 2
    assert message in result.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["wide.npy"]


def test_a_damaged_config_is_told(evaluate: Call, template: Path, tmp_path: Path) -> None:
    (tmp_path / runs.WEIGHTS).write_bytes((template / "none" / runs.WEIGHTS).read_bytes())
    (tmp_path / runs.CONFIG).write_text("{}")
    result = evaluate(weights=tmp_path)
    assert result.exit_code == 2
    assert result.stderr == f"Error: {tmp_path / runs.CONFIG}: backend: missing; expected text\n"


def test_weights_of_another_model_than_the_runs_are_told(evaluate: Call, template: Path, tmp_path: Path) -> None:
    parameters.save(tmp_path / runs.WEIGHTS, parameters.initial(0, Sizes(12, 8, 4)))
    (tmp_path / runs.CONFIG).write_bytes((template / "none" / runs.CONFIG).read_bytes())
    result = evaluate(weights=tmp_path)
    assert result.exit_code == 2
    expected = "got a model of 12-8-4 (pixels-hidden-latents); expected 12-8-3 (pixels-hidden-latents)"
    assert result.stderr == f"Error: {tmp_path / runs.WEIGHTS}: {expected}\n"


def test_losses_that_are_not_finite_are_told(evaluate: Call, tmp_path: Path, template: Path) -> None:
    params = parameters.read_params(template / "none" / runs.WEIGHTS)
    params["encoder.fc2_logvar.bias"][:] = 1e4
    parameters.save(tmp_path / "wild.safetensors", params)
    result = evaluate("--data", template / "tiny.npy", weights=tmp_path / "wild.safetensors")
    assert result.exit_code == 1
    assert result.stderr == "Error: the losses of these weights on these images are not finite\n"
    assert not (tmp_path / "x.json").exists()


def test_the_group_asks_for_what_it_needs() -> None:
    missing = CliRunner().invoke(vae, ["evaluate"])
    assert missing.exit_code == 2
    assert "Missing option '--weights'" in missing.stderr


def test_a_command_below_comes_first() -> None:
    result = CliRunner().invoke(vae, ["evaluate", "--weights", "runs/first", "samples"])
    assert result.exit_code == 2
    assert result.stderr == "Error: Got unexpected extra argument (samples). See: vae evaluate --help\n"


def test_steps_on_the_way() -> None:
    assert command.ladder(1) == [1]
    assert command.ladder(10) == [1, 10]
    assert command.ladder(5000) == [1, 10, 100, 1000, 5000]


CLASSIC: dict[str, Any] = {"data": "mnist", "batch_size": 128, "epochs": 10, "binarise": "none"}


@pytest.mark.parametrize(
    ("settings", "sizes", "name", "images", "protocol", "beside"),
    [
        (CLASSIC, Sizes(), "mnist", 30, "grey", True),
        ({**CLASSIC, "binarise": "dynamic"}, Sizes(), "mnist", 30, "grey", False),
        ({**CLASSIC, "epochs": 20}, Sizes(), "mnist", 30, "grey", False),
        ({**CLASSIC, "batch_size": 64}, Sizes(), "mnist", 30, "grey", False),
        ({**CLASSIC, "data": "mnist-5k"}, Sizes(), "mnist", 30, "grey", False),
        (CLASSIC, Sizes(784, 400, 40), "mnist", 30, "grey", False),
        (CLASSIC, Sizes(), "mnist-5k", 30, "grey", False),
        (CLASSIC, Sizes(), "mnist", 29, "grey", False),
        (CLASSIC, Sizes(), "mnist", 30, "rounded", False),
        (None, Sizes(), "mnist", 30, "grey", False),
    ],
)
def test_a_published_figure_stands_beside_its_own_protocol_alone(
    settings: dict[str, Any] | None,
    sizes: Sizes,
    name: str,
    images: int,
    protocol: str,
    beside: bool,
    config_of: Callable[..., Config],
    template: Path,
) -> None:
    x = np.zeros((30, 1), dtype=np.float32)
    data = Dataset(name, x, x, None, None, None, "0" * 64)
    run = None
    if settings is not None:
        tiny = config_of(str(template / "tiny.npy"))
        trained = replace(tiny.settings, **settings)
        run = Run(Path("run"), replace(tiny, settings=trained, epochs_done=trained.epochs))
    weights = Weights(Path("w.safetensors"), {}, sizes, run)
    assert published.comparable(weights, data, images, protocol) == [published.EXAMPLE_LOGS] * beside
