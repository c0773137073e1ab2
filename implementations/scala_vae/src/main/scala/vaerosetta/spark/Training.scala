package vaerosetta.spark

import org.apache.spark.broadcast.Broadcast
import org.apache.spark.rdd.RDD
import vaerosetta.{PortableStream, Sizes}

/**
 * Training by steps, each of which is one job of Spark: parameters and batch go out by broadcast; each partition takes the
 * gradient of those images of the batch that it holds; the driver sums the gradients and takes the step of Adam.
 *
 * What a run depends on is on the driver or can be computed again, so that a lost worker changes nothing.
 *
 * @param blocks the images, cached
 * @param start the parameters to start from
 */
final class Training[V](blocks: RDD[Block[V]], sizes: Sizes, start: Array[V], adam: Adam[V])(implicit p: Precision[V]) {
  private val context = blocks.sparkContext
  private var current = start

  /** The parameters now; no step changes this array. */
  def parameters: Array[V] = current

  /** One step. Returns the objective, summed over the batch, as it was before. */
  def step(batch: Batch): Double = {
    val sent = context.broadcast((current, batch))
    try {
      val parts = context.runJob(blocks, Training.gradients(sizes, sent)).flatten
      // In the order of partitions: `reduce` sums in the order of arrival, and rounding would depend on it.
      val (objective, gradient) = (parts.map(_.objective).sum, parts.head.values)
      parts.tail.foreach(part => p.add(gradient, part.values))
      current = adam.step(current, gradient)
      objective
    } finally sent.destroy()
  }

  /**
   * One epoch over `count` images. Order and noise come from the portable stream.
   *
   * @param epoch its number, from 0
   * @return the objective of each step, summed over its batch; the last may be short
   */
  def epoch(count: Int, batchSize: Int, seed: Long, epoch: Int): Array[Double] = {
    val order = PortableStream.permutation(seed, PortableStream.Purpose.ORDER, epoch, count).map(_.toInt)
    val firsts = 0 until count by batchSize
    firsts.map { first =>
      val images = order.slice(first, first + batchSize)
      step(Batch(images, StreamNoise(seed, epoch, first, sizes.latentDim)))
    }.toArray
  }
}

object Training {

  /** What a partition does in a step; none if it holds no image of the batch. */
  private def gradients[V](sizes: Sizes, sent: Broadcast[(Array[V], Batch)])(
      implicit p: Precision[V]): Iterator[Block[V]] => Option[Gradients[V]] = { blocks =>
    val (parameters, batch) = sent.value
    val Block(first, images) = blocks.next()
    val own = batch.images.indices.filter(i => first <= batch.images(i) && batch.images(i) < first + images.rows)
    if (own.isEmpty) None
    else {
      val (x, noise) = (p.zeros(own.length * sizes.inputDim), p.zeros(own.length * sizes.latentDim))
      for ((i, row) <- own.zipWithIndex) {
        val place = (batch.images(i) - first) * sizes.inputDim
        System.arraycopy(images.data, place, x, row * sizes.inputDim, sizes.inputDim)
        val drawn = batch.noise.row(i)
        for (j <- drawn.indices) p.set(noise, row * sizes.latentDim + j, drawn(j))
      }
      val matrices = (p.matrix(x, own.length, sizes.inputDim), p.matrix(noise, own.length, sizes.latentDim))
      Some(Gradients(new Network(sizes, parameters), matrices._1, matrices._2))
    }
  }
}
