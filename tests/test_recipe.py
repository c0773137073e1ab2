"""The recipe: which images and noise each step sees, how epochs are counted and averaged, and that a run can be cut."""

from typing import Any

import numpy as np
import pytest

from vae_rosetta.shared import binarisation, checks, oracle, parameters, passes, recipe, stream
from vae_rosetta.shared.contract import Array, Losses
from vae_rosetta.shared.spec import Sizes

SIZES = Sizes(12, 8, 3)


class Recorder:
    """Notes what it is trained on; the objective of a step is the sum of the first pixels that it saw."""

    def __init__(self) -> None:
        self.calls: list[tuple[Array, Array]] = []

    def __getattr__(self, name: str) -> Any:
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


@pytest.mark.parametrize("binarise", recipe.BINARISE)
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


class Watching(Recorder):
    """Keeps the very arrays that it is trained on."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[Array] = []

    def train(self, x: Array, order: Array, noise: Array) -> Array:
        assert checks.is_frozen(x)
        self.seen.append(x)
        return super().train(x, order, noise)


def test_dynamic_binarisation_gives_each_epoch_its_own_frozen_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three calls an epoch, all with the same array, so that it is put on a device once."""
    monkeypatch.setattr(recipe, "MAX_STEPS_PER_CALL", 1)
    x = np.random.default_rng(0).random((11, 12)).astype(np.float32)
    model = Watching()
    list(recipe.fit(model, x, seed=6, epochs=3, first_epoch=1, batch_size=4, binarise="dynamic"))
    assert [i for i in range(1, 6) if model.seen[i] is not model.seen[i - 1]] == [3]
    for bits, epoch in ((model.seen[0], 1), (model.seen[3], 2)):
        np.testing.assert_array_equal(bits, binarisation.dynamic(x, 6, epoch), strict=True)


def test_images_that_may_change_are_put_on_a_device_once_an_epoch(x: Array, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else every call of an epoch would copy the whole data set, and the time of an image grow with their number."""
    monkeypatch.setattr(recipe, "MAX_STEPS_PER_CALL", 1)
    model = Watching()
    epochs = recipe.fit(model, x, seed=6, epochs=2, batch_size=4)
    before = next(epochs).objective
    x *= 0.5  # between epochs they may change, and the next one sees it
    assert next(epochs).objective == pytest.approx(before / 2)
    assert [i for i in range(1, 6) if model.seen[i] is not model.seen[i - 1]] == [3]
    assert all(np.shares_memory(seen, x) for seen in model.seen)


def test_frozen_images_are_put_on_a_device_once(x: Array) -> None:
    x.setflags(write=False)
    model = Watching()
    list(recipe.fit(model, x, seed=6, epochs=2, batch_size=4))
    assert all(seen is x for seen in model.seen)


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
