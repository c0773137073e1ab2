package vaerosetta.dl4j;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Properties;
import org.deeplearning4j.nn.multilayer.MultiLayerNetwork;
import org.nd4j.linalg.api.buffer.DataType;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.api.rng.Random;
import org.nd4j.linalg.factory.Nd4j;
import org.nd4j.linalg.indexing.NDArrayIndex;
import vaerosetta.Backend;
import vaerosetta.Model;
import vaerosetta.Sizes;
import vaerosetta.Tensor;

/** The contract around {@link VAE}: tensors of Java's heap in, tensors of Java's heap out. */
public final class Dl4jBackend implements Backend {
  private static final Random RANDOM = Nd4j.getRandomFactory().getNewRandomInstance(); // not the caller's Nd4j.getRandom()

  @Override
  public Map<String, String> describe() {
    var environment = Nd4j.getExecutioner().getEnvironmentInformation();
    return Map.of(
        "framework", "dl4j",
        "version", version(),
        "device", "cpu",
        "precision", "float32 matrix products: " + environment.getProperty("blas.vendor"),
        "threads", environment.get("omp.threads").toString());
  }

  /** Of Deeplearning4j, from what Maven has put into its jar. */
  static String version() {
    var properties = new Properties();
    var place = "/META-INF/maven/org.deeplearning4j/deeplearning4j-nn/pom.properties";
    try (var stream = MultiLayerNetwork.class.getResourceAsStream(place)) {
      properties.load(stream);
    } catch (IOException error) {
      throw new UncheckedIOException(error);
    }
    return properties.getProperty("version");
  }

  @Override
  public Model load(Map<String, Tensor> params, Sizes sizes, String dtype) {
    return new Loaded(params, sizes, dtype.equals("float64") ? DataType.DOUBLE : DataType.FLOAT);
  }

  private static final class Loaded implements Model {
    private final Sizes sizes;
    private final DataType dtype;
    private final VAE vae;

    Loaded(Map<String, Tensor> params, Sizes sizes, DataType dtype) {
      this.sizes = sizes;
      this.dtype = dtype;
      vae = new VAE(sizes.inputDim(), sizes.latentDim(), sizes.hiddenDim(), dtype);
      put("", params, vae.encoder.params(), vae.decoder.params());
    }

    @Override
    public Posterior encode(Tensor x) {
      try (var images = array(x); var q = vae.encode(images)) {
        return new Posterior(tensor(q.mu()), tensor(q.logvar()));
      }
    }

    @Override
    public Tensor reparameterize(Tensor mu, Tensor logvar, Tensor noise) {
      try (var m = array(mu);
          var l = array(logvar);
          var n = array(noise);
          var z = vae.reparameterize(m, l, n)) {
        return tensor(z);
      }
    }

    @Override
    public Tensor decode(Tensor z) {
      try (var latents = array(z); var logits = vae.decode(latents)) {
        return tensor(logits);
      }
    }

    @Override
    public Losses losses(Tensor x, Tensor noise) {
      try (var images = array(x); var n = array(noise)) {
        var losses = vae.negativeElbo(images, n);
        try (var reconstruction = losses.reconstruction(); var kl = losses.kl()) {
          return new Losses(tensor(reconstruction), tensor(kl));
        }
      }
    }

    @Override
    public Tensor lossOnProbabilities(Tensor reconX, Tensor x, Tensor mu, Tensor logvar) {
      try (var r = array(reconX);
          var images = array(x);
          var m = array(mu);
          var l = array(logvar)) {
        return numbers(new double[] {VAE.lossFunction(r, images, m, l)});
      }
    }

    @Override
    public Map<String, Tensor> gradients(Tensor x, Tensor noise) {
      try (var images = array(x); var n = array(noise)) {
        vae.gradients(images, n);
      }
      return get("", vae.encoder.getGradientsViewArray(), vae.decoder.getGradientsViewArray());
    }

    @Override
    public Tensor train(Tensor x, Tensor order, Tensor noise) {
      int steps = order.shape()[0];
      int rows = order.shape()[1];
      int[] chosen = Arrays.stream(order.longs()).mapToInt(Math::toIntExact).toArray(); // (K, B)
      var objectives = new double[steps]; // (K,)
      try (var images = array(x); var noises = array(noise); var step = new Step(vae, rows)) {
        for (int k = 0; k < steps; k++) {
          Nd4j.pullRows(images, step.x(), 1, Arrays.copyOfRange(chosen, k * rows, (k + 1) * rows));
          step.noise().assign(noises.slice(k));
          objectives[k] = step.run();
          VAE.apply(vae.encoder);
          VAE.apply(vae.decoder);
        }
      }
      return numbers(objectives, steps);
    }

    @Override
    public Map<String, Tensor> state() {
      var state = get("", vae.encoder.params(), vae.decoder.params());
      state.putAll(get("adam.m.", moment(vae.encoder, 0), moment(vae.decoder, 0)));
      state.putAll(get("adam.v.", moment(vae.encoder, 1), moment(vae.decoder, 1)));
      state.put("adam.step", Tensor.of(new long[] {vae.encoder.getIterationCount()}));
      return state;
    }

