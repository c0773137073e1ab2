package vaerosetta.dl4j;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.util.Arrays;
import java.util.Map;
import java.util.Properties;
import org.bytedeco.openblas.global.openblas;
import org.deeplearning4j.nn.multilayer.MultiLayerNetwork;
import org.nd4j.linalg.api.buffer.DataType;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.api.rng.Random;
import org.nd4j.linalg.factory.Nd4j;
import vaerosetta.Backend;
import vaerosetta.Model;
import vaerosetta.Sizes;
import vaerosetta.Tensor;

/** The contract around {@link VAE}: tensors of Java's heap in, tensors of Java's heap out. */
public final class Dl4jBackend implements Backend {
  private static final Random RANDOM = Nd4j.getRandomFactory().getNewRandomInstance(); // not that of the whole process

  private static final int THREADS = openblas.blas_get_num_threads();

  /**
   * Images in a step from which OpenBLAS gets all threads. It wakes them for each product, which takes them a millisecond: on
   * two cores a step of 128 takes 7 ms with one thread and 16 with two, one of 512 takes 24 and 22.
   */
  private static final int THREADED_ROWS = 512;

  /** For the whole process, lets ND4J itself have one thread only. */
  public Dl4jBackend() {
    // ND4J's own threads go on spinning for milliseconds after each of its operations, on the cores on which OpenBLAS
    // then makes a product with threads of its own. Products are where the time goes: they alone get more than one
    // thread.
    Nd4j.getEnvironment().setMaxMasterThreads(1);
  }

  @Override
  public Map<String, String> describe() {
    return describe("dl4j");
  }

  static Map<String, String> describe(String framework) {
    var environment = Nd4j.getExecutioner().getEnvironmentInformation();
    return Map.of(
        "framework", framework,
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
      Weights.load(vae, params);
    }

    @Override
    public Posterior encode(Tensor x) {
      try (var images = array(x); var q = vae.encode(images)) {
        return new Posterior(Tensors.tensor(q.mu()), Tensors.tensor(q.logvar()));
      }
    }

    @Override
    public Tensor reparameterize(Tensor mu, Tensor logvar, Tensor noise) {
      try (var m = array(mu);
          var l = array(logvar);
          var n = array(noise);
          var z = vae.reparameterize(m, l, n)) {
        return Tensors.tensor(z);
      }
    }

    @Override
    public Tensor decode(Tensor z) {
      try (var latents = array(z); var logits = vae.decode(latents)) {
        return Tensors.tensor(logits);
      }
    }

    @Override
    public Losses losses(Tensor x, Tensor noise) {
      try (var images = array(x); var n = array(noise)) {
        var losses = vae.negativeElbo(images, n);
        try (var reconstruction = losses.reconstruction(); var kl = losses.kl()) {
          return new Losses(Tensors.tensor(reconstruction), Tensors.tensor(kl));
        }
      }
    }

    @Override
    public Tensor lossOnProbabilities(Tensor reconX, Tensor x, Tensor mu, Tensor logvar) {
      try (var r = array(reconX);
          var images = array(x);
          var m = array(mu);
          var l = array(logvar)) {
        return Tensors.tensor(new double[] {VAE.lossFunction(r, images, m, l)}, dtype);
      }
    }

    @Override
    public Map<String, Tensor> gradients(Tensor x, Tensor noise) {
      try (var images = array(x); var n = array(noise)) {
        vae.gradients(images, n);
      }
      return Weights.gradients(vae);
    }

    @Override
    public Tensor train(Tensor x, Tensor order, Tensor noise) {
      int steps = order.shape()[0];
      int rows = order.shape()[1];
      int[] chosen = Arrays.stream(order.longs()).mapToInt(Math::toIntExact).toArray(); // (K, B)
      var objectives = new double[steps]; // (K,)
      openblas.blas_set_num_threads(rows < THREADED_ROWS ? 1 : THREADS);
      try (var images = array(x); var noises = array(noise); var step = new Step(vae, rows)) {
        for (int k = 0; k < steps; k++) {
          objectives[k] = step.update(images, Arrays.copyOfRange(chosen, k * rows, (k + 1) * rows), noises.slice(k));
        }
      } finally {
        openblas.blas_set_num_threads(THREADS);
      }
      return Tensors.tensor(objectives, dtype, steps);
    }

    @Override
    public Map<String, Tensor> state() {
      return Weights.state(vae);
    }

    @Override
    public void loadState(Map<String, Tensor> state) {
      Weights.loadState(vae, state);
    }

    @Override
    public Tensor sample(Tensor x, long seed) {
      try (var images = array(x);
          var q = vae.encode(images);
          var noise = noise(x.shape()[0], seed);
          var z = vae.reparameterize(q.mu(), q.logvar(), noise)) {
        return Tensors.tensor(z);
      }
    }

    @Override
    public Tensor generate(int n, long seed) {
      try (var z = noise(n, seed); var probabilities = vae.generate(z)) {
        return Tensors.tensor(probabilities);
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

    private INDArray array(Tensor tensor) {
      return Tensors.array(tensor, dtype);
    }
  }
}
