"""What a run was asked for and what it was trained on: `config.json`, typed. This is its one reader and one writer."""

import json
import reprlib
import shlex
from collections.abc import Callable, Mapping
from dataclasses import MISSING, asdict, dataclass, fields
from pathlib import Path
from typing import Annotated, Any, Final, NamedTuple, get_args, get_origin, get_type_hints

from vae_rosetta.applications.versions import versions
from vae_rosetta.shared import binarisation, files, spec
from vae_rosetta.shared.binarisation import Protocol
from vae_rosetta.shared.contract import Backend
from vae_rosetta.shared.datasets import Dataset
from vae_rosetta.shared.spec import Sizes

Json = dict[str, Any]


class _Kind(NamedTuple):
    """What a field's value must be in the file."""

    expected: str
    fits: Callable[[Any], bool]
    made: Callable[[Any], Any] = lambda value: value  # what it becomes


def _is_whole(value: Any, least: int, below: float = float("inf")) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and least <= value < below


def _is_shape(value: Any) -> bool:
    return value is None or (isinstance(value, list) and len(value) == 2 and all(_is_whole(n, 1) for n in value))


def _are_texts(value: Any) -> bool:
    return isinstance(value, dict) and all(isinstance(text, str) for text in value.values())


_Text = Annotated[str, _Kind("text", lambda value: isinstance(value, str))]
_Texts = Annotated[Mapping[str, str], _Kind("an object of texts", _are_texts)]
_Whole = Annotated[int, _Kind("a whole number, 0 or more", lambda value: _is_whole(value, 0))]
_Count = Annotated[int, _Kind("a whole number, 1 or more", lambda value: _is_whole(value, 1))]
_Seed = Annotated[int, _Kind("a whole number from 0 to 2**64 - 1", lambda value: _is_whole(value, 0, 2**64))]
_Shape = Annotated[tuple[int, int] | None, _Kind("height and width, or null", _is_shape, lambda v: v and tuple(v))]
_Binarise = Annotated[
    str, _Kind(f"one of {', '.join(binarisation.TRAINABLE)}", lambda value: value in binarisation.TRAINABLE)
]
_Folder = Annotated[
    Path | None,
    _Kind("a folder or null", lambda value: isinstance(value, str | None), lambda v: None if v is None else Path(v)),
]

# Keys that a file may lack: pixels could not be binarised at first, and what `vae evaluate anomaly --keep` wrote had
# nothing that only an interrupted run needs.
_AT_FIRST: Final[Json] = {"binarise": "none"}
_KEPT_AT_FIRST: Final[Json] = {"device": "auto", "describe": {}, "earlier": []}


@dataclass(frozen=True)
class Settings:
    """The options of `vae train` that decide the result."""

    backend: _Text
    data: _Text
    data_dir: _Folder
    binarise: _Binarise
    epochs: _Count
    batch_size: _Count
    seed: _Seed
    latent_dim: _Count
    hidden_dim: _Count
    device: _Text
    dtype: _Text

    def command(self) -> str:
        """The command that does this run again, from the start."""
        given = {name: value for name, value in asdict(self).items() if value is not None}
        options = ((f"--{name.replace('_', '-')}", str(value)) for name, value in given.items())
        return shlex.join(["vae", "train", *(word for option in options for word in option)])


@dataclass(frozen=True)
class TrainedOn:
    """The data set of a run."""

    sha256: _Text
    train: _Count  # images
    test: _Count
    pixels: _Count  # of an image
    image_shape: _Shape  # height and width, if known
    protocol: _Text  # what was done to its pixels before the run had them

    def __post_init__(self) -> None:
        shape = self.image_shape
        if shape is not None and shape[0] * shape[1] != self.pixels:
            raise ValueError(f"image_shape: got {list(shape)}; expected height and width of {self.pixels} pixels")

    @classmethod
    def of(cls, data: Dataset) -> "TrainedOn":
        """The facts about `data`."""
        pixels = data.train.shape[1]
        return cls(data.sha256, len(data.train), len(data.test), pixels, data.image_shape, data.protocol)


