"""Starting a framework: its chatter is kept back unless it fails, and Ctrl-C waits."""

import os
import signal

import pytest

from vae_rosetta.applications import startup


def test_chatter_is_shown_only_on_failure(capfd: pytest.CaptureFixture[str]) -> None:
    def chatter() -> None:
        os.write(2, b"I0000 cudart_stub.cc: could not find cuda\n")  # as C++ code does

    with startup._quiet():
        chatter()
    assert capfd.readouterr().err == ""

    def fail() -> None:
        with startup._quiet():
            chatter()
            raise RuntimeError("no device")

    with pytest.raises(RuntimeError, match="no device"):
        fail()
    assert capfd.readouterr().err == "I0000 cudart_stub.cc: could not find cuda\n"


def test_ctrl_c_waits_for_the_import(monkeypatch: pytest.MonkeyPatch) -> None:
    done = []

    def importing(name: str) -> str:
        signal.raise_signal(signal.SIGINT)
        done.append(name)
        return name

    monkeypatch.setattr(startup, "backend_module", importing)
    with pytest.raises(KeyboardInterrupt):
        startup.load_backend("jax")
    assert done == ["jax"]
