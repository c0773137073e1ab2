"""The VAE as scikit-learn estimators, over any backend: for pipelines, searches and cross-validation.

Two classes. `VAETransformer` learns a representation and scores rows. `VAEOutlierDetector` is one too, and adds a
threshold: that takes one more parameter and, in `fit`, passes over the data for which whoever wants the representation
alone should not pay. And scikit-learn asks what kind an estimator is: a transformer should not say outlier detector.
"""

from typing import Any, Final, Self

import numpy as np
import numpy.typing as npt

try:
    from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, OutlierMixin, TransformerMixin
    from sklearn.preprocessing import MinMaxScaler
    from sklearn.utils.validation import check_array, check_is_fitted, check_random_state, validate_data
except ModuleNotFoundError as missing:
    raise ModuleNotFoundError(
        "vae_rosetta.applications.estimator needs scikit-learn; try: pip install 'vae-rosetta[app]'", name=missing.name
    ) from missing

from vae_rosetta.applications.lending import Kind, lent
from vae_rosetta.implementations import ports
from vae_rosetta.shared import checks, parameters, passes, recipe, spec, stream
from vae_rosetta.shared.contract import Array
from vae_rosetta.shared.oracle import sigmoid
from vae_rosetta.shared.spec import Sizes
from vae_rosetta.shared.stream import Purpose

SCALINGS: Final = ("minmax", "none")


