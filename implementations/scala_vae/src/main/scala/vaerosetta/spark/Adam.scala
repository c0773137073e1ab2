package vaerosetta.spark

import vaerosetta.AdamLoop

/**
 * Adam, Algorithm 1 of Kingma & Ba 2015: epsilon is added to the root of the corrected second moment. Neither Spark nor
 * Breeze has it.
 *
 * @param m first moments, in the order of the parameters; changed by each step
 * @param v second moments; likewise
 * @param steps how many have been taken
 */
final class Adam[V](val m: Array[V], val v: Array[V], var steps: Long)(implicit p: Precision[V]) {

  /** One step: the new parameters. */
  def step(parameters: Array[V], gradient: Array[V]): Array[V] = {
    steps += 1
    val correction1 = 1 - math.pow(AdamLoop.BETA1, steps.toDouble)
    val correction2 = math.sqrt(1 - math.pow(AdamLoop.BETA2, steps.toDouble)) // of the second moment's root
    // m / correction1 / (sqrt(v) / correction2 + epsilon), with numerator and denominator times correction2.
    val change = gradient.clone
    p.adam(change, m, v, Adam.LearningRate * correction2 / correction1, Adam.Epsilon * correction2)
    val updated = parameters.clone
    p.subtract(updated, change)
    updated
  }
}

object Adam {
  val LearningRate = 1e-3
  val Epsilon = 1e-8

  /** Before the first step. */
  def zero[V](count: Int)(implicit p: Precision[V]): Adam[V] = new Adam(p.zeros(count), p.zeros(count), 0)
}
