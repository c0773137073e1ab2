package vaerosetta.spark

import breeze.linalg.DenseMatrix
import breeze.stats.distributions.RandBasis
import vaerosetta.{Checks, Sizes}

/**
 * The networks of the VAE, on Breeze: pure functions of matrices. Symbols: B images, D pixels, H hidden units, L latents.
 * `V` is Float or Double: see [[Precision]]. Matrices are in C order.
 */
final class Linear[V](val weight: DenseMatrix[V], val bias: Array[V])(implicit p: Precision[V]) {

  /** x (B, in) -> x W^T + b (B, out). */
  def apply(x: DenseMatrix[V]): DenseMatrix[V] = p.addRowInPlace(p.times(x, weight.t), bias)
}

/** q(z|x): images to the mean and log-variance of a normal distribution. */
final class Encoder[V](val fc1: Linear[V], val fc2Mu: Linear[V], val fc2Logvar: Linear[V])(implicit p: Precision[V]) {

  /** x (B, D) -> mu (B, L), logvar (B, L). */
  def encode(x: DenseMatrix[V]): (DenseMatrix[V], DenseMatrix[V]) = {
    Network.checkShape("x", x, x.rows, fc1.weight.cols)
    val hidden = Network.reluInPlace(fc1(x)) // (B, H)
    (fc2Mu(hidden), fc2Logvar(hidden))
  }
}

/** p(x|z): latents to the logits of a Bernoulli distribution for each pixel. */
final class Decoder[V](val fc3: Linear[V], val fc4: Linear[V])(implicit p: Precision[V]) {

  /** z (B, L) -> logits (B, D). */
  def decode(z: DenseMatrix[V]): DenseMatrix[V] = {
    Network.checkShape("z", z, z.rows, fc3.weight.cols)
    fc4(Network.reluInPlace(fc3(z)))
  }
}

/**
 * Encoder and decoder, joined by the reparameterisation z = mu + exp(logvar / 2) noise.
 *
 * @param parameters all of them, in canonical order, side by side: see [[Parameters]]. Layers look into this array.
 */
final class Network[V](val sizes: Sizes, val parameters: Array[V])(implicit p: Precision[V]) {
  private val layers = new Parameters(sizes)
  val encoder = new Encoder(layer("encoder.fc1"), layer("encoder.fc2_mu"), layer("encoder.fc2_logvar"))
  val decoder = new Decoder(layer("decoder.fc3"), layer("decoder.fc4"))

  /** (B, L) each -> z (B, L); noise from Breeze's generator where none is given. */
  def reparameterize(
      mu: DenseMatrix[V],
      logvar: DenseMatrix[V],
      noise: Option[DenseMatrix[V]] = None): DenseMatrix[V] = {
    val drawn = noise.getOrElse(Network.normal(mu.rows, mu.cols)) // (B, L)
    Network.checkShape("logvar", logvar, mu.rows, mu.cols)
    Network.checkShape("noise", drawn, mu.rows, mu.cols)
    val scaled = p.zip(logvar, drawn)((s, e) => math.exp(s / 2) * e) // (B, L)
    p.zip(mu, scaled)(_ + _)
  }

  /** x (B, D) -> reconX (B, D) probabilities, mu (B, L), logvar (B, L). */
  def forward(
      x: DenseMatrix[V],
      noise: Option[DenseMatrix[V]] = None): (DenseMatrix[V], DenseMatrix[V], DenseMatrix[V]) = {
    val (mu, logvar) = encoder.encode(x)
    (generate(reparameterize(mu, logvar, noise)), mu, logvar)
  }

  /** x (B, D) -> its two terms, reconstruction (B,) and kl (B,), on logits: what training minimises. */
  def negativeElbo(x: DenseMatrix[V], noise: Option[DenseMatrix[V]] = None): (Array[V], Array[V]) = {
    val (mu, logvar) = encoder.encode(x)
    val logits = decoder.decode(reparameterize(mu, logvar, noise))
    (Network.crossEntropy(logits, x), Network.klDivergence(mu, logvar))
  }

  /** z (B, L) -> probabilities (B, D). */
  def generate(z: DenseMatrix[V]): DenseMatrix[V] = p.mapInPlace(decoder.decode(z))(Network.sigmoid)

  private def layer(name: String): Linear[V] = {
    val (weight, bias) = (layers(s"$name.weight"), layers(s"$name.bias"))
    val values = p.zeros(bias.count)
    System.arraycopy(parameters, bias.offset, values, 0, bias.count)
    new Linear(p.matrix(parameters, weight.shape(0), weight.shape(1), weight.offset), values)
  }
}

