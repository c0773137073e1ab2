"""Deeplearning4j's own `VariationalAutoencoder` layer, in a program of the port in Java."""

from vae_rosetta.implementations import programs
from vae_rosetta.shared import parameters, process, recipe
from vae_rosetta.shared.contract import Array
from vae_rosetta.shared.spec import Sizes


class PeerModel:
    """See `benchmarks.peers.Peer`."""

    differs = (
        "noise is drawn inside, whatever is given; cross-entropy on clipped probabilities; Deeplearning4j's Adam, "
        "which adds epsilon before the bias correction"
    )

    def __init__(self) -> None:
        self._program = process.backend(programs.command_of_java("vaerosetta.dl4j.OwnLayer"), timeout=None)
        self.versions = {"deeplearning4j": self._program.describe()["version"]}

    def start(self, x: Array, batch: int) -> None:
        sizes = Sizes(input_dim=x.shape[1])
        self._model = self._program.load(parameters.initial(0, sizes))
        self._x, self._batch, self._epochs = x, batch, 0

    def epoch(self) -> float:
        first, self._epochs = self._epochs, self._epochs + 1
        run = recipe.fit(self._model, self._x, seed=0, epochs=self._epochs, batch_size=self._batch, first_epoch=first)
        return next(run).objective

    def test(self, x: Array) -> float:
        return recipe.evaluate(self._model, x, seed=0).objective
