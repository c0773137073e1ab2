package vaerosetta.dl4j;

import java.util.ArrayList;
import java.util.List;
import org.deeplearning4j.nn.multilayer.MultiLayerNetwork;
import org.nd4j.linalg.api.buffer.DataType;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.api.ops.impl.transforms.custom.Max;
import org.nd4j.linalg.api.ops.impl.transforms.same.Sign;
import org.nd4j.linalg.api.ops.impl.transforms.strict.Sigmoid;
import org.nd4j.linalg.factory.Nd4j;
import org.nd4j.linalg.indexing.NDArrayIndex;
import org.nd4j.linalg.ops.transforms.Transforms;

/**
 * A training step of the backend by hand: forward and backward pass of {@link VAE#negativeElbo} over B images, from the
 * weights of the two networks to their gradient views. {@link VAE#gradients} does the same through the networks; the
 * suite holds both to the same vectors.
 *
 * <p>A {@link MultiLayerNetwork} makes the product of each layer twice, in the forward and again in the backward pass,
 * and also the derivative by the images, which nobody wants: 16 products instead of 11. It makes many of them in one
 * order of memory and copies them to the other. Here memory is made once, and no product is copied.
 *
 * <p>Symbols: B images, D pixels, H hidden units, L latents. Weights are (in, out). What is (B, L) or (B, 2 L) lies in
 * 'f' order, by columns, so that mu and logvar are two parts of one array without gaps.
 */
final class Step implements AutoCloseable {
  private final VAE vae;
  private final Layer fc1;
  private final Layer fc2;
  private final Layer fc3;
  private final Layer fc4;
  private final INDArray x; // (B, D)
  private final INDArray hidden; // (B, H)
  private final INDArray posterior; // (B, 2 L)
  private final INDArray mu; // (B, L)
  private final INDArray logvar; // (B, L)
  private final INDArray noise; // (B, L)
  private final INDArray std; // (B, L)
  private final INDArray z; // (B, L)
  private final INDArray hidden3; // (B, H)
  private final INDArray logits; // (B, D)
  private final INDArray dLogits; // (B, D), first the probabilities
  private final INDArray terms; // (B, D)
  private final INDArray products; // (B, D)
  private final INDArray dHidden; // (B, H), of the decoder's hidden units and then of the encoder's
  private final INDArray dZ; // (B, L)
  private final INDArray dPosterior; // (B, 2 L)
  private final INDArray dMu; // (B, L)
  private final INDArray dLogvar; // (B, L)
  private final INDArray klTerms; // (B, L)
  private final INDArray images; // (1, B) of ones: a product with it sums over images
  private final INDArray pixels; // (D, 1) of ones: over pixels
  private final INDArray latents; // (L, 1) of ones: over latents
  private final INDArray losses; // (B, 1)
  private final List<Fold> folds = new ArrayList<>(); // of `terms`
  private final INDArray factors; // what is kept of it
  private final INDArray sums; // of their rows

  /** A layer's weight (in, out) and bias (out,), and where their gradients go; the latter's as (1, out). */
  private record Layer(INDArray weight, INDArray bias, INDArray dWeight, INDArray dBias) {
    static Layer of(MultiLayerNetwork network, int index) {
      var layer = network.getLayer(index);
      var conf = layer.conf();
      var gradients = conf.getLayer().initializer().getGradientsFromFlattened(conf, layer.getGradientsViewArray());
      var dBias = gradients.get("b");
      return new Layer(
          layer.getParam("W"), layer.getParam("b"), gradients.get("W"), dBias.reshape('f', 1, dBias.length()));
    }

    /** input (B, in) -> output (B, out). */
    void forward(INDArray input, INDArray output) {
      Nd4j.gemm(input, weight, output, false, false, 1, 0);
      output.addiRowVector(bias);
    }

    /** input (B, in) and the derivative by the output, (B, out) -> the layer's gradients. */
    void gradients(INDArray input, INDArray dOutput, INDArray images) {
      Nd4j.gemm(input, dOutput, dWeight, true, false, 1, 0);
      Nd4j.gemm(images, dOutput, dBias, false, false, 1, 0);
    }

    /** The derivative by the output, (B, out) -> by the input, (B, in). */
    void dInput(INDArray dOutput, INDArray dInput) {
      Nd4j.gemm(dOutput, weight, dInput, false, true, 1, 0);
    }
  }

  /** Two halves of an array, of which the first takes up the product of both. */
  private record Fold(INDArray kept, INDArray other) {}

