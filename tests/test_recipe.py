"""The recipe: which images and noise each step sees, how epochs are counted and averaged, and that a run can be cut."""

import weakref
from typing import Any

import numpy as np
import pytest

from vae_rosetta.shared import binarisation, oracle, parameters, passes, recipe, stream
from vae_rosetta.shared.contract import Array, Losses
from vae_rosetta.shared.spec import Sizes

SIZES = Sizes(12, 8, 3)


class Recorder:
    """Notes what it is trained on; the objective of a step is the sum of the first pixels that it saw."""

    def __init__(self) -> None:
        self.calls: list[tuple[Array, Array]] = []

    sizes = SIZES

    def __getattr__(self, name: str) -> Any:
        if name == "hold":
            raise AttributeError(name)
        return getattr(oracle.load(parameters.initial(0, SIZES)), name)

    def train(self, x: Array, order: Array, noise: Array) -> Array:
        self.calls.append((order, noise))
        objectives: Array = x[order, 0].sum(axis=1)
        return objectives

    def losses(self, x: Array, noise: Array) -> Losses:
        return Losses(x[:, 0], noise[:, 0])


@pytest.fixture
def x() -> Array:
    """Eleven images whose first pixel tells them apart."""
    images = np.zeros((11, 12), np.float32)
    images[:, 0] = np.arange(11) / 16
    return images


@pytest.fixture(params=[1, 2, 512])
def _steps_per_call(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recipe, "MAX_STEPS_PER_CALL", request.param)