object Network {

  /** KL(q(z|x) || N(0, I)) per image: (B, L) -> (B,). Kingma & Welling 2014, appendix B. */
  def klDivergence[V](mu: DenseMatrix[V], logvar: DenseMatrix[V])(implicit p: Precision[V]): Array[V] =
    p.sumOfColumns(mu, logvar)((m, s) => 0.5 * (m * m + (math.expm1(s) - s)))

  /**
   * The common published loss on probabilities, summed over the batch; each log is clamped at -100.
   *
   * Where a pixel saturates, that clamp loses the gradient: [[Network.negativeElbo]] works on logits, and training uses
   * it.
   */
  def lossFunction[V](reconX: DenseMatrix[V], x: DenseMatrix[V], mu: DenseMatrix[V], logvar: DenseMatrix[V])(
      implicit p: Precision[V]): Double = {
    val reconstruction = p.sumOfColumns(reconX, x) { (q, it) =>
      -(it * math.max(math.log(q), -100.0) + (1 - it) * math.max(math.log1p(-q), -100.0))
    }
    sum(reconstruction) + sum(klDivergence(mu, logvar))
  }

  /**
   * -log p(x|z) per image, on logits l: the sum over pixels of softplus(l) - x l, (B, D) -> (B,).
   *
   * softplus(l) = max(l, 0) + log(1 + exp(-|l|)). The logs of several pixels are the log of a product, which takes as
   * many factors of at most 2 as a double holds: one log for hundreds of pixels.
   */
  def crossEntropy[V](logits: DenseMatrix[V], x: DenseMatrix[V])(implicit p: Precision[V]): Array[V] =
    crossEntropyAndSlope(logits, x)._1

  /** And its derivative by each logit, sigmoid(l) - x in a form without cancellation, (B, D). */
  private[spark] def crossEntropyAndSlope[V](logits: DenseMatrix[V], x: DenseMatrix[V])(
      implicit p: Precision[V]): (Array[V], DenseMatrix[V]) = {
    checkShape("x", x, logits.rows, logits.cols)
    val (of, pixels, sums, slopes) = (p.elements(logits), p.elements(x), p.zeros(logits.rows), p.zeros(logits.size))
    var i = 0
    for (row <- sums.indices) {
      var (sum, product) = (0.0, 1.0)
      while (i < (row + 1) * logits.cols) {
        val (logit, pixel) = (p.get(of, i), p.get(pixels, i))
        sum += math.max(logit, 0.0) - pixel * logit
        val small = math.exp(-math.abs(logit))
        product *= 1 + small
        val upper = if (logit >= 0) (1 - pixel) - pixel * small else (1 - pixel) * small - pixel
        p.set(slopes, i, upper / (1 + small))
        if (product > 1e300) {
          sum += math.log(product)
          product = 1
        }
        i += 1
      }
      p.set(sums, row, sum + math.log(product))
    }
    (sums, p.matrix(slopes, logits.rows, logits.cols))
  }

  /** @throws IllegalArgumentException the matrix has another shape; the message names it */
  private[spark] def checkShape(name: String, matrix: DenseMatrix[_], rows: Int, cols: Int): Unit =
    if (matrix.rows != rows || matrix.cols != cols)
      throw Checks.refusal(name, s"shape [${matrix.rows}, ${matrix.cols}]", s"[$rows, $cols]")

  /** Standard normals (rows, cols). */
  def normal[V](rows: Int, cols: Int, random: RandBasis = RandBasis.systemSeed)(
      implicit p: Precision[V]): DenseMatrix[V] = {
    val (gaussian, values) = (random.gaussian, p.zeros(rows * cols))
    for (i <- values.indices) p.set(values, i, gaussian.draw())
    p.matrix(values, rows, cols)
  }

  /** max(a, 0), in the place of `a`. */
  private[spark] def reluInPlace[V](a: DenseMatrix[V])(implicit p: Precision[V]): DenseMatrix[V] =
    p.mapInPlace(a)(math.max(_, 0.0))

  /** 1 / (1 + exp(-logit)), without overflow on either side. */
  @inline def sigmoid(logit: Double): Double = {
    val small = math.exp(-math.abs(logit))
    (if (logit >= 0) 1.0 else small) / (1 + small)
  }

  /** In double precision. */
  def sum[V](values: Array[V])(implicit p: Precision[V]): Double = {
    var (total, i) = (0.0, 0)
    while (i < values.length) {
      total += p.get(values, i)
      i += 1
    }
    total
  }
}
