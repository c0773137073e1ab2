package vaerosetta;

import java.util.Map;

/**
 * A loaded model: {@code FullModel} of {@code shared/contract.py}. Arguments have been checked, and are never changed.
 *
 * <p>Arguments are F32 or F64, whatever the model's dtype; results are of the model's dtype. Symbols: B images, D
 * pixels, L latents, N images in a data set, K steps. Losses are in nats.
 */
public interface Model extends AutoCloseable {
  /** The parameters of q(z|x), (B, L) each. */
  record Posterior(Tensor mu, Tensor logvar) {}

  /** The two terms of the negative ELBO of each image, (B,) each. */
  record Losses(Tensor reconstruction, Tensor kl) {}

  /** x (B, D). */
  Posterior encode(Tensor x);

  /** (B, L) each; z (B, L). */
  Tensor reparameterize(Tensor mu, Tensor logvar, Tensor noise);

  /** z (B, L); logits (B, D). */
  Tensor decode(Tensor z);

  /** x (B, D), noise (B, L). */
  Losses losses(Tensor x, Tensor noise);

  /** The common published loss, summed over the batch: a scalar. reconX and x (B, D), mu and logvar (B, L). */
  Tensor lossOnProbabilities(Tensor reconX, Tensor x, Tensor mu, Tensor logvar);

  /** Gradients of the summed objective under the canonical names. x (B, D), noise (B, L). */
  Map<String, Tensor> gradients(Tensor x, Tensor noise);

  /** K steps of Adam. x (N, D), order I64 (K, B), noise (K, B, L); the objective before each step (K,). */
  Tensor train(Tensor x, Tensor order, Tensor noise);

  /** The parameters under the canonical names, {@code adam.m.NAME}, {@code adam.v.NAME}; {@code adam.step} (I64). */
  Map<String, Tensor> state();

  /** Takes up a state. */
  void loadState(Map<String, Tensor> state);

  /** z (B, L), drawn from q(z|x) by the framework's own generator. x (B, D); the seed is unsigned. */
  Tensor sample(Tensor x, long seed);

  /** Probabilities (n, D), decoded from draws of the prior by the framework's own generator. The seed is unsigned. */
  Tensor generate(int n, long seed);

  /** Frees what the model holds outside Java's heap. */
  @Override
  default void close() {}
}
