package vaerosetta.spark

import org.apache.spark.ml.Estimator
import org.apache.spark.ml.param._
import org.apache.spark.ml.param.shared._
import org.apache.spark.ml.util._
import org.apache.spark.rdd.RDD
import org.apache.spark.sql.{DataFrame, Dataset}
import org.apache.spark.sql.functions.col
import org.apache.spark.sql.types._
import org.apache.spark.ml.linalg.SQLDataTypes
import vaerosetta.{Checks, PortableStream, Sizes}

/** Params for [[VAE]] and [[VAEModel]]. */
private[spark] trait VAEParams extends Params with HasFeaturesCol {

  /** @group param */
  final val inputDim: IntParam = count("inputDim", "pixels of an image")

  /** @group param */
  final val hiddenDim: IntParam = count("hiddenDim", "hidden units of encoder and decoder")

  /** @group param */
  final val latentDim: IntParam = count("latentDim", "latents")

  /** @group param */
  final val dtype: Param[String] =
    new Param[String](this, "dtype", "what to compute in: float32 or float64", (value: String) => {
      Precision.of(value)
      true
    })

  /** @group param */
  final val muCol: Param[String] = output("muCol", "the means of q(z|x), a vector (L)")

  /** @group param */
  final val logvarCol: Param[String] = output("logvarCol", "the log-variances of q(z|x), a vector (L)")

  /** @group param */
  final val scoreCol: Param[String] =
    output("scoreCol", "an anomaly score: the cross-entropy in nats of the image with what the mean decodes to")

  setDefault(
    hiddenDim -> Sizes.CLASSIC.hiddenDim,
    dtype -> Precision.Float32.dtype,
    featuresCol -> "features",
    muCol -> "mu",
    logvarCol -> "logvar",
    scoreCol -> "score")

  /** @group getParam */
  def getInputDim: Int = $(inputDim)

  /** @group getParam */
  def getHiddenDim: Int = $(hiddenDim)

  /** @group getParam */
  def getLatentDim: Int = $(latentDim)

  /** @group getParam */
  def getDtype: String = $(dtype)

  /** @group getParam */
  def getMuCol: String = $(muCol)

  /** @group getParam */
  def getLogvarCol: String = $(logvarCol)

  /** @group getParam */
  def getScoreCol: String = $(scoreCol)

  protected def sizes: Sizes = new Sizes($(inputDim), $(hiddenDim), $(latentDim))

  /** A param that is a whole number, 1 or more. */
  protected def count(name: String, doc: String, least: Int = 1): IntParam =
    new IntParam(this, name, s"$doc (>= $least)", (value: Int) => Checks.count(name, value, least) == value)

  private def output(name: String, what: String): Param[String] =
    new Param[String](this, name, s"output column: $what; none if empty")

  protected def validateAndTransformSchema(schema: StructType): StructType = {
    schema($(featuresCol)).dataType match {
      case SQLDataTypes.VectorType | ArrayType(_: NumericType, _) =>
      case other => throw Checks.refusal(s"column '${$(featuresCol)}'", other.simpleString, "vectors or arrays of numbers")
    }
    val added = outputs
    for (field <- added if schema.fieldNames.contains(field.name))
      throw Checks.refusal(s"column '${field.name}'", "a column that the data have already", "a new one")
    StructType(schema.fields ++ added)
  }

  /** The columns that `transform` adds. */
  protected def outputs: Seq[StructField] = {
    import org.apache.spark.ml.attribute.AttributeGroup
    val latents = Seq($(muCol), $(logvarCol)).filter(_.nonEmpty).map(new AttributeGroup(_, $(latentDim)).toStructField())
    latents ++ Seq($(scoreCol)).filter(_.nonEmpty).map(StructField(_, DoubleType, nullable = false))
  }
}

/**
 * The classic variational autoencoder (Kingma & Welling 2014): pixels in [0, 1] - hidden units - latents - hidden units -
 * logits of Bernoulli pixels.
 *
 * `fit` minimises the negative ELBO by Adam, distributed: see [[Training]]. The same seed, data and settings give the same
 * curve on any number of partitions and workers, up to the rounding of sums, and the one that the other ports give.
 *
 * {{{
 *   val model = new VAE(784, 20).setEpochs(10).train(images) // a column `features` of vectors or arrays
 *   model.transform(images).select("mu", "logvar", "score")
 * }}}
 */
class VAE(override val uid: String) extends Estimator[VAEModel] with VAEParams with HasSeed with DefaultParamsWritable {

