package vaerosetta.spark

import java.nio.file.{Files, Path => LocalPath}

import scala.jdk.CollectionConverters._

import breeze.linalg.DenseMatrix
import org.apache.hadoop.fs.{FileSystem, Path}
import org.apache.spark.ml.Model
import org.apache.spark.ml.linalg.Vectors
import org.apache.spark.ml.param.ParamMap
import org.apache.spark.ml.util._
import org.apache.spark.ml.vaerosetta.Metadata
import org.apache.spark.sql.{DataFrame, Dataset, Encoders, Row}
import org.apache.spark.sql.types.StructType
import vaerosetta.{Checks, SafeTensors, Tensor}

/**
 * How training went.
 *
 * @param images how many it had
 * @param stepObjectives of each epoch, the objective of each step: summed over its batch, in nats, before its update
 */
final case class VAESummary(images: Int, stepObjectives: Seq[Array[Double]]) {

  /** Of each epoch, the average objective of an image in nats. */
  def objectives: Seq[Double] = stepObjectives.map(_.sum / images)
}

/**
 * A [[VAE]] that has been trained. `transform` adds the means and log-variances of q(z|x), and a score.
 *
 * The score is what `vae score` calls `reconstruction-at-mean`: -log p(x|z) at z = mu, in nats. It draws no noise, so that
 * an image has the same score wherever its row is.
 *
 * @param parameters under their canonical names, (out, in)
 */
class VAEModel private[spark] (
    override val uid: String,
    val parameters: Map[String, Tensor],
    trained: Option[VAESummary])
    extends Model[VAEModel]
    with VAEParams
    with MLWritable {

  /** @group setParam */
  def setFeaturesCol(value: String): this.type = set(featuresCol, value)

  /** @group setParam */
  def setMuCol(value: String): this.type = set(muCol, value)

  /** @group setParam */
  def setLogvarCol(value: String): this.type = set(logvarCol, value)

  /** @group setParam */
  def setScoreCol(value: String): this.type = set(scoreCol, value)

  /** Its networks, in float64. */
  lazy val network: Network[Double] = networkIn[Double]

  def encoder: Encoder[Double] = network.encoder

  def decoder: Decoder[Double] = network.decoder

  /** Whether `summary` is there: it is not saved. */
  def hasSummary: Boolean = trained.isDefined

  /** @throws IllegalStateException the model was not trained here, but loaded */
  def summary: VAESummary = trained.getOrElse(throw new IllegalStateException(s"$uid has no summary: it was loaded"))

  override def transform(dataset: Dataset[_]): DataFrame = {
    val schema = transformSchema(dataset.schema, logging = true)
    transformIn(dataset.toDF(), schema, Precision.of($(dtype)))
  }

  private def transformIn[V](data: DataFrame, schema: StructType, precision: Precision[V]): DataFrame = {
    implicit val p: Precision[V] = precision
    import p.tag
    val (own, column, at) = (sizes, $(featuresCol), data.schema.fieldIndex($(featuresCol)))
    val wanted = Seq($(muCol), $(logvarCol), $(scoreCol)).map(_.nonEmpty)
    val sent = data.sparkSession.sparkContext.broadcast(networkIn[V].parameters)
    data.mapPartitions { rows =>
      lazy val network = new Network(own, sent.value)
      rows.grouped(VAEModel.Rows).flatMap { batch =>
        val x = p.zeros(batch.length * own.inputDim)
        for ((row, i) <- batch.zipWithIndex) {
          val pixels = Images.pixels(row.get(at), own.inputDim, column)
          for (d <- pixels.indices) p.set(x, i * own.inputDim + d, pixels(d))
        }
        val images = p.matrix(x, batch.length, own.inputDim) // (B, D)
        val (mu, logvar) = network.encoder.encode(images) // (B, L)
        def latents(of: DenseMatrix[V])(i: Int): Any =
          Vectors.dense(Array.tabulate(own.latentDim)(j => p.get(p.elements(of), i * own.latentDim + j)))
        lazy val scores = Network.crossEntropy(network.decoder.decode(mu), images) // (B,)
        val all = Seq[Int => Any](latents(mu), latents(logvar), p.get(scores, _))
        val added = all.zip(wanted).collect { case (of, true) => of }
        batch.zipWithIndex.map { case (row, i) => Row.fromSeq(row.toSeq ++ added.map(_(i))) }
      }
    }(Encoders.row(schema)).to(schema) // with the columns' metadata, which an encoder of rows drops
  }

  private def networkIn[V](implicit p: Precision[V]): Network[V] =
    new Network(sizes, new Parameters(sizes).array(parameters.asJava))

  override def transformSchema(schema: StructType): StructType = validateAndTransformSchema(schema)

  override def copy(extra: ParamMap): VAEModel =
    copyValues(new VAEModel(uid, parameters, trained), extra).setParent(parent)

  /** Writes Spark's metadata and, beside them, `weights.safetensors`, which every port reads. */
  override def write: MLWriter = new VAEModel.Writer(this)

  override def toString: String = s"VAEModel: uid=$uid, inputDim=${$(inputDim)}, latentDim=${$(latentDim)}"
}

