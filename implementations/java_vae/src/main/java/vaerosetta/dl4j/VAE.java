package vaerosetta.dl4j;

import java.util.Arrays;
import java.util.Iterator;
import java.util.List;
import org.deeplearning4j.nn.conf.NeuralNetConfiguration;
import org.deeplearning4j.nn.conf.layers.DenseLayer;
import org.deeplearning4j.nn.multilayer.MultiLayerNetwork;
import org.deeplearning4j.nn.updater.MultiLayerUpdater;
import org.deeplearning4j.nn.weights.WeightInit;
import org.nd4j.autodiff.loss.LossReduce;
import org.nd4j.linalg.activations.Activation;
import org.nd4j.linalg.api.buffer.DataType;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.dataset.api.iterator.DataSetIterator;
import org.nd4j.linalg.factory.Nd4j;
import org.nd4j.linalg.indexing.NDArrayIndex;
import org.nd4j.linalg.ops.transforms.Transforms;

/**
 * The classic VAE on Deeplearning4j: two networks, trained through external errors.
 *
 * <p>This file, {@code Adam.java} and {@code AdamLoop.java} stand alone: copy them, and they work beside nothing but
 * Deeplearning4j. Symbols: B images, D pixels, H hidden units, L latents. Arguments are never changed. Arrays lie
 * outside Java's heap: whoever gets one may close it, and what is not closed lives until the garbage collector finds
 * it.
 */
public final class VAE implements AutoCloseable {
  /** q(z|x): images (B, D) to the mean and the log-variance of a normal distribution, side by side, (B, 2 L). */
  public final MultiLayerNetwork encoder;

  /** p(x|z): latents (B, L) to the logits of a Bernoulli distribution for each pixel, (B, D). */
  public final MultiLayerNetwork decoder;

  final int inputDim;
  final int latentDim;
  final DataType dtype;

  /** The parameters of q(z|x), (B, L) each. */
  public record Posterior(INDArray mu, INDArray logvar) implements AutoCloseable {
    @Override
    public void close() {
      mu.close();
      logvar.close();
    }
  }

  /** What {@link #forward} returns: probabilities (B, D), and the posterior that they were drawn from. */
  public record Reconstruction(INDArray reconX, INDArray mu, INDArray logvar) {}

  /** The two terms of the negative ELBO of each image, (B,) each, in nats. */
  public record Losses(INDArray reconstruction, INDArray kl) {}

  /** A model of float32 with 400 hidden units: {@code new VAE(784, 20)}. */
  public VAE(int inputDim, int latentDim) {
    this(inputDim, latentDim, 400);
  }

  /** A model of float32. */
  public VAE(int inputDim, int latentDim, int hiddenDim) {
    this(inputDim, latentDim, hiddenDim, DataType.FLOAT);
  }

  /**
   * Initial weights and biases are uniform in +-1/sqrt(fan_in), drawn by ND4J: {@code Nd4j.getRandom().setSeed} fixes
   * them.
   *
   * @param inputDim D
   * @param latentDim L
   * @param hiddenDim H
   * @param dtype FLOAT or DOUBLE
   * @throws IllegalArgumentException a size is below 1, or another dtype
   */
  public VAE(int inputDim, int latentDim, int hiddenDim, DataType dtype) {
    if (dtype != DataType.FLOAT && dtype != DataType.DOUBLE) {
      throw refusal("dtype", dtype, "FLOAT or DOUBLE");
    }
    this.inputDim = size("inputDim", inputDim);
    this.latentDim = size("latentDim", latentDim);
    this.dtype = dtype;
    encoder = network(inputDim, size("hiddenDim", hiddenDim), 2 * latentDim);
    decoder = network(latentDim, hiddenDim, inputDim);
  }

  private MultiLayerNetwork network(int in, int hidden, int out) {
    var network =
        new MultiLayerNetwork(
            new NeuralNetConfiguration.Builder()
                .dataType(dtype)
                .weightInit(WeightInit.UNIFORM) // in +-1/sqrt(fan_in)
                .updater(new Adam())
                .miniBatch(false) // the objective is summed over the batch, not averaged
                .list(
                    new DenseLayer.Builder().nIn(in).nOut(hidden).activation(Activation.RELU).build(),
                    new DenseLayer.Builder().nIn(hidden).nOut(out).activation(Activation.IDENTITY).build())
                .build());
    network.init();
    network.initGradientsView();
    for (var layer : network.getLayers()) { // Deeplearning4j would leave the biases at zero
      double bound = 1 / Math.sqrt(layer.getParam("W").size(0));
      Nd4j.rand(layer.getParam("b"), Nd4j.getDistributions().createUniform(-bound, bound));
    }
    return network;
  }

  /** x (B, D) -> mu (B, L), logvar (B, L). */
  public Posterior encode(INDArray x) {
    try (var both = encoder.output(matrix("x", x, inputDim))) {
      return split(both);
    }
  }

