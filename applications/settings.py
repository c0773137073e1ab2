"""What a run was asked for and what it was trained on: `config.json`, typed. This is its one reader and one writer."""

import json
import reprlib
import shlex
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from vae_rosetta.applications import protocol
from vae_rosetta.applications.protocol import Protocol
from vae_rosetta.applications.versions import versions
from vae_rosetta.shared import files, spec
from vae_rosetta.shared.contract import Backend
from vae_rosetta.shared.datasets import Dataset
from vae_rosetta.shared.spec import Sizes

Json = dict[str, Any]


@dataclass(frozen=True)
class Settings:
    """The options of `vae train` that decide the result."""

    backend: str
    data: str
    data_dir: Path | None
    binarise: str
    epochs: int
    batch_size: int
    seed: int
    latent_dim: int
    hidden_dim: int
    device: str
    dtype: str

    def command(self) -> str:
        """The command that does this run again, from the start."""
        options = (
            (f"--{name.replace('_', '-')}", str(value)) for name, value in _plain(self).items() if value is not None
        )
        return shlex.join(["vae", "train", *(word for option in options for word in option)])


@dataclass(frozen=True)
class TrainedOn:
    """The data set of a run."""

    sha256: str
    train: int  # images
    test: int
    pixels: int  # of an image
    image_shape: tuple[int, int] | None  # height and width, if known
    protocol: str  # what was done to its pixels before the run had them

    @classmethod
    def of(cls, data: Dataset) -> "TrainedOn":
        """The facts about `data`."""
        pixels = data.train.shape[1]
        return cls(data.sha256, len(data.train), len(data.test), pixels, data.image_shape, data.protocol)


@dataclass(frozen=True)
class Earlier:
    """What did the first epochs of a run that was resumed."""

    epochs_done: int
    backend: str
    device: str
    describe: Mapping[str, str]
    versions: Mapping[str, str]


@dataclass(frozen=True)
class Pixels:
    """What was done to grey pixels, in words."""

    train: str
    test: str


@dataclass(frozen=True)
class Config:
    """`config.json`: all that is needed to repeat a run, and how far it has come."""

    spec: str
    settings: Settings
    dataset: TrainedOn
    pixels: Pixels | None  # None: a run from before pixels could be binarised
    epochs_done: int
    describe: Mapping[str, str]  # the backend's `describe()`, where it ran
    versions: Mapping[str, str]
    earlier: tuple[Earlier, ...] = ()  # one for each time that the run was resumed
    without_digit: int | None = None  # class that was left out, by `vae evaluate anomaly`

    @classmethod
    def of(cls, settings: Settings, data: Dataset, backend: Backend) -> "Config":
        """The config of a run before its first epoch."""
        device = {} if settings.device == "auto" else {"device": settings.device}
        return cls(
            spec=spec.VERSION,
            settings=settings,
            dataset=TrainedOn.of(data),
            pixels=Pixels(protocol.trained_on(settings.binarise), tested_on(settings).words(data.test)),
            epochs_done=0,
            describe={**backend.describe(), **device},
            versions=versions(settings.backend),
        )

    @property
    def sizes(self) -> Sizes:
        """Of the model."""
        return Sizes(self.dataset.pixels, self.settings.hidden_dim, self.settings.latent_dim)

    def write(self, path: Path) -> None:
        """Writes the file `path`, atomically.

        Raises:
            OSError: it cannot be written.
        """
        document = {
            "spec": self.spec,
            "command": self.settings.command() if self.without_digit is None else None,
            **_plain(self.settings),
            "without_digit": self.without_digit,
            "dataset": asdict(self.dataset),
            "protocol": self.pixels and asdict(self.pixels),
            "epochs_done": self.epochs_done,
            "describe": dict(self.describe),
            "versions": dict(self.versions),
            "earlier": [asdict(each) for each in self.earlier],
        }
        for name in ("command", "without_digit", "protocol"):  # that not every run has
            if document[name] is None:
                del document[name]
        files.write_text(path, json.dumps(document, indent=2) + "\n")

    @classmethod
    def read(cls, path: Path) -> "Config":
        """The file `path`, written by this version or an older one.

        Raises:
            FileNotFoundError: there is no such file.
            ValueError: it is damaged; the message names the file, the key, what was got and what was expected.
        """
        try:
            document = json.loads(path.read_text(encoding="utf-8"))
        except (ValueError, RecursionError) as error:
            raise ValueError(f"{path}: damaged ({type(error).__name__}: {error})") from None
        return _config(_Fields(str(path), document))


def tested_on(settings: Settings) -> Protocol:
    """What is done to held-out images before a run with these settings is tested on them."""
    return protocol.held_out(settings.binarise, settings.seed)


def _plain(settings: Settings) -> Json:
    """The settings as JSON has them."""
    return {name: str(value) if isinstance(value, Path) else value for name, value in asdict(settings).items()}