  /** A step of {@code rows} images each time. */
  Step(VAE vae, int rows) {
    this.vae = vae;
    fc1 = Layer.of(vae.encoder, 0);
    fc2 = Layer.of(vae.encoder, 1);
    fc3 = Layer.of(vae.decoder, 0);
    fc4 = Layer.of(vae.decoder, 1);
    var dtype = fc1.weight.dataType();
    long d = fc1.weight.size(0);
    long h = fc1.weight.size(1);
    long l = fc3.weight.size(0);
    x = array(dtype, 'c', rows, d);
    hidden = array(dtype, 'c', rows, h);
    posterior = array(dtype, 'f', rows, 2 * l);
    mu = posterior.get(NDArrayIndex.all(), NDArrayIndex.interval(0, l));
    logvar = posterior.get(NDArrayIndex.all(), NDArrayIndex.interval(l, 2 * l));
    noise = array(dtype, 'f', rows, l);
    std = array(dtype, 'f', rows, l);
    z = array(dtype, 'f', rows, l);
    hidden3 = array(dtype, 'c', rows, h);
    logits = array(dtype, 'c', rows, d);
    dLogits = array(dtype, 'c', rows, d);
    terms = array(dtype, 'c', rows, d);
    products = array(dtype, 'c', rows, d);
    dHidden = array(dtype, 'c', rows, h);
    dZ = array(dtype, 'f', rows, l);
    dPosterior = array(dtype, 'f', rows, 2 * l);
    dMu = dPosterior.get(NDArrayIndex.all(), NDArrayIndex.interval(0, l));
    dLogvar = dPosterior.get(NDArrayIndex.all(), NDArrayIndex.interval(l, 2 * l));
    klTerms = array(dtype, 'f', rows, l);
    images = array(dtype, 'c', 1, rows).assign(1);
    pixels = array(dtype, 'c', d, 1).assign(1);
    latents = array(dtype, 'c', l, 1).assign(1);
    losses = array(dtype, 'c', rows, 1);
    int left = rows;
    while (left % 2 == 0 && folds.size() < 3) {
      left /= 2;
      folds.add(new Fold(rows(terms, 0, left), rows(terms, left, 2 * left)));
    }
    factors = rows(terms, 0, left);
    sums = array(dtype, 'c', left, 1);
  }

  /**
   * One step of Adam on B rows of images (N, D), with noise (B, L) for them. Returns the objective, summed over the
   * batch, as it was before.
   */
  double update(INDArray images, int[] rows, INDArray noise) {
    Nd4j.pullRows(images, x, 1, rows);
    this.noise.assign(noise);
    double objective = forward();
    backward();
    VAE.apply(vae.encoder);
    VAE.apply(vae.decoder);
    return objective;
  }

  private double forward() {
    fc1.forward(x, hidden);
    Transforms.relu(hidden, false);
    fc2.forward(hidden, posterior);
    Transforms.exp(logvar.muli(0.5, std), false);
    std.muli(noise, z).addi(mu);
    fc3.forward(z, hidden3);
    Transforms.relu(hidden3, false);
    fc4.forward(hidden3, logits);
    return reconstruction() + kl();
  }

  /**
   * The sum of softplus(l) - x l, with the probabilities p = sigmoid(l) left in {@code dLogits}.
   *
   * <p>softplus(l) = max(l, 0) - log(max(p, 1 - p)), which is finite for any l. ND4J's own softplus overflows.
   */
  private double reconstruction() {
    Nd4j.exec(new Sigmoid(logits, dLogits));
    dLogits.rsubi(1, terms);
    Nd4j.exec(new Max(dLogits, terms, terms));
    for (var fold : folds) { // eight factors from 1/2 to 1 each cost one logarithm, that of their product
      fold.kept.muli(fold.other);
    }
    double logarithms = sum(Transforms.log(factors, false), pixels, sums);
    logits.muli(x, products);
    return sum(Transforms.relu(logits, false).subi(products), pixels, losses) - logarithms;
  }

  /** The sum of 1/2 (mu^2 + sigma^2 - 1 - logvar). */
  private double kl() {
    std.muli(std, klTerms).subi(1).subi(logvar).addi(mu.muli(mu, dMu));
    return 0.5 * sum(klTerms, latents, losses);
  }

  /** Over the n columns of a matrix, by a product with n ones, into {@code rows}, and then over rows in float64. */
  private static double sum(INDArray matrix, INDArray ones, INDArray rows) {
    Nd4j.gemm(matrix, ones, rows, false, false, 1, 0);
    double total = 0;
    for (int i = 0; i < rows.length(); i++) {
      total += rows.getDouble(i);
    }
    return total;
  }

  /** Gradients of what {@code forward} returned, from the last layer to the first. */
  private void backward() {
    dLogits.subi(x);
    fc4.gradients(hidden3, dLogits, images);
    fc4.dInput(dLogits, dHidden);
    dRelu(hidden3, dHidden);
    fc3.gradients(z, dHidden, images);
    fc3.dInput(dHidden, dZ);
    dZ.addi(mu, dMu);
    std.muli(std, dLogvar).subi(1).addi(dZ.muli(noise).muli(std)).muli(0.5);
    fc2.gradients(hidden, dPosterior, images);
    fc2.dInput(dPosterior, dHidden);
    dRelu(hidden, dHidden);
    fc1.gradients(x, dHidden, images);
  }

  /** Zeroes {@code dHidden} where relu did: its derivative at 0 is 0. {@code hidden} is overwritten by 0 and 1. */
  private static void dRelu(INDArray hidden, INDArray dHidden) {
    dHidden.muli(Nd4j.exec(new Sign(hidden, hidden)));
  }

  @Override
  public void close() {
    List.of(x, hidden, posterior, noise, std, z, hidden3, logits, dLogits, terms, products, dHidden, dZ, dPosterior,
            klTerms, images, pixels, latents, losses, sums)
        .forEach(INDArray::close);
  }

  private static INDArray rows(INDArray matrix, int from, int to) {
    return matrix.get(NDArrayIndex.interval(from, to), NDArrayIndex.all());
  }

  private static INDArray array(DataType dtype, char order, long... shape) {
    return Nd4j.createUninitialized(dtype, shape, order);
  }
}