class VAETransformer(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """The classic VAE (Kingma & Welling 2014), trained by the project's recipe: rows to posterior means and back.

    The model takes each feature for a probability, or a bit, in [0, 1], and reconstructs it with cross-entropy. Scores
    are evidence lower bounds in nats, of the scaled data; bounds on a log-likelihood only where features are 0 or 1.

    Parameters:
        backend: "torch", "tensorflow", "jax" or "oracle" (NumPy); None is the first that is installed.
        latent_dim: latents, that is, columns that `transform` returns.
        hidden_dim: width of the hidden layer of encoder and decoder.
        epochs: passes over the data in `fit`.
        batch_size: rows a step; a short last batch is kept.
        score_draws: draws of the latents that a score is averaged over.
        scaling: "minmax" brings each feature to [0, 1] by the least and the greatest value that `fit` saw, and clips
            what lies outside them later (a feature that was constant is moved to 0 only); "none" takes features as
            they are and refuses what lies outside [0, 1]: for images, whose pixels share one scale.
        random_state: an int below 2^64 seeds the portable stream, like `vae train --seed`: the same in every backend.
            None or a RandomState draws such a seed at every `fit`.
        dtype: "float32" or "float64"; "auto" is the one that the data have in `fit`, float64 if neither.
        device: "auto", "cpu" or "cuda".

    Attributes:
        params_: the trained parameters under their canonical names, NumPy arrays; not to be changed in place.
            `shared.parameters.save` writes them for every other part of the project.
        objectives_: (epochs,), the training objective in nats per row.
        seed_: the seed of the portable stream.
        backend_: the backend in use. Another's word may be assigned: the fitted model then runs there.
        dtype_: the precision in use.
        scaler_: the fitted MinMaxScaler, or None.
        n_features_in_, feature_names_in_: as scikit-learn has them.

    >>> import numpy as np
    >>> from vae_rosetta.applications.estimator import VAETransformer
    >>> X = np.tile(np.repeat(np.eye(3), 8, axis=1), (40, 1))  # three rows of 24 bits, forty times
    >>> vae = VAETransformer(
    ...     backend="oracle", latent_dim=2, hidden_dim=32, epochs=60, batch_size=20, random_state=0
    ... )
    >>> z = vae.fit_transform(X)
    >>> z.shape
    (120, 2)
    >>> vae.inverse_transform(z[:3]).round()[:, ::8]
    array([[1., 0., 0.],
           [0., 1., 0.],
           [0., 0., 1.]])
    >>> usual, strange = vae.score_samples([X[0], 1 - X[0]])
    >>> bool(usual > strange)
    True
    >>> vae.sample(5).shape
    (5, 24)
    """

    def __init__(
        self,
        *,
        backend: str | None = None,
        latent_dim: int = spec.LATENT_DIM,
        hidden_dim: int = spec.HIDDEN_DIM,
        epochs: int = spec.EPOCHS,
        batch_size: int = spec.BATCH_SIZE,
        score_draws: int = 8,
        scaling: str = "minmax",
        random_state: int | np.random.RandomState | None = None,
        dtype: str = "auto",
        device: str = "auto",
    ) -> None:
        self.backend = backend
        self.latent_dim = latent_dim
        self.hidden_dim = hidden_dim
        self.epochs = epochs
        self.batch_size = batch_size
        self.score_draws = score_draws
        self.scaling = scaling
        self.random_state = random_state
        self.dtype = dtype
        self.device = device

    def fit(self, X: Any, y: Any = None) -> Self:
        """Trains on X (n, d) from the initial weights on; y is ignored.

        Raises:
            FloatingPointError: the objective is no longer finite.
            ModuleNotFoundError: the backend's framework is not installed.
            TypeError, ValueError: a bad parameter, or X is sparse, not finite or, without scaling, outside [0, 1].
        """
        self._check_parameters()
        self._fit(validate_data(self, X, dtype=self._dtypes()))
        return self

    def transform(self, X: Any) -> Array:
        """X (n, d) -> the means of q(z|x), (n, latent_dim)."""
        x = self._checked(X)
        with lent(self._kind(), self.params_) as model:
            return np.concatenate([model.encode(x[rows])[0] for rows in passes.batches(len(x))])

    def inverse_transform(self, Z: Any) -> Array:
        """Latents (n, latent_dim) -> the decoder's probabilities, (n, d); in the units of the data if they are scaled.

        Raises:
            ValueError: Z is not finite or not of that shape.
        """
        check_is_fitted(self, "params_")
        z = check_array(Z, dtype=self.dtype_, input_name="Z")
        if z.shape[1] != self._n_features_out:
            raise ValueError(f"Z: got {z.shape[1]} columns; expected {self._n_features_out}, as transform returns")
        return self._decoded(z)

    def score_samples(self, X: Any) -> npt.NDArray[np.float64]:
        """X (n, d) -> evidence lower bounds in nats, (n,): the higher, the more like the data that `fit` saw.

        Averages over `score_draws` draws from the portable stream, the same for every row: a score does not depend on
        the rows beside it, and two rows do not differ by their draws.
        """
        return self._scores(self._checked(X))

    def score(self, X: Any, y: Any = None) -> float:
        """The mean evidence lower bound of X in nats, by which searches and cross-validation go; y is ignored.

        From one draw of its own for each row, as `vae train` reports its test loss. The mean of `score_samples(X)` is
        further from the truth: its few draws, the same for all rows, are for comparing rows.
        """
        x = self._checked(X)
        with lent(self._kind(), self.params_) as model:
            return -recipe.evaluate(model, x, seed=self.seed_).objective

    def sample(self, n_samples: int = 1, random_state: int | np.random.RandomState | None = None) -> Array:
        """Decodes draws of the prior: (n_samples, d), probabilities, in the units of the data if they are scaled.

        The draws are those of `vae generate`, with the seed of `fit` unless `random_state` is given: the first ones do
        not depend on how many there are.

        Raises:
            TypeError, ValueError: a bad argument.
        """
        check_is_fitted(self, "params_")
        seed = self.seed_ if random_state is None else _seed(random_state)
        shape = (checks.count("n_samples", n_samples), self._n_features_out)
        return self._decoded(stream.normal(seed, Purpose.LATENT, 0, shape))

    def _fit(self, X: Array) -> Array:
        """Trains; returns the data as the model sees them. A fit that is broken off leaves the former one as it was."""
        seed = _seed(self.random_state)
        scaler = MinMaxScaler(clip=True).fit(X) if self.scaling == "minmax" else None
        x = _scaled(X, scaler)
        backend = self.backend if self.backend is not None else ports.installed()[0]
        kind = Kind(backend, Sizes(X.shape[1], self.hidden_dim, self.latent_dim), str(X.dtype), self.device)
        objectives = []
        with lent(kind, parameters.initial(seed, kind.sizes), to_train=True) as model:
            for epoch in recipe.fit(model, x, seed=seed, epochs=self.epochs, batch_size=self.batch_size):
                if not np.isfinite(epoch.objective):
                    raise FloatingPointError(f"epoch {epoch.number}: the objective is not finite")
                objectives.append(epoch.objective)
            params = model.params()
        self.params_, self._sizes, self.backend_, self.dtype_ = params, kind.sizes, backend, kind.dtype
        self.scaler_, self.seed_, self.objectives_ = scaler, seed, np.array(objectives)
        return x

    def _scores(self, x: Array) -> npt.NDArray[np.float64]:
        draws = passes.noise(self.seed_, 0, self.score_draws, self._n_features_out)
        total = np.zeros(len(x))
        with lent(self._kind(), self.params_) as model:
            for draw in draws:  # (L,)
                for loss in passes.losses(model, x, np.tile(draw, (len(x), 1))):
                    total -= loss
        return total / len(draws)

    def _decoded(self, z: Array) -> Array:
        with lent(self._kind(), self.params_) as model:
            probabilities = np.concatenate([sigmoid(model.decode(z[rows])) for rows in passes.batches(len(z))])
        if self.scaler_ is None:
            return probabilities
        # MinMaxScaler moves a constant feature and does not stretch it: without the clip it comes back as no constant.
        low, high = (np.asarray(end, dtype=self.dtype_) for end in (self.scaler_.data_min_, self.scaler_.data_max_))
        data: Array = np.clip(self.scaler_.inverse_transform(probabilities), low, high)
        return data

    def _checked(self, X: Any) -> Array:
        """X as the model wants it, if it fits what `fit` saw."""
        check_is_fitted(self, "params_")
        return _scaled(validate_data(self, X, dtype=self.dtype_, reset=False), self.scaler_)

    def _kind(self) -> Kind:
        return Kind(self.backend_, self._sizes, self.dtype_, self.device)

    def _dtypes(self) -> Any:
        return [np.float64, np.float32] if self.dtype == "auto" else self.dtype

    def _check_parameters(self) -> None:
        if self.backend is not None:
            checks.one_of("backend", self.backend, ports.PORTS)
        for name in ("latent_dim", "hidden_dim", "epochs", "batch_size", "score_draws"):
            checks.count(name, getattr(self, name))
        checks.one_of("scaling", self.scaling, SCALINGS)
        checks.one_of("dtype", self.dtype, ("auto", *checks.DTYPES))
        checks.one_of("device", self.device, checks.DEVICES)

    @property
    def _n_features_out(self) -> int:
        """What scikit-learn names the columns of `transform` by."""
        return self._sizes.latent_dim

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float64", "float32"] if self.dtype == "auto" else [self.dtype]
        return tags


class VAEOutlierDetector(OutlierMixin, VAETransformer):
    """A `VAETransformer` that tells outliers by their score: the lowest evidence lower bounds.

    Parameters:
        contamination: the share of outliers among the rows that `fit` sees, above 0 and at most 0.5: it flags as many.
        all others: as in `VAETransformer`. With scaling="minmax", a value outside the range that `fit` saw is clipped
            to it, and makes a row no more of an outlier for lying far outside.

    Attributes:
        offset_: the threshold: `decision_function` is `score_samples` less this.
        all others: as in `VAETransformer`.

    >>> import numpy as np
    >>> from vae_rosetta.applications.estimator import VAEOutlierDetector
    >>> X = np.vstack([np.tile(np.repeat(np.eye(3), 8, axis=1), (40, 1)), np.ones((2, 24))])
    >>> detector = VAEOutlierDetector(
    ...     contamination=0.02, backend="oracle", latent_dim=2, hidden_dim=32, epochs=60, batch_size=20, random_state=0
    ... )
    >>> (detector.fit_predict(X) == -1).nonzero()[0]
    array([120, 121])
    >>> detector.predict([X[0], 1 - X[0]])
    array([ 1, -1])
    """

    def __init__(
        self,
        *,
        contamination: float = 0.1,
        backend: str | None = None,
        latent_dim: int = spec.LATENT_DIM,
        hidden_dim: int = spec.HIDDEN_DIM,
        epochs: int = spec.EPOCHS,
        batch_size: int = spec.BATCH_SIZE,
        score_draws: int = 8,
        scaling: str = "minmax",
        random_state: int | np.random.RandomState | None = None,
        dtype: str = "auto",
        device: str = "auto",
    ) -> None:
        super().__init__(
            backend=backend,
            latent_dim=latent_dim,
            hidden_dim=hidden_dim,
            epochs=epochs,
            batch_size=batch_size,
            score_draws=score_draws,
            scaling=scaling,
            random_state=random_state,
            dtype=dtype,
            device=device,
        )
        self.contamination = contamination

    def decision_function(self, X: Any) -> npt.NDArray[np.float64]:
        """X (n, d) -> `score_samples(X)` less `offset_`, (n,): negative for outliers."""
        check_is_fitted(self, "offset_")
        return self.score_samples(X) - self.offset_

    def predict(self, X: Any) -> npt.NDArray[np.int64]:
        """X (n, d) -> (n,): -1 for outliers, 1 for the others."""
        return np.where(self.decision_function(X) < 0, -1, 1)

    def _fit(self, X: Array) -> Array:
        self.__dict__.pop("offset_", None)  # another model's, should this fit be broken off
        x = super()._fit(X)
        self.offset_ = float(np.percentile(self._scores(x), 100 * self.contamination))
        return x

    def _check_parameters(self) -> None:
        super()._check_parameters()
        share = self.contamination
        if isinstance(share, bool) or not isinstance(share, int | float | np.number):
            raise TypeError(f"contamination: got {share!r}; expected a number above 0 and at most 0.5")
        if not 0 < share <= 0.5:
            raise ValueError(f"contamination: got {share}; expected a number above 0 and at most 0.5")


def _seed(random_state: Any) -> int:
    """The seed of the portable stream.

    Raises:
        TypeError, ValueError: not what scikit-learn takes for a random state.
    """
    if random_state is None or isinstance(random_state, np.random.RandomState):
        return int(check_random_state(random_state).randint(2**32, dtype=np.uint64))
    try:
        return stream.check_seed(random_state)
    except (TypeError, ValueError) as error:
        raise type(error)(f"random_state: {str(error).removeprefix('seed: ')}, a RandomState or None") from None


def _scaled(X: Array, scaler: Any) -> Array:
    """X (n, d) in [0, 1] and in C order.

    Raises:
        ValueError: there is no scaler and X is not in [0, 1].
    """
    if scaler is not None:
        return np.ascontiguousarray(scaler.transform(X))
    low, high = X.min(), X.max()
    if low < 0 or high > 1:
        raise ValueError(
            f"X: got values from {low:g} to {high:g}; expected [0, 1] with scaling='none' ('minmax' scales any)"
        )
    return np.ascontiguousarray(X)