class _Fields:
    """The fields of a JSON object, each taken by name and checked."""

    def __init__(self, where: str, found: object) -> None:
        if not isinstance(found, dict):
            raise ValueError(f"{where}: got {reprlib.repr(found)}; expected an object")
        self._where, self._found = where, found

    def __contains__(self, name: str) -> bool:
        return name in self._found

    def take(self, name: str, fits: Callable[[Any], bool], expected: str, *absent: Any) -> Any:
        """The field `name`; `absent` is what it is where the object lacks it, if it may."""
        if name not in self._found:
            if absent:
                return absent[0]
            raise ValueError(f"{self._where}: {name}: missing; expected {expected}")
        if not fits(value := self._found[name]):
            raise ValueError(f"{self._where}: {name}: got {reprlib.repr(value)}; expected {expected}")
        return value

    def text(self, name: str, *absent: str) -> str:
        """A string."""
        return str(self.take(name, lambda value: isinstance(value, str), "text", *absent))

    def one_of(self, name: str, known: tuple[str, ...], *absent: str) -> str:
        """One of some strings."""
        return str(self.take(name, lambda value: value in known, f"one of {', '.join(known)}", *absent))

    def folder(self, name: str) -> Path | None:
        """The path of a folder, if there is one."""
        found = self.take(name, lambda value: value is None or isinstance(value, str), "a folder or null")
        return None if found is None else Path(found)

    def seed(self, name: str) -> int:
        """A seed of the portable stream."""
        expected = "a whole number from 0 to 2**64 - 1"
        return int(self.take(name, lambda value: _is_whole(value) and 0 <= value < 2**64, expected))

    def whole(self, name: str, least: int, *absent: int) -> int:
        """A whole number of at least `least`."""
        expected = f"a whole number, {least} or more"
        return int(self.take(name, lambda value: _is_whole(value) and value >= least, expected, *absent))

    def texts(self, name: str, *absent: Mapping[str, str]) -> dict[str, str]:
        """An object of strings."""

        def fits(value: Any) -> bool:
            return isinstance(value, dict) and all(isinstance(each, str) for each in value.values())

        return dict(self.take(name, fits, "an object of texts", *absent))

    def within(self, name: str) -> "_Fields":
        """The fields of the object `name`."""
        return _Fields(f"{self._where}: {name}", self.take(name, lambda _: True, "an object"))

    def list_within(self, name: str, *absent: list[Any]) -> "list[_Fields]":
        """The fields of each object in the list `name`."""
        found = self.take(name, lambda value: isinstance(value, list), "a list", *absent)
        return [_Fields(f"{self._where}: {name}", each) for each in found]


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _config(fields: _Fields) -> Config:
    # What `vae evaluate anomaly --keep` wrote at first lacks what only an interrupted run would need.
    kept = "without_digit" in fields
    spec_version, settings = fields.text("spec"), _settings(fields, kept)
    pixels = fields.within("protocol") if "protocol" in fields else None
    return Config(
        spec=spec_version,
        settings=settings,
        dataset=_trained_on(fields.within("dataset")),
        pixels=None if pixels is None else Pixels(pixels.text("train"), pixels.text("test")),
        epochs_done=fields.whole("epochs_done", 0, *([settings.epochs] if kept else [])),
        describe=fields.texts("describe", *([{}] if kept else [])),
        versions=fields.texts("versions"),
        earlier=tuple(map(_earlier, fields.list_within("earlier", *([[]] if kept else [])))),
        without_digit=fields.whole("without_digit", 0) if kept else None,
    )


def _settings(fields: _Fields, kept: bool) -> Settings:
    return Settings(
        backend=fields.text("backend"),
        data=fields.text("data"),
        data_dir=fields.folder("data_dir"),
        binarise=fields.one_of("binarise", protocol.TRAINABLE, "none"),  # runs were grey before there was a choice
        epochs=fields.whole("epochs", 1),
        batch_size=fields.whole("batch_size", 1),
        seed=fields.seed("seed"),
        latent_dim=fields.whole("latent_dim", 1),
        hidden_dim=fields.whole("hidden_dim", 1),
        device=fields.text("device", *(["auto"] if kept else [])),
        dtype=fields.text("dtype"),
    )


def _trained_on(fields: _Fields) -> TrainedOn:
    pixels = fields.whole("pixels", 1)

    def is_shape(value: Any) -> bool:
        if value is None:
            return True
        sides = isinstance(value, list) and len(value) == 2 and all(_is_whole(side) and side > 0 for side in value)
        return sides and value[0] * value[1] == pixels

    shape = fields.take("image_shape", is_shape, f"height and width of {pixels} pixels, or null")
    return TrainedOn(
        sha256=fields.text("sha256"),
        train=fields.whole("train", 1),
        test=fields.whole("test", 1),
        pixels=pixels,
        image_shape=shape and (shape[0], shape[1]),
        protocol=fields.text("protocol"),
    )


def _earlier(fields: _Fields) -> Earlier:
    return Earlier(
        epochs_done=fields.whole("epochs_done", 0),
        backend=fields.text("backend"),
        device=fields.text("device"),
        describe=fields.texts("describe"),
        versions=fields.texts("versions"),
    )