  /** D pixels to L latents. */
  def this(inputDim: Int, latentDim: Int) = {
    this(Identifiable.randomUID("vae"))
    setInputDim(inputDim)
    setLatentDim(latentDim)
  }

  def this() = this(Sizes.CLASSIC.inputDim, Sizes.CLASSIC.latentDim)

  /** @group param */
  final val epochs: IntParam = count("epochs", "passes over the images")

  /** @group param */
  final val batchSize: IntParam = count("batchSize", "images of a step; the last of an epoch may have fewer")

  /** @group param */
  final val partitions: IntParam = count("partitions", "parts that the images are kept in; 0: Spark's default", least = 0)

  /** @group param */
  final val orderCol: Param[String] = new Param[String](
    this,
    "orderCol",
    "input column that numbers the images by its order; if empty, they are taken as the data frame's rows come")

  setDefault(seed -> 0L, epochs -> 10, batchSize -> 128, partitions -> 0, orderCol -> "")

  /** @group getParam */
  def getEpochs: Int = $(epochs)

  /** @group getParam */
  def getBatchSize: Int = $(batchSize)

  /** @group getParam */
  def getPartitions: Int = $(partitions)

  /** @group getParam */
  def getOrderCol: String = $(orderCol)

  /** @group setParam */
  def setInputDim(value: Int): this.type = set(inputDim, value)

  /** @group setParam */
  def setHiddenDim(value: Int): this.type = set(hiddenDim, value)

  /** @group setParam */
  def setLatentDim(value: Int): this.type = set(latentDim, value)

  /** Unsigned: of initial weights, order and noise. @group setParam */
  def setSeed(value: Long): this.type = set(seed, value)

  /** @group setParam */
  def setEpochs(value: Int): this.type = set(epochs, value)

  /** @group setParam */
  def setBatchSize(value: Int): this.type = set(batchSize, value)

  /** @group setParam */
  def setDtype(value: String): this.type = set(dtype, value)

  /** @group setParam */
  def setPartitions(value: Int): this.type = set(partitions, value)

  /** @group setParam */
  def setFeaturesCol(value: String): this.type = set(featuresCol, value)

  /** @group setParam */
  def setOrderCol(value: String): this.type = set(orderCol, value)

  /** @group setParam */
  def setMuCol(value: String): this.type = set(muCol, value)

  /** @group setParam */
  def setLogvarCol(value: String): this.type = set(logvarCol, value)

  /** @group setParam */
  def setScoreCol(value: String): this.type = set(scoreCol, value)

  /** The encoder before training: its weights are drawn from the seed. */
  def encoder: Encoder[Double] = initial[Double].encoder

  /** The decoder before training. */
  def decoder: Decoder[Double] = initial[Double].decoder

  /** What `fit` does. */
  def train(data: DataFrame): VAEModel = fit(data)

  /** @throws IllegalArgumentException there are no images, or some are not `inputDim` pixels in [0, 1] */
  override def fit(dataset: Dataset[_]): VAEModel = {
    transformSchema(dataset.schema, logging = true)
    fitIn(dataset, Precision.of($(dtype)))
  }

  private def fitIn[V](dataset: Dataset[_], precision: Precision[V]): VAEModel = {
    implicit val p: Precision[V] = precision
    val ordered = if ($(orderCol).isEmpty) dataset else dataset.orderBy($(orderCol))
    val values: RDD[Any] = ordered.select(col($(featuresCol))).toDF().rdd.map(_.get(0))
    val parts = if ($(partitions) > 0) $(partitions) else values.sparkContext.defaultParallelism
    val blocks = Images.distributed(values, $(inputDim), parts, $(featuresCol))
    try {
      val images = blocks.map(_.images.rows).sum().toInt
      val places = new Parameters(sizes)
      val training = new Training(blocks, sizes, initial[V].parameters, Adam.zero[V](places.count))
      val objectives = (0 until $(epochs)).map(training.epoch(images, $(batchSize), $(seed), _))
      val model = new VAEModel(uid, places.tensors(training.parameters), Some(VAESummary(images, objectives)))
      copyValues(model.setParent(this))
    } finally blocks.unpersist()
  }

  private def initial[V](implicit p: Precision[V]): Network[V] =
    new Network(sizes, new Parameters(sizes).array(PortableStream.initialParameters($(seed), sizes)))

  override def transformSchema(schema: StructType): StructType = validateAndTransformSchema(schema)

  override def copy(extra: ParamMap): VAE = defaultCopy(extra)
}

object VAE extends DefaultParamsReadable[VAE] {
  override def load(path: String): VAE = super.load(path)
}
