package vaerosetta.dl4j;

import java.util.LinkedHashMap;
import java.util.Map;
import java.util.stream.IntStream;
import org.deeplearning4j.nn.multilayer.MultiLayerNetwork;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.indexing.NDArrayIndex;
import vaerosetta.Checks;
import vaerosetta.Sizes;
import vaerosetta.Tensor;

/**
 * What a {@link VAE} holds, under the canonical names: how weights and training states go to other ports and come back.
 *
 * <p>Nothing is transposed. A weight of Deeplearning4j is (in, out) in 'f' order, which is (out, in) in 'c' order, the
 * canonical one. In the encoder's last layer, the first half of the outputs is mu and the second is logvar, so the
 * first half of the weight's memory is the weight of mu.
 */
public final class Weights {
  private Weights() {}

  /** The parameters, copied: {@code SafeTensors.write(path, Weights.of(vae), Map.of())}. */
  public static Map<String, Tensor> of(VAE vae) {
    return get("", sizes(vae), vae.encoder.params(), vae.decoder.params());
  }

  /**
   * Copies parameters into the model: {@code Weights.load(vae, SafeTensors.read(path).tensors())}.
   *
   * @throws IllegalArgumentException a tensor is missing, unknown, misshapen, of a wrong dtype or not finite
   */
  public static void load(VAE vae, Map<String, Tensor> params) {
    var sizes = Checks.parameters(params);
    if (!sizes.equals(sizes(vae))) {
      throw Checks.refusal("params", sizes, sizes(vae).toString());
    }
    put("", sizes, params, vae.encoder.params(), vae.decoder.params());
  }

  /** The gradients that {@link VAE#gradients} has left. */
  static Map<String, Tensor> gradients(VAE vae) {
    return get("", sizes(vae), vae.encoder.getGradientsViewArray(), vae.decoder.getGradientsViewArray());
  }

  /** Parameters, Adam's moments and the number of its steps, copied. */
  public static Map<String, Tensor> state(VAE vae) {
    var state = of(vae);
    state.putAll(get("adam.m.", sizes(vae), moment(vae.encoder, 0), moment(vae.decoder, 0)));
    state.putAll(get("adam.v.", sizes(vae), moment(vae.encoder, 1), moment(vae.decoder, 1)));
    state.put("adam.step", Tensor.of(new long[] {vae.encoder.getIterationCount()}));
    return state;
  }

  /**
   * Takes up a training state: training goes on as if it had not been interrupted.
   *
   * @throws IllegalArgumentException a tensor is missing, unknown, misshapen, of a wrong dtype or not finite
   */
  public static void loadState(VAE vae, Map<String, Tensor> state) {
    var sizes = sizes(vae);
    Checks.state(state, sizes);
    put("", sizes, state, vae.encoder.params(), vae.decoder.params());
    put("adam.m.", sizes, state, moment(vae.encoder, 0), moment(vae.decoder, 0));
    put("adam.v.", sizes, state, moment(vae.encoder, 1), moment(vae.decoder, 1));
    int steps = (int) state.get("adam.step").longs()[0];
    vae.encoder.setIterationCount(steps);
    vae.decoder.setIterationCount(steps);
  }

  static Sizes sizes(VAE vae) {
    return new Sizes(vae.inputDim, vae.encoder.layerSize(0), vae.latentDim);
  }

  /** Adam's m or v: the halves of the updater's state. */
  private static INDArray moment(MultiLayerNetwork network, int half) {
    long count = network.numParams();
    return network.getUpdater().getStateViewArray().get(NDArrayIndex.interval(half * count, (half + 1) * count));
  }

  private static void put(String prefix, Sizes sizes, Map<String, Tensor> tensors, INDArray encoder, INDArray decoder) {
    byName(sizes, encoder, decoder)
        .forEach(
            (name, view) -> {
              try (var values = Tensors.array(tensors.get(prefix + name), view.dataType())) {
                view.assign(values.reshape(values.length()));
              }
            });
  }

  private static Map<String, Tensor> get(String prefix, Sizes sizes, INDArray encoder, INDArray decoder) {
    var views = byName(sizes, encoder, decoder);
    var tensors = new LinkedHashMap<String, Tensor>();
    sizes.shapes().forEach((name, shape) -> tensors.put(prefix + name, Tensors.tensor(views.get(name), shape)));
    return tensors;
  }

  /** Views of the vectors of both networks, in their order: a layer's weight, then its bias. */
  private static Map<String, INDArray> byName(Sizes sizes, INDArray encoder, INDArray decoder) {
    var views = new LinkedHashMap<String, INDArray>();
    split(views, sizes, encoder, "encoder.fc1.weight", "encoder.fc1.bias", "encoder.fc2_mu.weight",
        "encoder.fc2_logvar.weight", "encoder.fc2_mu.bias", "encoder.fc2_logvar.bias");
    split(views, sizes, decoder, "decoder.fc3.weight", "decoder.fc3.bias", "decoder.fc4.weight", "decoder.fc4.bias");
    return views;
  }

  private static void split(Map<String, INDArray> views, Sizes sizes, INDArray vector, String... names) {
    var flat = vector.reshape(vector.length());
    long start = 0;
    for (var name : names) {
      long end = start + IntStream.of(sizes.shapes().get(name)).reduce(1, (a, b) -> a * b);
      views.put(name, flat.get(NDArrayIndex.interval(start, end)));
      start = end;
    }
  }
}
