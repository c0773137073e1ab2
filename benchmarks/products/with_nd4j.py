"""Products by ND4J, the library of the ports in Java and Clojure: a program of the port in Java makes them."""

import subprocess
import weakref

from vae_rosetta.benchmarks.products import Step
from vae_rosetta.benchmarks.products.shapes import Operands, stored
from vae_rosetta.implementations import programs

MAIN = "vaerosetta.dl4j.Products"


class _Program:
    """The program, ready to make its products once for each line that it reads."""

    def __init__(self, *products: str) -> None:
        words = [*programs.command_of_java(MAIN), *products]
        self._process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, encoding="utf-8")
        weakref.finalize(self, _end, self._process)
        self.version = self._line()

    def __call__(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        self._line()

    def _line(self) -> str:
        assert self._process.stdout is not None
        if line := self._process.stdout.readline().strip():
            return line
        raise RuntimeError(f"{MAIN} ended with exit code {self._process.wait()}")


def _end(process: "subprocess.Popen[str]") -> None:
    process.kill()
    process.wait()  # by which its time is known


def version() -> str:
    """ND4J's, and its BLAS'."""
    return _Program().version


def step(operands: list[Operands]) -> Step:
    """See `benchmarks.products.Products`. A call takes some 50 microseconds besides, to the program and back."""
    return _Program(*map(_words, operands))


def _words(product: Operands) -> str:
    turned = (str(stored(factor)[1]).lower() for factor in product)
    return ",".join(map(str, (*product.a.shape, product.b.shape[1], *turned)))
