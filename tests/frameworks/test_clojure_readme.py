"""What the page of the Clojure port shows is true: its sessions are typed into a REPL, on the data that it names."""

import os
import re
import subprocess
from pathlib import Path
from typing import Final

import numpy as np
import pytest

from vae_rosetta.implementations import programs
from vae_rosetta.implementations.ports import PORTS
from vae_rosetta.shared import datasets, oracle, parameters, recipe

README: Final = (PORTS["clojure"].folder / "README.md").read_text(encoding="utf-8")
PROMPT: Final = "user=> "
NUMBER: Final = re.compile(r"\d+\.\d+")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the sessions run, with the digits that the page's command writes."""
    if lack := PORTS["clojure"].lacks():
        pytest.skip(f"clojure {lack}")
    folder = tmp_path_factory.mktemp("session")
    command = "numpy.save('digits.npy', datasets.load('mnist-5k').train)"
    assert command in README
    np.save(folder / "digits.npy", datasets.load("mnist-5k").train)
    return folder


def _blocks() -> list[str]:
    return re.findall(r"^```clojure\n(.*?)^```$", README, flags=re.DOTALL | re.MULTILINE)


def _typed(folder: Path, forms: str) -> str:
    """What a REPL prints: prompts and values, without what is typed."""
    # The port's own words up to `clojure.main`, which begins a REPL if nothing follows.
    words = programs.command(PORTS["clojure"])
    repl = words[: words.index("clojure.main") + 1]
    done = subprocess.run(repl, cwd=folder, input=forms, capture_output=True, text=True, timeout=300, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def _check(session: str, printed: str) -> None:
    """Compares a session on the page with what was printed: words to the letter, numbers to a thousandth."""
    shown = re.sub(rf"^{PROMPT}.*\n", PROMPT, session, flags=re.MULTILINE)
    _, _, found = printed.partition(os.linesep)  # below the version
    found = found.removesuffix(PROMPT + os.linesep)
    assert NUMBER.sub("#", found) == NUMBER.sub("#", shown)
    numbers = [[float(number) for number in NUMBER.findall(text)] for text in (found, shown)]
    assert numbers[0] == pytest.approx(numbers[1], rel=1e-3)


def _forms(session: str) -> str:
    return "".join(line.removeprefix(PROMPT) + "\n" for line in session.splitlines() if line.startswith(PROMPT))


def test_session_prints_what_the_page_shows(folder: Path) -> None:
    session = _blocks()[0]
    _check(session, _typed(folder, _forms(session)))
    model = oracle.load(parameters.initial(0))
    curve = [it.objective for it in recipe.fit(model, datasets.load("mnist-5k").train, seed=0, epochs=2)]
    shown = [float(number) for number in re.findall(r'"(\d+\.\d+)"', session)]
    assert len(shown) == 5
    assert shown[:2] == pytest.approx(curve, rel=1e-5)


def test_lines_for_own_data_run(folder: Path) -> None:
    assert "Error" not in _typed(folder, _blocks()[1])


def test_refusal_is_what_the_page_shows(folder: Path) -> None:
    session = _blocks()[2]
    require = "(require '[vaerosetta.vae :as vae])\n"
    _check(f"{PROMPT}{require}nil\n{session}", _typed(folder, require + _forms(session)))
