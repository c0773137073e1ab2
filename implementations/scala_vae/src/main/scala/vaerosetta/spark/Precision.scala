package vaerosetta.spark

import java.nio.{DoubleBuffer, FloatBuffer}

import scala.jdk.CollectionConverters._
import scala.reflect.ClassTag

import breeze.linalg.DenseMatrix
import vaerosetta.{AdamLoop, Checks, Tensor}

/**
 * What a network asks of its dtype `V`: Breeze's matrix products in it, and functions of single elements, which are
 * computed in double precision and rounded once.
 *
 * All matrices are in C order (rows side by side), as images and canonical weights are. Breeze calls that `isTranspose`.
 */
sealed abstract class Precision[V](val dtype: String)(implicit val tag: ClassTag[V]) extends Serializable {

  /** An array of zeros. */
  final def zeros(count: Int): Array[V] = tag.newArray(count)

  def get(values: Array[V], i: Int): Double

  def set(values: Array[V], i: Int, value: Double): Unit

  /** The values of a tensor, rounded to `V` if need be; never its own array. */
  def values(tensor: Tensor): Array[V]

  /** A tensor of those values, which it keeps. */
  def tensor(values: Array[V], shape: Int*): Tensor

  /** `total += terms`; a sum of two floats is exact in double precision, so rounding it once is float's own sum. */
  final def add(total: Array[V], terms: Array[V]): Unit = {
    var i = 0
    while (i < total.length) {
      set(total, i, get(total, i) + get(terms, i))
      i += 1
    }
  }

  /** `from -= terms`. */
  final def subtract(from: Array[V], terms: Array[V]): Unit = {
    var i = 0
    while (i < from.length) {
      set(from, i, get(from, i) - get(terms, i))
      i += 1
    }
  }

  /** Moves both moments on, and turns the gradient into step m / (sqrt(v) + epsilon). */
  def adam(gradient: Array[V], m: Array[V], v: Array[V], step: Double, epsilon: Double): Unit

  /** A Breeze product; of two transposed matrices it is in column-major order. */
  protected def product(a: DenseMatrix[V], b: DenseMatrix[V]): DenseMatrix[V]

  /** a (m, k), b (k, n) -> (m, n) in C order: (b^T a^T)^T, since Breeze's products are column-major. */
  final def times(a: DenseMatrix[V], b: DenseMatrix[V]): DenseMatrix[V] = product(b.t, a.t).t

  /** The matrix of those values, not copied. */
  final def matrix(values: Array[V], rows: Int, cols: Int, offset: Int = 0): DenseMatrix[V] =
    new DenseMatrix(rows, cols, values, offset, cols, isTranspose = true)

  /** `a` itself, with f of each of its elements in their place: for a matrix that nobody else has yet. */
  @inline final def mapInPlace(a: DenseMatrix[V])(f: Double => Double): DenseMatrix[V] = {
    val values = elements(a)
    var i = 0
    while (i < values.length) {
      set(values, i, f(get(values, i)))
      i += 1
    }
    matrix(values, a.rows, a.cols)
  }

  @inline final def map(a: DenseMatrix[V])(f: Double => Double): DenseMatrix[V] = {
    val (of, result) = (elements(a), zeros(a.size))
    var i = 0
    while (i < result.length) {
      set(result, i, f(get(of, i)))
      i += 1
    }
    matrix(result, a.rows, a.cols)
  }

  @inline final def zip(a: DenseMatrix[V], b: DenseMatrix[V])(f: (Double, Double) => Double): DenseMatrix[V] = {
    require(a.rows == b.rows && a.cols == b.cols, s"b: got ${shape(b)}; expected the shape of a, ${shape(a)}")
    val (left, right, result) = (elements(a), elements(b), zeros(a.size))
    var i = 0
    while (i < result.length) {
      set(result, i, f(get(left, i), get(right, i)))
      i += 1
    }
    matrix(result, a.rows, a.cols)
  }

