package vaerosetta.spark

import scala.collection.{Seq => AnySeq}

import breeze.linalg.DenseMatrix
import org.apache.spark.{Partitioner, SparkContext}
import org.apache.spark.ml.linalg.Vector
import org.apache.spark.rdd.RDD
import org.apache.spark.storage.StorageLevel
import vaerosetta.{Checks, PortableStream}

/** Images that lie side by side in a data set and in one partition: number `first` of the data set on, (rows, D). */
final case class Block[V](first: Int, images: DenseMatrix[V])

/** A step's images, by their numbers in the data set, in the order in which noise belongs to them. */
final case class Batch(images: Array[Int], noise: Noise)

/** The noise of a batch: row i belongs to its image i. */
sealed trait Noise extends Serializable {

  /** Row i, (L,). */
  def row(i: Int): Array[Double]
}

/** Noise that was given: (B, L) in C order. */
final case class GivenNoise(values: Array[Double], latentDim: Int) extends Noise {
  override def row(i: Int): Array[Double] = values.slice(i * latentDim, (i + 1) * latentDim)
}

/** Rows `first` and on of an epoch's noise in the portable stream: each partition computes those that it needs. */
final case class StreamNoise(seed: Long, epoch: Int, first: Int, latentDim: Int) extends Noise {
  override def row(i: Int): Array[Double] = {
    val start = (first + i).toLong * latentDim
    PortableStream.normal(seed, PortableStream.Purpose.NOISE, epoch, latentDim, start).map(_.toDouble)
  }
}

/** How images come into partitions. There they stay: a step goes to where its images are. */
object Images {

  /** What a column of images holds for one image, as pixels (D,). */
  def pixels(value: Any, inputDim: Int, name: String): Array[Double] = {
    def expected = s"$inputDim pixels in [0, 1]"
    val found = value match {
      case vector: Vector => vector.toArray
      case numbers: AnySeq[_] =>
        numbers.iterator.map {
          case number: Number => number.doubleValue
          case other => throw Checks.refusal(name, other, expected)
        }.toArray
      case other => throw Checks.refusal(name, other, expected)
    }
    if (found.length != inputDim) throw Checks.refusal(name, s"${found.length} values", expected)
    found.find(pixel => !(pixel >= 0 && pixel <= 1)).foreach(pixel => throw Checks.refusal(name, pixel, expected))
    found
  }

  /**
   * Blocks of about the same length, one for each partition, cached. The images are numbered in the order of `values`,
   * which must be the same whenever they are computed.
   *
   * @param values what a column of images holds
   * @param name of that column, for messages
   * @throws IllegalArgumentException there is no image, or one is not as it must be; the message says which
   */
  def distributed[V](values: RDD[Any], inputDim: Int, partitions: Int, name: String)(
      implicit p: Precision[V]): RDD[Block[V]] = {
    import p.tag
    val checked = values.mapPartitions { they =>
      var (count, problem) = (0L, Option.empty[(Long, String)])
      for (value <- they) {
        if (problem.isEmpty) {
          try pixels(value, inputDim, name)
          catch { case refusal: IllegalArgumentException => problem = Some((count, refusal.getMessage)) }
        }
        count += 1
      }
      Iterator((count, problem))
    }.collect()
    val firsts = checked.map(_._1).scanLeft(0L)(_ + _)
    for ((first, (_, Some((number, message)))) <- firsts.zip(checked))
      throw new IllegalArgumentException(s"$message (image ${first + number}, counted from 0)")
    val count = numberOfImages(firsts.last)
    val most = Int.MaxValue / inputDim // an array holds no more numbers
    if (count.toLong > most.toLong * partitions)
      throw Checks.refusal("partitions", s"$partitions for $count images", s"at most $most images in each")
    val places = new Contiguous(count, partitions)
    values
      .mapPartitionsWithIndex { (partition, they) =>
        they.zipWithIndex.map { case (value, i) =>
          val row = pixels(value, inputDim, name)
          val own = p.zeros(inputDim)
          for (d <- row.indices) p.set(own, d, row(d))
          ((firsts(partition) + i).toInt, own)
        }
      }
      .partitionBy(places)
      .mapPartitionsWithIndex { (partition, rows) =>
        val (first, end) = (places.first(partition), places.first(partition + 1))
        val images = p.zeros((end - first) * inputDim)
        for ((number, row) <- rows) System.arraycopy(row, 0, images, (number - first) * inputDim, inputDim)
        Iterator(Block(first, p.matrix(images, end - first, inputDim)))
      }
      .persist(StorageLevel.MEMORY_AND_DISK)
  }

  /** Blocks of the images (N, D) that the driver holds; cached too. */
  def local[V](context: SparkContext, images: DenseMatrix[V], partitions: Int)(
      implicit p: Precision[V]): RDD[Block[V]] = {
    val places = new Contiguous(images.rows, partitions)
    val sent = context.broadcast(images)
    context
      .parallelize(0 until partitions, partitions)
      .map { partition =>
        val (first, end) = (places.first(partition), places.first(partition + 1))
        val own = p.zeros((end - first) * sent.value.cols)
        System.arraycopy(p.elements(sent.value), first * sent.value.cols, own, 0, own.length)
        Block(first, p.matrix(own, end - first, sent.value.cols))
      }
      .persist(StorageLevel.MEMORY_AND_DISK)
  }

  private def numberOfImages(count: Long): Int = {
    if (count < 1 || count > Int.MaxValue) throw Checks.refusal("data", s"$count images", s"1 to ${Int.MaxValue}")
    count.toInt
  }

  /** Numbers 0 to count - 1 in partitions of about the same length, side by side. */
  private final class Contiguous(count: Int, override val numPartitions: Int) extends Partitioner {
    def first(partition: Int): Int = (count.toLong * partition / numPartitions).toInt
    override def getPartition(key: Any): Int = {
      val number = key.asInstanceOf[Int]
      (((number + 1L) * numPartitions - 1) / count).toInt // the last whose first is not above the number
    }
  }
}
