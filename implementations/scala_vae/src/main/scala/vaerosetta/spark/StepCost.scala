package vaerosetta.spark

import java.util.concurrent.{ExecutorService, Executors}

import scala.concurrent.duration.Duration
import scala.concurrent.{Await, ExecutionContext, Future}

import org.apache.spark.SparkContext
import org.apache.spark.broadcast.Broadcast
import org.apache.spark.rdd.RDD
import vaerosetta.{PortableStream, Sizes}

/**
 * What a step of training costs beside its parts: an empty job; the exchange, which is a broadcast of all parameters and
 * as many numbers back from each partition; the matrix products, on as many threads as there are partitions. In
 * milliseconds, the least of rounds in which each is measured in turn: what else the machine does only adds.
 *
 * {{{ java @BUILD/java.args vaerosetta.spark.StepCost 128 2048 16384 }}}
 */
object StepCost {
  private val WarmUp = 5.0 // seconds
  private val Measured = 15.0 // seconds
  private val Least = 4 // rounds in each

  def main(batches: Array[String]): Unit = {
    val context = SparkBackend.context
    println("dtype    partitions  batch  empty job exchange  products      step  step / (exchange + products)")
    for (precision <- Precision.All; partitions <- Seq(1, 2); batch <- batches)
      cost(context, partitions, batch.toInt, precision)
    sys.exit(0)
  }

  /** Prints a row of the table. */
  private def cost[V](context: SparkContext, partitions: Int, batch: Int, precision: Precision[V]): Unit = {
    implicit val p: Precision[V] = precision
    val sizes = Sizes.CLASSIC
    val places = new Parameters(sizes)
    val start = places.array(PortableStream.initialParameters(0, sizes))
    val images = p.zeros(batch * sizes.inputDim)
    val drawn = PortableStream.uniform(0, PortableStream.Purpose.VECTORS, 0, images.length, 0)
    for (i <- images.indices) p.set(images, i, drawn(i))
    val blocks = Images.local(context, p.matrix(images, batch, sizes.inputDim), partitions)
    val training = new Training(blocks, sizes, start, Adam.zero[V](places.count))
    val step = Batch(Array.range(0, batch), StreamNoise(0, 0, 0, sizes.latentDim))
    val threads = Executors.newFixedThreadPool(partitions)
    try {
      def round(): Seq[Double] = Seq(
        milliseconds(context.runJob(blocks, (_: Iterator[Block[V]]) => ())),
        milliseconds(exchange(context, blocks, start)),
        milliseconds(inParallel(threads, partitions)(products(batch / partitions, new Network(sizes, start)))),
        milliseconds(training.step(step)))
      during(WarmUp)(round())
      val least = during(Measured)(round()).transpose.map(_.min)
      val ratio = least(3) / (least(1) + least(2))
      println(f"${p.dtype}  $partitions%10d $batch%6d ${least.map(it => f"$it%9.1f").mkString(" ")} $ratio%29.2f")
    } finally {
      threads.shutdown()
      blocks.unpersist()
    }
  }

  private def exchange[V](context: SparkContext, blocks: RDD[Block[V]], parameters: Array[V])(
      implicit p: Precision[V]): Unit = {
    import p.tag
    val sent = context.broadcast(parameters)
    val parts = context.runJob(blocks, back(sent))
    parts.tail.foreach(p.add(parts.head, _))
    sent.destroy()
  }

  private def back[V](sent: Broadcast[Array[V]])(
      implicit p: Precision[V]): Iterator[Block[V]] => Array[V] = _ => p.zeros(sent.value.length)

  /** All products of a step, of any numbers. */
  private def products[V](rows: Int, network: Network[V])(implicit p: Precision[V]): Unit = {
    import network.decoder.{fc3, fc4}
    import network.encoder.{fc1, fc2Logvar, fc2Mu}
    for ((layer, inwards) <- Seq((fc1, false), (fc2Mu, true), (fc2Logvar, true), (fc3, true), (fc4, true))) {
      val input = p.matrix(p.zeros(rows * layer.weight.cols), rows, layer.weight.cols)
      val output = p.times(input, layer.weight.t)
      p.times(output.t, input)
      if (inwards) p.times(output, layer.weight) // images need no gradient
    }
  }

  private def inParallel(threads: ExecutorService, count: Int)(work: => Unit): Unit = {
    implicit val context: ExecutionContext = ExecutionContext.fromExecutor(threads)
    Await.result(Future.sequence(Seq.fill(count)(Future(work))), Duration.Inf)
    ()
  }

  /** Rounds until the time is over. */
  private def during(seconds: Double)(round: => Seq[Double]): Seq[Seq[Double]] = {
    val end = System.nanoTime + (seconds * 1e9).toLong
    val rounds = Seq.newBuilder[Seq[Double]]
    var count = 0
    while (count < Least || System.nanoTime < end) {
      rounds += round
      count += 1
    }
    rounds.result()
  }

  private def milliseconds(work: => Any): Double = {
    val start = System.nanoTime
    work
    (System.nanoTime - start) / 1e6
  }
}