  /** z (B, L) -> logits (B, D). */
  public INDArray decode(INDArray z) {
    return decoder.output(matrix("z", z, latentDim));
  }

  /** (B, L) each -> z = mu + exp(logvar / 2) noise, (B, L); noise from ND4J's generator where null is given. */
  public INDArray reparameterize(INDArray mu, INDArray logvar, INDArray noise) {
    matrix("mu", mu, latentDim);
    noise = noise == null ? Nd4j.randn(dtype, mu.shape()) : noise;
    return Transforms.exp(like("logvar", logvar, mu).div(2), false).muli(like("noise", noise, mu)).addi(mu);
  }

  /** x (B, D), noise (B, L) or null -> probabilities (B, D), mu (B, L), logvar (B, L). */
  public Reconstruction forward(INDArray x, INDArray noise) {
    var q = encode(x);
    try (var z = reparameterize(q.mu(), q.logvar(), noise)) {
      return new Reconstruction(generate(z), q.mu(), q.logvar());
    }
  }

  /**
   * x (B, D), noise (B, L) or null -> the two terms of the negative ELBO, reconstruction (B,) and kl (B,), on logits:
   * what training minimises.
   */
  public Losses negativeElbo(INDArray x, INDArray noise) {
    try (var q = encode(x);
        var z = reparameterize(q.mu(), q.logvar(), noise);
        var logits = decode(z)) { // (B, D)
      return new Losses(crossEntropy(logits, x), klDivergence(q.mu(), q.logvar()));
    }
  }

  /** z (B, L) -> probabilities (B, D). */
  public INDArray generate(INDArray z) {
    return Transforms.sigmoid(decode(z), false);
  }

  /** KL(q(z|x) || N(0, I)) per image: (B, L) -> (B,). Kingma & Welling 2014, appendix B. */
  public static INDArray klDivergence(INDArray mu, INDArray logvar) {
    try (var terms = Transforms.exp(logvar); var square = mu.mul(mu)) {
      return terms.addi(square).subi(1).subi(logvar).sum(1).muli(0.5);
    }
  }

  /**
   * Cross-entropy of images x (B, D) and logits (B, D), per image (B,): softplus(l) - x l, right at any finite logit.
   */
  public static INDArray crossEntropy(INDArray logits, INDArray x) {
    try (var one = Nd4j.scalar(logits.dataType(), 1);
        var terms = Nd4j.loss().sigmoidCrossEntropy(x, logits, one, LossReduce.NONE, 0)) { // (B, D)
      return terms.sum(1);
    }
  }

  /**
   * The common published loss on probabilities, summed over the batch, each log clamped at -100: reconX and x (B, D),
   * mu and logvar (B, L).
   *
   * <p>Where a pixel saturates, that clamp loses the gradient: {@link #negativeElbo} works on logits, and training uses
   * it.
   */
  public static double lossFunction(INDArray reconX, INDArray x, INDArray mu, INDArray logvar) {
    try (var log = Transforms.max(Transforms.log(reconX), -100, false);
        var logOther = Transforms.max(Transforms.log(reconX.rsub(1), false), -100, false);
        var other = x.rsub(1);
        var kl = klDivergence(mu, logvar)) {
      double likelihood = log.muli(x).addi(logOther.muli(other)).sumNumber().doubleValue();
      return kl.sumNumber().doubleValue() - likelihood;
    }
  }

  /** One epoch, with noise drawn by ND4J: see {@link #train(DataSetIterator, Iterator)}. */
  public double train(DataSetIterator data) {
    return train(data, null);
  }

  /**
   * One epoch over batches of images; labels are not looked at. Returns the average loss per image, in nats.
   *
   * @param data features (B, D), or of any shape of D elements an image, in [0, 1]
   * @param noise (B, L) for each batch, where two runs are to be the same; null where ND4J's generator shall draw it
   * @throws IllegalArgumentException data without a batch, features of another size or not in [0, 1], noise that ends
   *     early
   */
  public double train(DataSetIterator data, Iterator<INDArray> noise) {
    double total = 0;
    long images = 0;
    if (data.resetSupported()) {
      data.reset();
    }
    while (data.hasNext()) {
      var features = data.next().getFeatures();
      var flat = features.reshape(features.size(0), -1); // (B, D)
      var x = flat.castTo(dtype);
      if (noise != null && !noise.hasNext()) {
        throw refusal("noise", "its end after " + images + " images", "noise for each batch");
      }
      total += update(x, noise == null ? null : noise.next());
      images += x.size(0);
      if (x != flat) { // a copy, of another dtype
        x.close();
      }
    }
    if (images == 0) {
      throw refusal("data", "no batch", "one or more");
    }
    return total / images;
  }

  /**
   * One step of Adam on images x (B, D) with noise (B, L), or with ND4J's where that is null. Returns the objective,
   * summed over the batch, as it was before.
   *
   * @throws IllegalArgumentException another shape or dtype, or pixels that are not in [0, 1]
   */
  public double update(INDArray x, INDArray noise) {
    checkImages("x", x);
    double objective = gradients(x, noise);
    networks().forEach(VAE::apply);
    return objective;
  }

