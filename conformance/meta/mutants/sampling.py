"""Wrong draws: from another distribution, or not from the seed."""

from typing import Any, Final

import numpy as np

from vae_rosetta.conformance.meta.mutants.base import Mutant, Patch, on_method
from vae_rosetta.shared import stream
from vae_rosetta.shared.contract import Array

_POSTERIOR = "sampling::test_sample_draws_from_the_posterior"
_SEEDS = "sampling::test_equal_seeds_draw_alike_and_others_do_not"
_PRIOR = "sampling::test_generate_decodes_the_prior"


def _draw(seed: int, shape: tuple[int, ...]) -> Array:
    return np.random.default_rng(stream.check_seed(seed)).standard_normal(shape)


def _sample(wrong: Any) -> Patch:
    """`wrong(noise)` in place of the noise (B, L) that `sample` draws."""

    def sample(true: Any, model: Any, x: Array, seed: int) -> Array:
        mu, logvar = model.encode(x)
        z: Array = model.reparameterize(mu, logvar, np.ascontiguousarray(wrong(_draw(seed, mu.shape))))
        return z

    return on_method("sample", sample)


def _generate(wrong: Any) -> Patch:
    """`wrong(z)` in place of the draws of the prior (n, L)."""

    def generate(true: Any, model: Any, n: int, seed: int) -> Array:
        z = wrong(_draw(seed, (n, model.sizes.latent_dim)))
        logits = model.decode(np.ascontiguousarray(z)).astype(np.float64)
        return np.asarray(1.0 / (1.0 + np.exp(-logits))).astype(model._dtype)

    return on_method("generate", generate)


def _uniform(noise: Array) -> Array:
    """Of mean 0 and variance 1, like a normal."""
    ranks: Array = np.random.default_rng(0).random(noise.shape)
    scaled: Array = (ranks - 0.5) * np.sqrt(12.0)
    return scaled


def _repeated(noise: Array) -> Array:
    return noise[np.arange(len(noise)) % 1024]


def _correlated(noise: Array) -> Array:
    """Latent 1 goes along with latent 0, at 5 %."""
    mixed = noise.copy()
    mixed[:, 1] = 0.05 * noise[:, 0] + np.sqrt(1 - 0.05**2) * noise[:, 1]
    return mixed


def _antithetic(noise: Array) -> Array:
    mixed = noise.copy()
    mixed[1::2] = -mixed[0::2][: len(mixed[1::2])]
    return mixed


def _without_std(true: Any, model: Any, x: Array, seed: int) -> Array:
    mu, _ = model.encode(x)
    z: Array = (mu + _draw(seed, mu.shape)).astype(mu.dtype)
    return z


def _mean_only(true: Any, model: Any, x: Array, seed: int) -> Array:
    mu: Array = model.encode(x)[0]
    return mu


def _variance_for_std(true: Any, model: Any, x: Array, seed: int) -> Array:
    mu, logvar = model.encode(x)
    z: Array = model.reparameterize(mu, 2 * logvar, _draw(seed, mu.shape))
    return z


def _seeded(wrong: Any) -> Patch:
    """`sample` with another seed than the one given."""
    return on_method("sample", lambda true, model, x, seed: true(model, x, wrong(seed)))


MUTANTS: Final = (
    Mutant("noise-ignored", "in sample", (_POSTERIOR,), on_method("sample", _mean_only)),
    Mutant("sample-without-std", "", (_POSTERIOR,), on_method("sample", _without_std)),
    Mutant("std-is-exp-logvar", "in sample", (_POSTERIOR,), on_method("sample", _variance_for_std)),
    Mutant("draws-too-narrow", "sample, variance 0.95", (_POSTERIOR,), _sample(lambda e: e * np.sqrt(0.95))),
    Mutant("draws-not-normal", "uniform, of variance 1", (_POSTERIOR,), _sample(_uniform)),
    Mutant("draws-not-normal", "truncated at 2", (_POSTERIOR,), _sample(lambda e: np.clip(e, -2.0, 2.0))),
    Mutant("draws-dependent", "all rows share one", (_POSTERIOR,), _sample(lambda e: np.broadcast_to(e[:1], e.shape))),
    Mutant("draws-dependent", "they repeat after 1024 rows", (_POSTERIOR,), _sample(_repeated)),
    Mutant("draws-dependent", "two latents correlate at 5 %", (_POSTERIOR,), _sample(_correlated)),
    Mutant("draws-dependent", "every other row mirrors the one before", (_POSTERIOR,), _sample(_antithetic)),
    Mutant(
        "noise-in-float16",
        "",
        ("sampling::test_noise_is_as_fine_as_float32",),
        _sample(lambda e: e.astype(np.float16).astype(np.float64)),
    ),
    Mutant("seed-truncated", "the seed of sample", (_SEEDS,), _seeded(lambda seed: seed & 0xFFFF_FFFF)),
    Mutant("sample-frozen", "", (_SEEDS,), _seeded(lambda seed: 0)),
    Mutant("seed-ignored", "", (_SEEDS,), _seeded(lambda seed: int(np.random.default_rng().integers(2**62)))),
    Mutant("draws-too-narrow", "generate, variance 0.99", (_PRIOR,), _generate(lambda z: z * np.sqrt(0.99))),
    Mutant("draws-off-centre", "generate, mean 0.01", (_PRIOR,), _generate(lambda z: z + 0.01)),
    Mutant(
        "logits-generated",
        "",
        (_PRIOR,),
        on_method("generate", lambda true, model, n, seed: model.decode(_draw(seed, (n, model.sizes.latent_dim)))),
    ),
    Mutant(
        "seed-truncated",
        "the seed of generate",
        (_SEEDS,),
        on_method("generate", lambda true, model, n, seed: true(model, n, seed & 0xFFFF_FFFF)),
    ),
)
