package vaerosetta;

import java.io.Serializable;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.Map;

/**
 * The three numbers that fix a model's shapes.
 *
 * @param inputDim D, pixels of an image
 * @param hiddenDim H, hidden units
 * @param latentDim L, latents
 */
public record Sizes(int inputDim, int hiddenDim, int latentDim) implements Serializable {
  /** MNIST, with the hidden layer of the widely copied public example. */
  public static final Sizes CLASSIC = new Sizes(784, 400, 20);

  /** @throws IllegalArgumentException a size is below 1 */
  public Sizes {
    Checks.count("inputDim", inputDim, 1);
    Checks.count("hiddenDim", hiddenDim, 1);
    Checks.count("latentDim", latentDim, 1);
  }

  /** The canonical names and shapes of the parameters, in canonical order: weights are (out, in), biases (out). */
  public Map<String, int[]> shapes() {
    var shapes = new LinkedHashMap<String, int[]>();
    layer(shapes, "encoder.fc1", hiddenDim, inputDim);
    layer(shapes, "encoder.fc2_mu", latentDim, hiddenDim);
    layer(shapes, "encoder.fc2_logvar", latentDim, hiddenDim);
    layer(shapes, "decoder.fc3", hiddenDim, latentDim);
    layer(shapes, "decoder.fc4", inputDim, hiddenDim);
    return Collections.unmodifiableMap(shapes);
  }

  private static void layer(Map<String, int[]> shapes, String name, int out, int in) {
    shapes.put(name + ".weight", new int[] {out, in});
    shapes.put(name + ".bias", new int[] {out});
  }
}
