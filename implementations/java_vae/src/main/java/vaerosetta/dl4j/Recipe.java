package vaerosetta.dl4j;

import java.util.Arrays;
import org.nd4j.linalg.api.buffer.DataType;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.factory.Nd4j;
import vaerosetta.Checks;
import vaerosetta.PortableStream;
import vaerosetta.PortableStream.Purpose;
import vaerosetta.Sizes;

/**
 * Training from a seed, as {@code shared/recipe.py} does: initial weights, the order of images and their noise come from the
 * portable stream, so that the same seed and data give the training curve of every other port.
 */
public final class Recipe {
  private Recipe() {}

  /** A model with the initial weights of a seed, which is unsigned. */
  public static VAE create(long seed, Sizes sizes, DataType dtype) {
    var vae = new VAE(sizes.inputDim(), sizes.latentDim(), sizes.hiddenDim(), dtype);
    Weights.load(vae, PortableStream.initialParameters(seed, sizes));
    return vae;
  }

  /**
   * Trains {@code vae} in place. Returns each epoch's average loss per image, in nats; a short last batch is kept.
   *
   * @param x images (N, D) of the model's dtype, in [0, 1]
   * @param seed of order and noise, unsigned
   * @throws IllegalArgumentException images of another shape or dtype or not in [0, 1], a count below 1
   */
  public static double[] fit(VAE vae, INDArray x, long seed, int epochs, int batchSize) {
    vae.images("x", x);
    var losses = new double[Checks.count("epochs", epochs, 1)];
    Checks.count("batchSize", batchSize, 1);
    int images = Math.toIntExact(x.size(0));
    int latents = vae.latentDim;
    for (int epoch = 0; epoch < epochs; epoch++) {
      long[] order = PortableStream.permutation(seed, Purpose.ORDER, epoch, images);
      float[] noise = PortableStream.normal(seed, Purpose.NOISE, epoch, images * latents, 0); // (N, L), by place in the order
      for (int start = 0; start < images; start += batchSize) {
        int end = Math.min(start + batchSize, images);
        int[] rows = Arrays.stream(order, start, end).mapToInt(Math::toIntExact).toArray();
        float[] part = Arrays.copyOfRange(noise, start * latents, end * latents);
        try (var batch = Nd4j.pullRows(x, 1, rows);
            var drawn = Nd4j.create(part, rows.length, latents);
            var rounded = drawn.castTo(x.dataType())) {
          losses[epoch] += vae.update(batch, rounded);
        }
      }
      losses[epoch] /= images;
    }
    return losses;
  }
}
