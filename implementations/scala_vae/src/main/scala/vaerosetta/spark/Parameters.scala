package vaerosetta.spark

import java.util.{Map => JMap}

import scala.collection.immutable.VectorMap
import scala.jdk.CollectionConverters._

import vaerosetta.{Sizes, Tensor}

/** Where each parameter lies in the one array of them all: canonical order, side by side. Gradients and moments too. */
final class Parameters(sizes: Sizes) {
  private val places: VectorMap[String, Parameters.Place] = {
    val shapes = sizes.shapes.asScala.toVector
    val offsets = shapes.map(_._2.product).scanLeft(0)(_ + _)
    VectorMap.from(shapes.zip(offsets).map { case ((name, shape), offset) =>
      name -> Parameters.Place(offset, shape.toVector)
    })
  }

  /** How many numbers all parameters are. */
  val count: Int = places.values.map(_.count).sum

  /** The place of the parameter of that canonical name. */
  def apply(name: String): Parameters.Place = places(name)

  /** Copies of all, as tensors under their names. */
  def tensors[V](values: Array[V], prefix: String = "")(implicit p: Precision[V]): VectorMap[String, Tensor] =
    places.map { case (name, place) =>
      val own = p.zeros(place.count)
      System.arraycopy(values, place.offset, own, 0, place.count)
      (prefix + name) -> p.tensor(own, place.shape: _*)
    }

  /** Tensors under their names, in canonical order. */
  def ordered(tensors: Map[String, Tensor]): JMap[String, Tensor] =
    places.map { case (name, _) => name -> tensors(name) }.asJava

  /** The array of all, from tensors under their names, which have been checked. */
  def array[V](tensors: JMap[String, Tensor], prefix: String = "")(implicit p: Precision[V]): Array[V] = {
    val values = p.zeros(count)
    for ((name, place) <- places)
      System.arraycopy(p.values(tensors.get(prefix + name)), 0, values, place.offset, place.count)
    values
  }
}

object Parameters {
  final case class Place(offset: Int, shape: Vector[Int]) {
    def count: Int = shape.product
  }
}
