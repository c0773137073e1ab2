"""The compiler's options: what an XLA does not know is left out."""

import importlib
from typing import Any, Final

import numpy as np
import pytest

jax: Any = pytest.importorskip("jax")
COMPILER: Final[Any] = importlib.import_module("vae_rosetta.implementations.jax_vae.compiler")


@pytest.mark.parametrize("known", [{}, {"xla_cpu_prefer_vector_width": 512}], ids=["none known", "one known"])
def test_unknown_options_are_left_out(known: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[dict[str, Any]] = []
    jit = jax.jit

    def watched(*args: Any, **settings: Any) -> Any:
        if "compiler_options" in settings:
            taken.append(settings["compiler_options"])
        return jit(*args, **settings)

    monkeypatch.setattr(COMPILER, "_WANTED", {**known, "xla_cpu_no_such_option": 1})
    monkeypatch.setattr(jax, "jit", watched)
    twice = COMPILER.jit(lambda factor, x: factor * x, static_argnums=0)
    for _ in range(2):
        np.testing.assert_array_equal(twice(2, np.arange(3)), [0, 2, 4])
    assert taken == [known]  # tried once, at the first call


def test_options_reach_the_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    """A value of the wrong type, which XLA would refuse if it saw it."""
    monkeypatch.setattr(COMPILER, "_knows", lambda name, value: True)
    monkeypatch.setattr(COMPILER, "_WANTED", {"xla_cpu_prefer_vector_width": "wide"})
    with pytest.raises(jax.errors.JaxRuntimeError):
        COMPILER.jit(lambda x: x)(np.arange(3))
