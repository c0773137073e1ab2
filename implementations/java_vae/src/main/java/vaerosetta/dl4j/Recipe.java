package vaerosetta.dl4j;

import java.util.Arrays;
import org.nd4j.linalg.api.buffer.DataType;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.indexing.NDArrayIndex;
import vaerosetta.Checks;
import vaerosetta.PortableStream;
import vaerosetta.PortableStream.Purpose;
import vaerosetta.Sizes;
import vaerosetta.Tensor;

/**
 * Training from a seed, as {@code shared/recipe.py} does: initial weights, the order of images and their noise come
 * from the portable stream, so that the same seed and data give the training curve of every other port.
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
    vae.checkImages("x", x);
    var losses = new double[Checks.count("epochs", epochs, 1)];
    int images = Math.toIntExact(x.size(0));
    int batch = Math.min(Checks.count("batchSize", batchSize, 1), images);
    int rest = images % batch;
    try (var step = new Step(vae, batch); var last = rest == 0 ? null : new Step(vae, rest)) {
      for (int epoch = 0; epoch < epochs; epoch++) {
        int[] order = Arrays.stream(PortableStream.permutation(seed, Purpose.ORDER, epoch, images))
            .mapToInt(Math::toIntExact).toArray();
        float[] normals = PortableStream.normal(seed, Purpose.NOISE, epoch, images * vae.latentDim, 0);
        try (var noise = Tensors.array(Tensor.of(normals, images, vae.latentDim), vae.dtype)) { // (N, L)
          for (int start = 0; start < images; start += batch) {
            int end = Math.min(start + batch, images);
            var rows = noise.get(NDArrayIndex.interval(start, end), NDArrayIndex.all()); // (B, L)
            var chosen = Arrays.copyOfRange(order, start, end);
            losses[epoch] += (chosen.length == batch ? step : last).update(x, chosen, rows);
          }
        }
        losses[epoch] /= images;
      }
    }
    return losses;
  }
}