object VAEModel extends MLReadable[VAEModel] {
  private val Rows = 256 // encoded together: a product of matrices is several times as fast as one for each row
  private val Weights = "weights.safetensors"

  /**
   * A model with the weights of any port, from a safetensors file on this machine. It computes in their dtype.
   *
   * @throws java.io.IOException the file cannot be read
   * @throws IllegalArgumentException it does not hold the parameters of a VAE
   */
  def ofWeights(file: LocalPath): VAEModel = {
    val tensors = SafeTensors.read(file).tensors
    val sizes = Checks.parameters(tensors)
    val double = tensors.values.asScala.exists(_.dtype == "F64")
    val precision: Precision[_] = if (double) Precision.Float64 else Precision.Float32
    val model = new VAEModel(Identifiable.randomUID("vae"), tensors.asScala.toMap, None)
    model
      .set(model.inputDim, sizes.inputDim)
      .set(model.hiddenDim, sizes.hiddenDim)
      .set(model.latentDim, sizes.latentDim)
      .set(model.dtype, precision.dtype)
  }

  override def read: MLReader[VAEModel] = new Reader

  override def load(path: String): VAEModel = super.load(path)

  private class Writer(model: VAEModel) extends MLWriter {
    override protected def saveImpl(path: String): Unit = {
      Metadata.write(model, path, sparkSession)
      temporarily { file =>
        val ordered = new Parameters(model.sizes).ordered(model.parameters)
        SafeTensors.write(file, ordered, java.util.Map.of())
        val to = new Path(path, Weights)
        files(to).copyFromLocalFile(false, true, new Path(file.toUri), to)
      }
    }

    private def files(path: Path): FileSystem = path.getFileSystem(sparkSession.sessionState.newHadoopConf())
  }

  private class Reader extends MLReader[VAEModel] {
    override def load(path: String): VAEModel = temporarily { file =>
      val from = new Path(path, Weights)
      val files = from.getFileSystem(sparkSession.sessionState.newHadoopConf())
      files.copyToLocalFile(false, from, new Path(file.toUri), true)
      val weights = ofWeights(file)
      Metadata.read(path, sparkSession, classOf[VAEModel].getName)(new VAEModel(_, weights.parameters, None))
    }
  }

  /** Safetensors files are written and read on this machine; Hadoop brings them to where models are kept. */
  private def temporarily[T](use: LocalPath => T): T = {
    val folder = Files.createTempDirectory("vae")
    val file = folder.resolve(Weights)
    try use(file)
    finally {
      Files.deleteIfExists(file)
      Files.deleteIfExists(folder)
    }
  }
}