@dataclass(frozen=True)
class Pixels:
    """What was done to grey pixels, in words."""

    train: _Text
    test: _Text


@dataclass(frozen=True)
class Earlier:
    """What did the first epochs of a run that was resumed."""

    epochs_done: _Whole
    backend: _Text
    device: _Text
    describe: _Texts
    versions: _Texts


@dataclass(frozen=True)
class Config:
    """`config.json`: all that is needed to repeat a run, and how far it has come."""

    settings: Settings
    spec: _Text
    dataset: TrainedOn
    epochs_done: _Whole
    describe: _Texts  # the backend's `describe()`, where it ran
    versions: _Texts
    earlier: tuple[Earlier, ...]  # one for each time that the run was resumed
    protocol: Pixels | None = None  # None: a run from before pixels could be binarised
    without_digit: _Whole | None = None  # class that was left out, by `vae evaluate anomaly`

    @classmethod
    def of(cls, settings: Settings, data: Dataset, backend: Backend) -> "Config":
        """The config of a run before its first epoch."""
        device = {} if settings.device == "auto" else {"device": settings.device}
        return cls(
            settings=settings,
            spec=spec.VERSION,
            dataset=TrainedOn.of(data),
            epochs_done=0,
            describe={**backend.describe(), **device},
            versions=versions(settings.backend),
            earlier=(),
            protocol=Pixels(binarisation.trained_on(settings.binarise), tested_on(settings).words(data.test)),
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
        command = {"command": self.settings.command()} if self.without_digit is None else {}
        without = {} if self.without_digit is None else {"without_digit": self.without_digit}
        document = {
            "spec": self.spec,
            **command,
            **asdict(self.settings),
            **without,
            "dataset": asdict(self.dataset),
            **({} if self.protocol is None else {"protocol": asdict(self.protocol)}),
            "epochs_done": self.epochs_done,
            "describe": dict(self.describe),
            "versions": dict(self.versions),
            "earlier": [asdict(each) for each in self.earlier],
        }
        files.write_text(path, json.dumps(document, indent=2, default=str) + "\n")  # str: of a Path

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
        if isinstance(document, dict):
            kept = _KEPT_AT_FIRST | {"epochs_done": document.get("epochs")} if "without_digit" in document else {}
            document = _AT_FIRST | kept | document
        settings = _decoded(Settings, document, str(path))
        config: Config = _decoded(cls, document | {"settings": settings}, str(path))
        return config


def tested_on(settings: Settings) -> Protocol:
    """What is done to held-out images before a run with these settings is tested on them."""
    return binarisation.held_out(settings.binarise, settings.seed)


def _decoded(kind: Any, value: Any, where: str) -> Any:
    """`value`, out of JSON, as the type `kind`: an annotated one, a dataclass of such, or a tuple of dataclasses.

    Raises:
        ValueError: it is not of that kind; the message begins with `where`.
    """
    check = _kind(kind)
    if not check.fits(value):
        raise ValueError(f"{where}: got {reprlib.repr(value)}; expected {check.expected}")
    if get_origin(kind) is tuple:
        return tuple(_decoded(get_args(kind)[0], each, where) for each in value)
    if get_origin(kind) is Annotated:
        return check.made(value)
    hints, found = get_type_hints(kind, include_extras=True), {}
    for field in fields(kind):
        hint, here = hints[field.name], f"{where}: {field.name}"
        if type(None) in get_args(hint):  # for what need not be in the file
            hint = get_args(hint)[0]
        if isinstance(value.get(field.name), Settings):
            found[field.name] = value[field.name]
        elif field.name in value:
            found[field.name] = _decoded(hint, value[field.name], here)
        elif field.default is MISSING:
            raise ValueError(f"{here}: missing; expected {_kind(hint).expected}")
    try:
        return kind(**found)
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from None


def _kind(kind: Any) -> _Kind:
    """What a value of the type `kind` must be in the file."""
    if get_origin(kind) is Annotated:
        check: _Kind = kind.__metadata__[0]
        return check
    of, expected = (list, "a list") if get_origin(kind) is tuple else (dict, "an object")
    return _Kind(expected, lambda value: isinstance(value, of))
