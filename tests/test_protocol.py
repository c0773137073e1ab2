"""What the data of a figure are called, and that they are that."""

import numpy as np
import pytest

from vae_rosetta.shared import binarisation
from vae_rosetta.shared.binarisation import Protocol
from vae_rosetta.shared.contract import Array


@pytest.fixture
def grey() -> Array:
    return np.random.default_rng(0).random((20, 12)).astype(np.float32)


def test_each_protocol_names_what_it_makes(grey: Array) -> None:
    found = {name: Protocol(name, 3) for name in binarisation.CHOICES}
    assert {name: p.words(grey) for name, p in found.items()} == {
        "none": "grey",
        "drawn": "dynamic-binarised (one draw, seed 3)",
        "rounded": "rounded",
    }
    assert found["none"].apply(grey) is grey
    np.testing.assert_array_equal(found["drawn"].apply(grey), binarisation.drawn(grey, 3))
    np.testing.assert_array_equal(found["rounded"].apply(grey), binarisation.rounded(grey))


@pytest.mark.parametrize("name", binarisation.CHOICES)
def test_bits_stay_what_they_are(name: str, grey: Array) -> None:
    bits = binarisation.rounded(grey)
    np.testing.assert_array_equal(Protocol(name, 3).apply(bits), bits)
    assert Protocol(name, 3).words(bits) == "binary as given"


def test_a_run_is_tested_on_what_it_was_trained_on() -> None:
    assert [binarisation.trained_on(binarise) for binarise in binarisation.TRAINABLE] == ["grey", "dynamic-binarised"]
    assert binarisation.held_out("none", 4) == Protocol("none")
    assert binarisation.held_out("dynamic", 4) == Protocol("drawn", 4)


def test_an_unknown_protocol_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^binarise: got 'static'; expected one of none, drawn, rounded"):
        Protocol("static")
    with pytest.raises(ValueError, match=r"^binarise: got 'static'; expected one of none, dynamic"):
        binarisation.trained_on("static")
