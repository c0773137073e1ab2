package vaerosetta.spark

import breeze.linalg.DenseMatrix

/**
 * The objective of a batch, summed, and its gradient by the parameters, in their order.
 *
 * @param objective reconstruction + kl of all images, in nats
 */
final case class Gradients[V](objective: Double, values: Array[V])

object Gradients {

  /** By the chain rule, from the logits back to the first layer. x (B, D), noise (B, L). */
  def apply[V](network: Network[V], x: DenseMatrix[V], noise: DenseMatrix[V])(
      implicit p: Precision[V]): Gradients[V] = {
    import network.decoder.{fc3, fc4}
    import network.encoder.{fc1, fc2Logvar, fc2Mu}

    val hidden = Network.reluInPlace(fc1(x)) // (B, H)
    val (mu, logvar) = (fc2Mu(hidden), fc2Logvar(hidden)) // (B, L)
    val scaled = p.zip(logvar, noise)((s, e) => math.exp(s / 2) * e) // (B, L)
    val z = p.zip(mu, scaled)(_ + _) // (B, L)
    val hidden3 = Network.reluInPlace(fc3(z)) // (B, H)
    val logits = fc4(hidden3) // (B, D)
    val (reconstruction, dLogits) = Network.crossEntropyAndSlope(logits, x) // (B,), (B, D)
    val kl = Network.klDivergence(mu, logvar) // (B,)

    val dHidden3 = throughRelu(p.times(dLogits, fc4.weight), hidden3) // (B, H)
    val dZ = p.times(dHidden3, fc3.weight) // (B, L)
    val dMu = p.zip(dZ, mu)(_ + _) // (B, L)
    val dLogvar = p.zip(p.zip(dZ, scaled)((d, s) => d * s / 2), logvar)((d, s) => d + math.expm1(s) / 2) // (B, L)
    val fromHeads = p.zip(p.times(dMu, fc2Mu.weight), p.times(dLogvar, fc2Logvar.weight))(_ + _) // (B, H)
    val dHidden = throughRelu(fromHeads, hidden) // (B, H)

    val places = new Parameters(network.sizes)
    val values = p.zeros(places.count)
    def put(layer: String, dOutput: DenseMatrix[V], input: DenseMatrix[V]): Unit = {
      val weight = p.elements(p.times(dOutput.t, input)) // (out, in)
      System.arraycopy(weight, 0, values, places(s"$layer.weight").offset, weight.length)
      System.arraycopy(p.sumOfRows(dOutput), 0, values, places(s"$layer.bias").offset, dOutput.cols)
    }
    put("encoder.fc1", dHidden, x)
    put("encoder.fc2_mu", dMu, hidden)
    put("encoder.fc2_logvar", dLogvar, hidden)
    put("decoder.fc3", dHidden3, z)
    put("decoder.fc4", dLogits, hidden3)
    Gradients(Network.sum(reconstruction) + Network.sum(kl), values)
  }

  /** The gradient before relu, from the one behind it and relu's result: relu'(0) is 0. */
  private def throughRelu[V](gradient: DenseMatrix[V], hidden: DenseMatrix[V])(implicit p: Precision[V]) =
    p.zip(gradient, hidden)((d, h) => if (h > 0) d else 0.0)
}