@pytest.mark.usefixtures("_steps_per_call")
@pytest.mark.parametrize("batch_size", [1, 3, 11, 100])
def test_every_image_is_seen_once_with_its_own_noise(x: Array, batch_size: int) -> None:
    recorder = Recorder()
    epochs = list(recipe.fit(recorder, x, seed=4, epochs=2, batch_size=batch_size))
    seen = np.concatenate([order.ravel() for order, _ in recorder.calls]).reshape(2, 11)
    noise = np.concatenate([noise.reshape(-1, 3) for _, noise in recorder.calls]).reshape(2, 11, 3)
    for epoch in range(2):
        np.testing.assert_array_equal(seen[epoch], stream.permutation(4, stream.Purpose.ORDER, epoch, 11))
        np.testing.assert_array_equal(noise[epoch], stream.normal(4, stream.Purpose.NOISE, epoch, (11, 3)))
    assert {len(epoch.step_objectives) for epoch in epochs} == {-(-11 // batch_size)}
    assert [epoch.objective for epoch in epochs] == pytest.approx([x[:, 0].mean()] * 2, rel=1e-6)


def test_short_last_batch_weighs_by_its_images() -> None:
    """Losses 10, 10, 10, 10 and 0 in batches of two: 8.0 an image, where an average of averages says 6.7."""
    params = {name: np.zeros_like(value) for name, value in parameters.initial(0, Sizes(1, 1, 1)).items()}
    params["decoder.fc4.bias"][:] = 10.0
    images = np.array([[0.0], [0.0], [0.0], [0.0], [1.0]], np.float32)
    epoch = next(recipe.fit(oracle.load(params), images, seed=0, epochs=1, batch_size=2))
    assert len(epoch.step_objectives) == 3
    assert epoch.objective == pytest.approx(8.0, abs=0.01)


@pytest.mark.parametrize("binarise", binarisation.TRAINABLE)
def test_resumed_run_is_the_same_run(binarise: str) -> None:
    x = np.random.default_rng(0).random((11, 12)).astype(np.float32)
    settings: dict[str, Any] = {"seed": 1, "batch_size": 4, "binarise": binarise}
    whole, first = (oracle.load(parameters.initial(0, SIZES)) for _ in range(2))
    curve = [epoch.step_objectives for epoch in recipe.fit(whole, x, epochs=4, **settings)]
    list(recipe.fit(first, x, epochs=2, **settings))
    second = oracle.load(parameters.initial(9, SIZES))
    second.load_state(first.state())
    rest = list(recipe.fit(second, x, epochs=4, first_epoch=2, **settings))
    assert [epoch.number for epoch in rest] == [3, 4]
    np.testing.assert_array_equal([epoch.step_objectives for epoch in rest], curve[2:], strict=True)


class Handle:
    """A stranger's: no more than an object that has a length."""

    def __init__(self, x: Array) -> None:
        self.x = x.copy()

    def __len__(self) -> int:
        return len(self.x)


class Holding(Recorder):
    """Offers `hold`, notes what was held, and how many handles were in use whenever it held another."""

    def __init__(self) -> None:
        super().__init__()
        self.held: list[Array] = []
        self.alive: list[int] = []
        self._handles: weakref.WeakSet[Handle] = weakref.WeakSet()

    def hold(self, x: Array) -> Handle:
        handle = Handle(x)
        self.held.append(handle.x)
        self.alive.append(len(self._handles))
        self._handles.add(handle)
        return handle

    def train(self, x: Any, order: Array, noise: Array) -> Array:
        assert x in self._handles
        return super().train(x.x, order, noise)


@pytest.fixture
def _many_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recipe, "MAX_STEPS_PER_CALL", 1)


@pytest.mark.usefixtures("_many_calls")
def test_images_are_held_once_a_run(x: Array) -> None:
    """Else every call would copy the whole data set, and the time of an image grow with their number."""
    model = Holding()
    epochs = list(recipe.fit(model, x, seed=6, epochs=2, batch_size=4))
    assert len(model.calls) == 6
    assert len(model.held) == 1
    expected = list(recipe.fit(Recorder(), x, seed=6, epochs=2, batch_size=4))
    assert [epoch.objective for epoch in epochs] == [epoch.objective for epoch in expected]


@pytest.mark.usefixtures("_many_calls")
def test_bits_are_held_once_an_epoch_and_let_go_before_the_next(x: Array) -> None:
    model = Holding()
    epochs = recipe.fit(model, x, seed=6, epochs=3, first_epoch=1, batch_size=4, binarise="dynamic")
    for epoch, _ in enumerate(epochs, start=1):
        np.testing.assert_array_equal(model.held[-1], binarisation.dynamic(x, 6, epoch), strict=True)
    assert len(model.calls) == 6
    assert model.alive == [0, 0]


@pytest.mark.usefixtures("_many_calls")
def test_a_model_without_hold_is_handed_the_array(x: Array) -> None:
    seen: list[Array] = []

    class Watching(Recorder):
        def train(self, x: Array, order: Array, noise: Array) -> Array:
            seen.append(x)
            return super().train(x, order, noise)

    list(recipe.fit(Watching(), x, seed=6, epochs=1, batch_size=4))
    assert [images is x for images in seen] == [True] * 3


def test_a_handle_takes_the_place_of_the_images(x: Array) -> None:
    plain, model = Recorder(), Holding()
    handle = recipe.held(model, x)
    assert recipe.held(model, handle) is handle
    (expected,), (epoch,) = (recipe.fit(*arguments, seed=6, epochs=1) for arguments in ((plain, x), (model, handle)))
    assert epoch.objective == expected.objective
    assert len(model.held) == 1
    with pytest.raises(TypeError, match=r"^x: got Handle; expected a float32 or float64 array"):
        recipe.fit(model, handle, seed=6, binarise="dynamic")


@pytest.mark.parametrize("bad", [np.full((3, 12), 2.0, np.float32), np.full((3, 12), np.nan), np.zeros((3, 11))])
def test_images_to_binarise_are_checked_as_a_model_would(bad: Array) -> None:
    with pytest.raises(ValueError, match=r"^x: got"):
        recipe.fit(Recorder(), bad, seed=0, binarise="dynamic")


def test_progress_reaches_all_images(x: Array, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recipe, "MAX_STEPS_PER_CALL", 1)
    reports: list[tuple[int, float]] = []
    list(recipe.fit(Recorder(), x, seed=0, epochs=1, batch_size=4, progress=lambda *report: reports.append(report)))
    assert [images for images, _ in reports] == [4, 8, 11]
    assert reports[-1][1] == pytest.approx(x[:, 0].mean())


def test_evaluation_does_not_depend_on_how_it_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    x = np.random.default_rng(1).random((50, 12)).astype(np.float32)
    model = oracle.load(parameters.initial(0, SIZES), dtype="float64")
    whole = recipe.evaluate(model, x, seed=3)
    monkeypatch.setattr(passes, "ROWS", 7)
    assert recipe.evaluate(model, x, seed=3) == pytest.approx(whole, rel=1e-14)
    assert whole.objective == pytest.approx(whole.reconstruction + whole.kl)
    assert recipe.evaluate(model, x, seed=3, draw=1) != whole


def test_evaluation_samples_z_with_the_streams_noise(x: Array) -> None:
    """An ELBO needs z drawn from q(z|x), not its mean."""
    found = recipe.evaluate(Recorder(), x, seed=3)
    assert found.reconstruction == pytest.approx(x[:, 0].mean())
    assert found.kl == pytest.approx(stream.normal(3, stream.Purpose.EVALUATION, 0, (11, 3))[:, 0].mean(), rel=1e-6)


@pytest.mark.parametrize(
    ("options", "argument"),
    [
        ({"epochs": 0}, "epochs"),
        ({"batch_size": 0}, "batch_size"),
        ({"batch_size": 1.5}, "batch_size"),
        ({"seed": -1}, "seed"),
        ({"first_epoch": -1}, "first_epoch"),
        ({"binarise": "drawn"}, "binarise"),
    ],
    ids=str,
)
def test_bad_arguments_are_named_before_the_first_epoch(x: Array, options: dict[str, Any], argument: str) -> None:
    with pytest.raises((TypeError, ValueError), match=f"^{argument}: got"):
        recipe.fit(Recorder(), x, **{"seed": 0, **options})
