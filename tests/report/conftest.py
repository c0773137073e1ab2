"""What the tests of `vae report` share: tiny runs, results of every kind, and a reader of pages."""

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

from vae_rosetta.applications.cli import vae
from vae_rosetta.benchmarks.plan import FORMAT
from vae_rosetta.conformance import outcome
from vae_rosetta.conformance.outcome import Case, Fault, Outcome
from vae_rosetta.conformance.report import Report

_VOID = {"meta", "img", "br", "link", "hr", "input"}
Json = dict[str, Any]


@dataclass
class Page(HTMLParser):
    """A page as a browser would take it apart: its elements with their attributes, and what it says."""

    elements: list[tuple[str, dict[str, str | None]]] = field(default_factory=list)
    words: list[str] = field(default_factory=list)
    unclosed: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__(convert_charrefs=True)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in _VOID:
            self.unclosed.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.unclosed, f"</{tag}> closes nothing"
        assert self.unclosed.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.unclosed:
            self.words.append(data)

    @property
    def text(self) -> str:
        """All that it says, with single spaces."""
        return " ".join(" ".join(self.words).split())

    def of(self, tag: str) -> list[dict[str, str | None]]:
        """The attributes of each element of a kind."""
        return [attributes for name, attributes in self.elements if name == tag]


@pytest.fixture(scope="session")
def read() -> Callable[[Path], Page]:
    """Takes a page apart, and checks that every element is closed."""

    def call(path: Path) -> Page:
        page = Page()
        page.feed(path.read_text(encoding="utf-8"))
        page.close()
        assert not page.unclosed
        return page

    return call


@pytest.fixture(scope="session")
def report() -> Callable[..., Result]:
    """Calls `vae report`."""

    def call(*arguments: object) -> Result:
        return CliRunner().invoke(vae, ["report", *map(str, arguments)])

    return call


@pytest.fixture(scope="session")
def train() -> Callable[..., Path]:
    """Trains a tiny model with the oracle."""

    def call(out: Path, data: Path, *more: object) -> Path:
        options = ("--backend", "oracle", "--batch-size", 16, "--hidden-dim", 8, "--epochs", 2, "--latent-dim", 3)
        result = CliRunner().invoke(vae, ["train", *map(str, (*options, "--data", data, "--out", out, *more))])
        assert result.exit_code == 0, result.output
        return out

    return call


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """54 images of 4 x 4 pixels to train on and 12 held out, of three classes."""
    path = tmp_path_factory.mktemp("data") / "tiny.npz"
    random = np.random.default_rng(0)
    images, held_out = (random.random((count, 4, 4), dtype=np.float32) for count in (54, 12))
    np.savez(path, train=images, test=held_out, y_train=np.arange(54) % 3, y_test=np.arange(12) % 3)
    return path