    @Override
    public void loadState(Map<String, Tensor> state) {
      put("", state, vae.encoder.params(), vae.decoder.params());
      put("adam.m.", state, moment(vae.encoder, 0), moment(vae.decoder, 0));
      put("adam.v.", state, moment(vae.encoder, 1), moment(vae.decoder, 1));
      int steps = (int) state.get("adam.step").longs()[0];
      vae.encoder.setIterationCount(steps);
      vae.decoder.setIterationCount(steps);
    }

    @Override
    public Tensor sample(Tensor x, long seed) {
      try (var images = array(x);
          var q = vae.encode(images);
          var noise = noise(x.shape()[0], seed);
          var z = vae.reparameterize(q.mu(), q.logvar(), noise)) {
        return tensor(z);
      }
    }

    @Override
    public Tensor generate(int n, long seed) {
      try (var z = noise(n, seed); var probabilities = vae.generate(z)) {
        return tensor(probabilities);
      }
    }

    @Override
    public void close() {
      vae.close();
    }

    /**
     * Standard normals (rows, L).
     *
     * <p>ND4J's generator looks at the lower half of its seed only, so that 1 and 2^32 + 1 would draw alike. It has two
     * words of state, though: each gets a half of the seed, whose bits are mixed first, since neighbours would resemble
     * each other (the mixer of SplitMix64: Steele, Lea & Flood 2014).
     */
    private INDArray noise(int rows, long seed) {
      long bits = seed + 0x9E3779B97F4A7C15L;
      bits = (bits ^ (bits >>> 30)) * 0xBF58476D1CE4E5B9L;
      bits = (bits ^ (bits >>> 27)) * 0x94D049BB133111EBL;
      bits ^= bits >>> 31;
      RANDOM.setStates(bits & 0xFFFF_FFFFL, bits >>> 32);
      return Nd4j.randn(Nd4j.createUninitialized(dtype, rows, sizes.latentDim()), RANDOM);
    }

    /** Adam's m or v: the halves of the updater's state. */
    private static INDArray moment(MultiLayerNetwork network, int half) {
      long count = network.numParams();
      return network.getUpdater().getStateViewArray().get(NDArrayIndex.interval(half * count, (half + 1) * count));
    }

    /**
     * Views of two vectors of parameters under the canonical names.
     *
     * <p>Deeplearning4j's weights are (in, out) in 'f' order, which is (out, in) in 'c' order, and a layer's biases follow.
     */
    private Map<String, INDArray> byName(INDArray encoder, INDArray decoder) {
      var views = new LinkedHashMap<String, INDArray>();
      split(views, encoder, "encoder.fc1.weight", "encoder.fc1.bias", "encoder.fc2_mu.weight", "encoder.fc2_logvar.weight",
          "encoder.fc2_mu.bias", "encoder.fc2_logvar.bias");
      split(views, decoder, "decoder.fc3.weight", "decoder.fc3.bias", "decoder.fc4.weight", "decoder.fc4.bias");
      return views;
    }

    private void split(Map<String, INDArray> views, INDArray vector, String... names) {
      var flat = vector.reshape(vector.length());
      long start = 0;
      for (var name : names) {
        long end = start + count(sizes.shapes().get(name));
        views.put(name, flat.get(NDArrayIndex.interval(start, end)));
        start = end;
      }
    }

    private void put(String prefix, Map<String, Tensor> tensors, INDArray encoder, INDArray decoder) {
      byName(encoder, decoder)
          .forEach(
              (name, view) -> {
                try (var values = array(tensors.get(prefix + name))) {
                  view.assign(values.reshape(values.length()));
                }
              });
    }

    private Map<String, Tensor> get(String prefix, INDArray encoder, INDArray decoder) {
      var views = byName(encoder, decoder);
      var tensors = new LinkedHashMap<String, Tensor>();
      sizes.shapes().forEach((name, shape) -> {
        try (var copy = views.get(name).dup()) {
          tensors.put(prefix + name, tensor(copy, shape));
        }
      });
      return tensors;
    }

    private INDArray array(Tensor tensor) {
      long[] shape = new long[tensor.shape().length];
      for (int i = 0; i < shape.length; i++) {
        shape[i] = tensor.shape()[i];
      }
      return dtype == DataType.FLOAT ? Nd4j.create(tensor.floats(), shape) : Nd4j.create(tensor.doubles(), shape);
    }

    private Tensor tensor(INDArray array) {
      int[] shape = new int[array.rank()];
      for (int i = 0; i < shape.length; i++) {
        shape[i] = (int) array.size(i);
      }
      return tensor(array, shape);
    }

    private Tensor tensor(INDArray array, int[] shape) {
      if (array.ordering() != 'c') {
        try (var copy = array.dup('c')) {
          return tensor(copy, shape);
        }
      }
      if (dtype == DataType.FLOAT) {
        var values = new float[(int) array.length()];
        array.data().asNioFloat().get(values);
        return Tensor.of(values, shape);
      }
      var values = new double[(int) array.length()];
      array.data().asNioDouble().get(values);
      return Tensor.of(values, shape);
    }

    private Tensor numbers(double[] values, int... shape) {
      var tensor = Tensor.of(values, shape);
      return dtype == DataType.FLOAT ? Tensor.of(tensor.floats(), shape) : tensor;
    }

    private static long count(int[] shape) {
      long count = 1;
      for (int length : shape) {
        count *= length;
      }
      return count;
    }
  }
}
