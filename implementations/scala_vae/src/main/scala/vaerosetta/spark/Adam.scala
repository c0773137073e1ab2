package vaerosetta.spark

/**
 * Adam, Algorithm 1 of Kingma & Ba 2015: epsilon is added to the root of the corrected second moment. Neither Spark nor
 * Breeze has it.
 *
 * @param m first moments, in the order of the parameters; changed by each step
 * @param v second moments
 * @param steps how many have been taken
 */
final class Adam[V](val m: Array[V], val v: Array[V], var steps: Long)(implicit p: Precision[V]) {

  /** One step: the new parameters. */
  def step(parameters: Array[V], gradient: Array[V]): Array[V] = {
    steps += 1
    val (correction1, correction2) = (1 - math.pow(Adam.Beta1, steps.toDouble), 1 - math.pow(Adam.Beta2, steps.toDouble))
    val updated = p.zeros(parameters.length)
    var i = 0
    while (i < updated.length) {
      val g = p.get(gradient, i)
      val first = Adam.Beta1 * p.get(m, i) + (1 - Adam.Beta1) * g
      val second = Adam.Beta2 * p.get(v, i) + (1 - Adam.Beta2) * g * g
      p.set(m, i, first)
      p.set(v, i, second)
      val change = Adam.LearningRate * (first / correction1) / (math.sqrt(second / correction2) + Adam.Epsilon)
      p.set(updated, i, p.get(parameters, i) - change)
      i += 1
    }
    updated
  }
}

object Adam {
  val LearningRate = 1e-3
  val Beta1 = 0.9
  val Beta2 = 0.999
  val Epsilon = 1e-8

  /** Before the first step. */
  def zero[V](count: Int)(implicit p: Precision[V]): Adam[V] = new Adam(p.zeros(count), p.zeros(count), 0)
}