@pytest.fixture(scope="session")
def trained(train: Callable[..., Path], data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of runs: `single` and `double` share a recipe, `other` has another seed."""
    folder = tmp_path_factory.mktemp("runs")
    train(folder / "single", data)
    train(folder / "double", data, "--dtype", "float64")
    train(folder / "other", data, "--seed", 1)
    return folder


@pytest.fixture
def runs(trained: Path, tmp_path: Path) -> list[Path]:
    """Those runs, for this test alone: single, double, other."""
    return [shutil.copytree(trained / name, tmp_path / name) for name in ("single", "double", "other")]


@pytest.fixture
def likelihood() -> Json:
    """As `vae evaluate` writes it."""

    def figure(nats: float) -> Json:
        return {"nats": nats, "standard_error": 0.25, "bits_per_pixel": nats / 11.09}

    published = {"measure": "negative_elbo", "low": 8.0, "high": 9.0, "protocol": "as here", "source": "A. Uthor"}
    return {
        "format": "vae-rosetta/likelihood/1",
        "protocol": "dynamic-binarised (one draw, seed 0)",
        "images": 1234,
        "backend": "numpy 2",
        "negative_elbo": {"samples": 10, **figure(12.345)},
        "reconstruction": figure(10.0),
        "kl": figure(2.345),
        "latents": {"active": 2, "active_above": 0.01, "variance_of_mean": [1.0, 1.0, 0.0], "kl": [0.5, 1.8, 0.001]},
        "importance_weighted": [{"k": 1000, **figure(11.5)}],
        "published": [published],
        "unknown": "ignored",
    }


@pytest.fixture
def samples() -> Json:
    """As `vae evaluate samples` writes it."""

    def entry(name: str, distance: float, ratio: Json) -> Json:
        return {
            "name": name,
            "what": f"what {name} is",
            "frechet": {"n": 100, "distance": distance},
            "neighbourhoods": {"n": 100, "k": 5, "precision": 0.5, "recall": 0.25, "density": 1.5, "coverage": 0.75},
            "labels": {"n": 100, "counts": [50, 50], "chi_square": 0.125, "p": 0.7, "confidence": 0.875},
            "nearest_training_image": {"n": 100, "median": 1.0, "percentile_1": 0.5},
            "ratio_to_floor": ratio,
        }

    return {
        "format": "vae-rosetta/samples/1",
        "protocol": "grey pixels",
        "images": 100,
        "judge": {"layers": "16-4-3", "accuracy": 0.9},
        "sets": [entry("test", 2.0, {"frechet": 1.0}), entry("samples", 20.5, {"frechet": 10.25})],
    }


@pytest.fixture
def compression() -> Json:
    """As `vae evaluate compression` writes it."""
    return {
        "format": "vae-rosetta/compression/1",
        "protocol": "rounded",
        "data": {"name": "tiny", "sha256": "0"},
        "images": 12,
        "backend": "numpy 2",
        "coder": "constriction 0.5",
        "bits_per_pixel": {"net": 0.1785, "gross": 0.1794, "with_weights": 2.5},
        "negative_elbo_bits_per_pixel": {"float": 0.1783, "integer": 0.1784},
        "net_over_negative_elbo": 1.0011,
        "integer_over_float": 1.0002,
        "images_per_second": {"compress": 4000.0, "decompress": 3000.0},
        "others_bits_per_pixel": {"gzip": 0.3281, "bz2": 0.2502},
        "published": [{"name": "bits-back", "bits_per_pixel": 0.19, "protocol": "p", "source": "B. Itsback"}],
    }


@pytest.fixture
def anomaly() -> Json:
    """As `vae evaluate anomaly` writes it."""

    def score(value: float) -> Json:
        return {metric: {"value": value, "low": value, "high": value} for metric in ("auroc", "auprc")}

    def digit(which: int, value: float) -> Json:
        scores = {"ink": score(0.5), "elbo": score(value)}
        return {"digit": which, "seed": 0, "anomalies": 1, "prevalence": 0.1, "scores": scores}

    mean = {metric: {"value": 0.6, "sd": None} for metric in ("auroc", "auprc")}
    return {
        "format": "vae-rosetta/anomaly/1",
        "protocol": "leave one digit out",
        "data": {"name": "tiny"},
        "epochs": 1,
        "model": "16-8-3",
        "seeds": [0],
        "results": [digit(0, 0.901), digit(1, 0.301)],
        "mean": {"ink": mean, "elbo": mean},
        "published": [
            {"name": "VAE, 2-d", "metric": "auroc", "values": {"0": 0.96, "1": 0.74}, "source": "T. Hesis"},
            {"name": "VAE, old", "metric": "auprc", "values": {"1": 0.063}, "source": "Z. Old"},
        ],
    }


@pytest.fixture
def certificate() -> Json:
    """As `vae conformance --report` writes it, by the code that writes it."""
    run = {
        "module": "vae_rosetta.implementations.torch_vae",
        "command": None,
        "describe": {"framework": "torch", "version": "2.0"},
        "device": "cpu",
        "date": "2026-01-02T03:04:05+00:00",
        "spec_version": "1.0",
    }
    found = Report(run, chapters=("loss",))
    for dtype, ratio in (("float32", 0.625), ("float64", 0.125)):
        found.cases[dtype] = Case("loss/tiny", "loss", dtype, ("loss.kl",), is_vector=True)
        found.record(dtype, Outcome(outcome.Result.PASSED, headroom={"kl": ratio}))
    found.cases["wrong"] = Case("loss/full", "loss", "float32", ("loss.bce.logits",), is_vector=True)
    found.record("wrong", Outcome(outcome.Result.FAILED, "too large", Fault.WRONG))
    return found.certificate()


@pytest.fixture
def benchmark() -> Json:
    """As `vae bench --out` writes it."""

    def spread(median: float) -> Json:
        return {"median": median, "q1": 0.9 * median, "q3": 1.1 * median}

    def fit(rate: float) -> Json:
        shares = {"percent_of_roofline": spread(rate / 500), "percent_of_roofline_with_adam": spread(rate / 400)}
        return {"images_per_second": spread(rate), **shares}

    return {
        "format": FORMAT,
        "machine": {"cpu": "Abacus", "usable_cores": 2, "others_percent": 30.0},
        "protocol": {"dtype": "float32", "sizes": [784, 400, 20], "batches": [128], "repetitions": 5, "target": 120.0},
        "roofline": {"batches": [{"batch": 128, "images_per_second": spread(50000.0)}]},
        "backends": [
            {
                "module": "vae_rosetta.implementations.torch_vae",
                "describe": {"framework": "torch", "version": "2.0"},
                "training": [{"batch": 128, "first_epoch_seconds": 1.5, "fit": fit(30000.0), "train": fit(35000.0)}],
                "inference": {"encode": spread(200000.0), "decode": spread(250000.0), "generate": None},
                "import_seconds": {"module": spread(0.75)},
                "target": {"seconds": spread(12.5)},
            }
        ],
        "peers": [
            {
                "name": "peer",
                "differs": "in all",
                "training": [{"batch": 128, "first_epoch_seconds": 9.5, "fit": fit(4567.0)}],
                "target": None,
            }
        ],
        "refused": [{"module": "bad_vae", "reason": "fails"}],
    }


@pytest.fixture
def everything(
    runs: list[Path],
    likelihood: Json,
    samples: Json,
    compression: Json,
    anomaly: Json,
    certificate: Json,
    benchmark: Json,
    tmp_path: Path,
) -> list[object]:
    """The arguments of a report that has all sections; the files lie where each option says."""
    for name, content in (("likelihood", likelihood), ("samples", samples), ("compression", compression)):
        (runs[0] / f"{name}.json").write_text(json.dumps(content))
    for name, content in (("anomaly", anomaly), ("certificate", certificate), ("benchmark", benchmark)):
        (tmp_path / f"{name}.json").write_text(json.dumps(content))
    options = ("--anomaly", tmp_path / "anomaly.json", "--conformance", tmp_path / "certificate.json")
    return [*runs, *options, "--benchmark", tmp_path / "benchmark.json", "--out", tmp_path / "report.html"]