  /** f of the elements of two matrices, summed over each row: (rows,). */
  @inline final def sumOfColumns(a: DenseMatrix[V], b: DenseMatrix[V])(f: (Double, Double) => Double): Array[V] = {
    require(a.rows == b.rows && a.cols == b.cols, s"b: got ${shape(b)}; expected the shape of a, ${shape(a)}")
    val (left, right, sums) = (elements(a), elements(b), zeros(a.rows))
    var (row, i) = (0, 0)
    while (row < a.rows) {
      var sum = 0.0
      while (i < (row + 1) * a.cols) {
        sum += f(get(left, i), get(right, i))
        i += 1
      }
      set(sums, row, sum)
      row += 1
    }
    sums
  }

  /** `a` itself, with a row (cols,) added to each of its rows: for a matrix that nobody else has yet. */
  final def addRowInPlace(a: DenseMatrix[V], row: Array[V]): DenseMatrix[V] = {
    val values = elements(a)
    var i = 0
    while (i < values.length) {
      var col = 0
      while (col < a.cols) {
        set(values, i, get(values, i) + get(row, col))
        col += 1
        i += 1
      }
    }
    matrix(values, a.rows, a.cols)
  }

  /** The sum of all rows, (cols,), in double precision until it is whole. */
  final def sumOfRows(a: DenseMatrix[V]): Array[V] = {
    val (of, sums, result) = (elements(a), new Array[Double](a.cols), zeros(a.cols))
    var i = 0
    while (i < of.length) {
      var col = 0
      while (col < a.cols) {
        sums(col) += get(of, i)
        col += 1
        i += 1
      }
    }
    for (col <- sums.indices) set(result, col, sums(col))
    result
  }

  /** The elements of a matrix that is whole and in C order, not copied; of any other, a copy in C order. */
  final def elements(a: DenseMatrix[V]): Array[V] =
    if (a.isTranspose && a.offset == 0 && a.majorStride == a.cols && a.data.length == a.size) a.data
    else {
      val copy = zeros(a.size)
      for (row <- 0 until a.rows; col <- 0 until a.cols) set(copy, row * a.cols + col, toDouble(a(row, col)))
      copy
    }

  protected def toDouble(value: V): Double

  private def shape(a: DenseMatrix[V]) = s"(${a.rows}, ${a.cols})"
}

object Precision {

  /** float32. */
  implicit case object Float32 extends Precision[Float]("float32") {
    override def get(values: Array[Float], i: Int): Double = values(i).toDouble
    override def set(values: Array[Float], i: Int, value: Double): Unit = values(i) = value.toFloat
    override def values(tensor: Tensor): Array[Float] = tensor.floats.clone
    override def tensor(values: Array[Float], shape: Int*): Tensor = Tensor.of(values, shape: _*)
    override def adam(gradient: Array[Float], m: Array[Float], v: Array[Float], step: Double, epsilon: Double): Unit =
      AdamLoop.update(FloatBuffer.wrap(gradient), FloatBuffer.wrap(m), FloatBuffer.wrap(v), step.toFloat, epsilon.toFloat)
    override protected def product(a: DenseMatrix[Float], b: DenseMatrix[Float]): DenseMatrix[Float] = a * b
    override protected def toDouble(value: Float): Double = value.toDouble
  }

  /** float64. */
  implicit case object Float64 extends Precision[Double]("float64") {
    override def get(values: Array[Double], i: Int): Double = values(i)
    override def set(values: Array[Double], i: Int, value: Double): Unit = values(i) = value
    override def values(tensor: Tensor): Array[Double] = tensor.doubles.clone
    override def tensor(values: Array[Double], shape: Int*): Tensor = Tensor.of(values, shape: _*)
    override def adam(gradient: Array[Double], m: Array[Double], v: Array[Double], step: Double, epsilon: Double): Unit =
      AdamLoop.update(DoubleBuffer.wrap(gradient), DoubleBuffer.wrap(m), DoubleBuffer.wrap(v), step, epsilon)
    override protected def product(a: DenseMatrix[Double], b: DenseMatrix[Double]): DenseMatrix[Double] = a * b
    override protected def toDouble(value: Double): Double = value
  }

  val All: Seq[Precision[_]] = Seq(Float32, Float64)

  /** @throws IllegalArgumentException there is none of that name */
  def of(dtype: String): Precision[_] = {
    Checks.oneOf("dtype", dtype, All.map(_.dtype).asJava)
    All.find(_.dtype == dtype).get
  }
}
