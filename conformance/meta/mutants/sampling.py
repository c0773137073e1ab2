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


def _mutant(name: str, bug: str, *tests: str, patch: Patch, source: str, pitfall: str = "P28") -> Mutant:
    return Mutant(name, bug, source, pitfall, "sampling", None, tests, patch)


MUTANTS: Final = (
    _mutant(
        "sample-is-mean",
        "sample returns mu",
        _POSTERIOR,
        patch=on_method("sample", _mean_only),
        pitfall="P12",
        source="keras-team/keras-io#790",
    ),
    _mutant(
        "sample-without-std",
        "sample ignores the standard deviation",
        _POSTERIOR,
        patch=on_method("sample", _without_std),
        source="huggingface/diffusers#13657",
    ),
    _mutant(
        "sample-variance-for-std",
        "sample spreads by exp(logvar)",
        _POSTERIOR,
        patch=on_method("sample", _variance_for_std),
        pitfall="P05",
        source="DeepTrackAI/DeepTrack2#170",
    ),
    _mutant(
        "sample-too-narrow",
        "sample draws with variance 0.95",
        _POSTERIOR,
        patch=_sample(lambda e: e * np.sqrt(0.95)),
        source="keras-team/keras#4211",
    ),
    _mutant(
        "sample-uniform",
        "sample draws uniforms of variance 1",
        _POSTERIOR,
        patch=_sample(_uniform),
        source="toshikwa/slac.pytorch#5",
    ),
    _mutant(
        "sample-truncated",
        "sample draws normals truncated at 2",
        _POSTERIOR,
        patch=_sample(lambda e: np.clip(e, -2.0, 2.0)),
        source="huggingface/pytorch-pretrained-BigGAN#20",
    ),
    _mutant(
        "sample-rows-share-noise",
        "all rows of a sample share one row of noise",
        _POSTERIOR,
        patch=_sample(lambda e: np.broadcast_to(e[:1], e.shape)),
        source="freyavoiceai/FreyaTTS#4",
    ),
    _mutant(
        "sample-rows-repeat",
        "the noise of a sample repeats after 1024 rows",
        _POSTERIOR,
        patch=_sample(_repeated),
        source="arrayfire/arrayfire#2007",
    ),
    _mutant(
        "sample-latents-correlated",
        "two latents of a sample correlate at 5 %",
        _POSTERIOR,
        patch=_sample(_correlated),
        source="kokkos/kokkos#296",
    ),
    _mutant(
        "sample-antithetic",
        "every other row mirrors the one before",
        _POSTERIOR,
        patch=_sample(_antithetic),
        source="pfnet-research/pfhedge#450",
    ),
    _mutant(
        "sample-noise-float16",
        "noise of a sample drawn in float16",
        "sampling::test_noise_is_as_fine_as_float32",
        patch=_sample(lambda e: e.astype(np.float16).astype(np.float64)),
        pitfall="P22",
        source="tinygrad/tinygrad#3654",
    ),
    _mutant(
        "sample-seed-32-bits",
        "seeds of sample truncated to 32 bits",
        _SEEDS,
        patch=_seeded(lambda seed: seed & 0xFFFF_FFFF),
        pitfall="P27",
        source="numpy/numpy#4676",
    ),
    _mutant(
        "sample-seed-frozen",
        "sample returns the same noise whatever the seed: frozen when compiled",
        _SEEDS,
        patch=_seeded(lambda seed: 0),
        pitfall="P26",
        source="google/torchax#17",
    ),
    _mutant(
        "sample-seed-ignored",
        "sample draws anew at every call, whatever the seed",
        _SEEDS,
        patch=_seeded(lambda seed: int(np.random.default_rng().integers(2**62))),
        pitfall="P27",
        source="google-deepmind/dm-haiku#114",
    ),
    _mutant(
        "generate-too-narrow",
        "generate draws from N(0, 0.99)",
        _PRIOR,
        patch=_generate(lambda z: z * np.sqrt(0.99)),
        source="fmu2/flow-VAE#1",
    ),
    _mutant(
        "generate-off-centre",
        "generate draws from N(0.01, 1)",
        _PRIOR,
        patch=_generate(lambda z: z + 0.01),
        source="1Konny/Beta-VAE#7",
    ),
    _mutant(
        "generate-logits",
        "generate returns logits",
        _PRIOR,
        patch=on_method(
            "generate", lambda true, model, n, seed: model.decode(_draw(seed, (n, model.sizes.latent_dim)))
        ),
        pitfall="P01",
        source="keras-team/keras#9664",
    ),
    _mutant(
        "generate-seed-32-bits",
        "seeds of generate truncated to 32 bits",
        _SEEDS,
        patch=on_method("generate", lambda true, model, n, seed: true(model, n, seed & 0xFFFF_FFFF)),
        pitfall="P27",
        source="numpy/numpy#4676",
    ),
)
