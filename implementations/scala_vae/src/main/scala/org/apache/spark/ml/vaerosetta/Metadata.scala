package org.apache.spark.ml.vaerosetta

import org.apache.spark.ml.param.Params
import org.apache.spark.ml.util.{DefaultParamsReader, DefaultParamsWriter}
import org.apache.spark.sql.SparkSession

/**
 * Spark's own writer and reader of a stage's metadata and params. Spark keeps them to its own packages, which is why this
 * lies in one; the libraries of others do the same.
 */
object Metadata {
  def write(instance: Params, path: String, session: SparkSession): Unit =
    DefaultParamsWriter.saveMetadata(instance, path, session)

  /** The instance that `create` makes of the uid, with its params. */
  def read[T <: Params](path: String, session: SparkSession, className: String)(create: String => T): T = {
    val metadata = DefaultParamsReader.loadMetadata(path, session, className)
    val instance = create(metadata.uid)
    metadata.getAndSetParams(instance)
    instance
  }
}