  /**
   * Gradients of the objective, summed over the batch, into the gradient views of the two networks; returns the
   * objective.
   *
   * <p>Each network gets the derivative of what it put out, its external error, and gives that of its input.
   */
  double gradients(INDArray x, INDArray noise) {
    noise = noise == null ? Nd4j.randn(dtype, x.size(0), latentDim) : noise;
    try (var both = feedForward(encoder, matrix("x", x, inputDim)); // (B, 2 L)
        var q = split(both);
        var z = reparameterize(q.mu(), q.logvar(), noise); // (B, L)
        var logits = feedForward(decoder, z); // (B, D)
        var reconstruction = crossEntropy(logits, x); // (B,)
        var kl = klDivergence(q.mu(), q.logvar()); // (B,)
        var dLogits = Transforms.sigmoid(logits).subi(x); // (B, D)
        var dZ = backpropagate(decoder, dLogits); // (B, L)
        var dMu = dZ.add(q.mu()); // before dZ is overwritten
        var sigma = Transforms.exp(q.logvar().div(2), false);
        // 1/2 (dz noise sigma + sigma^2 - 1)
        var dLogvar = dZ.muli(noise).muli(sigma).addi(sigma.muli(sigma)).subi(1).muli(0.5);
        var dBoth = Nd4j.concat(1, dMu, dLogvar)) { // (B, 2 L)
      backpropagate(encoder, dBoth).close();
      return reconstruction.sumNumber().doubleValue() + kl.sumNumber().doubleValue();
    }
  }

  /** The network's output (B, out), with all that {@link #backpropagate} needs kept in its layers. */
  private static INDArray feedForward(MultiLayerNetwork network, INDArray input) {
    network.setInput(input);
    return network.feedForward(true, false).get(network.getnLayers());
  }

  /**
   * The derivative of the objective by the network's output -> by its input; the gradients go to the network's view.
   */
  private static INDArray backpropagate(MultiLayerNetwork network, INDArray error) {
    var dInput = network.backpropGradient(error, null).getSecond();
    network.getLayer(1).input().close(); // the hidden units, kept for this
    return dInput;
  }

  /** One step of the network's updater, with the gradients that are in the network's view. */
  static void apply(MultiLayerNetwork network) {
    int iteration = network.getIterationCount();
    for (var block : ((MultiLayerUpdater) network.getUpdater()).getUpdaterBlocks()) {
      block.update(iteration, 0); // makes the gradients the steps that are to be subtracted
    }
    network.params().subi(network.getGradientsViewArray().reshape(network.params().shape()));
    network.setIterationCount(iteration + 1);
  }

  /** Frees the arrays of both networks: all but what the caller has been given. */
  @Override
  public void close() {
    for (var network : networks()) { // their own close() also collects garbage, which takes as long as five steps
      network.params().close();
      network.getGradientsViewArray().close();
      var updater = network.getUpdater(false); // null before the first step
      if (updater != null) {
        updater.getStateViewArray().close();
      }
    }
  }

  private List<MultiLayerNetwork> networks() {
    return List.of(encoder, decoder);
  }

  private Posterior split(INDArray both) {
    var all = NDArrayIndex.all();
    return new Posterior(
        both.get(all, NDArrayIndex.interval(0, latentDim)).dup('c'),
        both.get(all, NDArrayIndex.interval(latentDim, 2 * latentDim)).dup('c'));
  }

  private INDArray matrix(String name, INDArray value, int columns) {
    if (value.rank() != 2 || value.size(0) < 1 || value.size(1) != columns || value.dataType() != dtype) {
      throw refusal(name, describe(value), dtype + " of shape [B, " + columns + "]");
    }
    return value;
  }

  private INDArray like(String name, INDArray value, INDArray other) {
    if (!Arrays.equals(value.shape(), other.shape()) || value.dataType() != dtype) {
      throw refusal(name, describe(value), dtype + " of shape " + Arrays.toString(other.shape()));
    }
    return value;
  }

  void checkImages(String name, INDArray x) {
    matrix(name, x, inputDim);
    double low = x.minNumber().doubleValue();
    double high = x.maxNumber().doubleValue();
    if (!(low >= 0 && high <= 1) || Double.isNaN(x.sumNumber().doubleValue())) { // min and max pass over a NaN
      throw refusal(name, "values from " + low + " to " + high, "finite pixels in [0, 1]");
    }
  }

  private static int size(String name, int value) {
    if (value < 1) {
      throw refusal(name, value, "1 or more");
    }
    return value;
  }

  private static String describe(INDArray value) {
    return value.dataType() + " of shape " + Arrays.toString(value.shape());
  }

  private static IllegalArgumentException refusal(String name, Object got, String expected) {
    return new IllegalArgumentException(name + ": got " + got + "; expected " + expected);
  }
}
