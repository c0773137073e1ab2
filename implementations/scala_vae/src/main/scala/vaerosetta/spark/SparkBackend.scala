package vaerosetta.spark

import java.util.{LinkedHashMap, Map => JMap}

import scala.jdk.CollectionConverters._

import breeze.linalg.DenseMatrix
import breeze.stats.distributions.RandBasis
import dev.ludovic.netlib.blas.BLAS
import org.apache.commons.math3.random.MersenneTwister
import org.apache.spark.{SPARK_VERSION, SparkConf, SparkContext}
import vaerosetta.{Backend, Model, Sizes, Tensor}

/** The contract around [[Network]] and [[Training]]: tensors in, tensors out. Spark itself runs from the first training. */
final class SparkBackend extends Backend {

  override def describe(): JMap[String, String] = {
    val about = new LinkedHashMap[String, String]
    about.put("framework", "spark")
    about.put("version", SPARK_VERSION)
    about.put("device", "cpu")
    about.put("precision", s"products in the model's dtype, by Breeze on ${BLAS.getInstance.getClass.getSimpleName}")
    about.put("threads", SparkBackend.Threads.toString)
    about
  }

  override def load(params: JMap[String, Tensor], sizes: Sizes, dtype: String): Model =
    loadIn(params, sizes, Precision.of(dtype))

  private def loadIn[V](params: JMap[String, Tensor], sizes: Sizes, precision: Precision[V]): Model = {
    implicit val p: Precision[V] = precision
    val places = new Parameters(sizes)
    new SparkModel(sizes, places.array(params), Adam.zero[V](places.count))
  }
}

object SparkBackend {
  private val Threads = Runtime.getRuntime.availableProcessors

  /** Spark in this process: no pages to look at, no network but loopback. */
  private[spark] lazy val context: SparkContext = new SparkContext(
    new SparkConf()
      .setMaster(s"local[$Threads]")
      .setAppName("vae-rosetta")
      .set("spark.driver.host", "127.0.0.1")
      .set("spark.driver.bindAddress", "127.0.0.1")
      .set("spark.ui.enabled", "false")
      .set("spark.ui.showConsoleProgress", "false")
      .setAll(Fast))

  /** Settings that make a step faster: parameters and gradients are noise to a compressor, and larger than a message. */
  private[spark] val Fast: Seq[(String, String)] = Seq(
    "spark.broadcast.compress" -> "false",
    "spark.broadcast.blockSize" -> "16m",
    "spark.task.maxDirectResultSize" -> "64m")
}

private final class SparkModel[V](sizes: Sizes, start: Array[V], startAdam: Adam[V])(implicit p: Precision[V])
    extends Model {
  private val places = new Parameters(sizes)
  private var parameters = start
  private var adam = startAdam

  override def encode(x: Tensor): Model.Posterior = {
    val (mu, logvar) = network.encoder.encode(matrix(x))
    new Model.Posterior(tensor(mu), tensor(logvar))
  }

  override def reparameterize(mu: Tensor, logvar: Tensor, noise: Tensor): Tensor =
    tensor(network.reparameterize(matrix(mu), matrix(logvar), Some(matrix(noise))))

  override def decode(z: Tensor): Tensor = tensor(network.decoder.decode(matrix(z)))

  override def losses(x: Tensor, noise: Tensor): Model.Losses = {
    val (reconstruction, kl) = network.negativeElbo(matrix(x), Some(matrix(noise)))
    new Model.Losses(p.tensor(reconstruction, reconstruction.length), p.tensor(kl, kl.length))
  }

  override def lossOnProbabilities(reconX: Tensor, x: Tensor, mu: Tensor, logvar: Tensor): Tensor =
    scalar(Network.lossFunction(matrix(reconX), matrix(x), matrix(mu), matrix(logvar)))

  override def gradients(x: Tensor, noise: Tensor): JMap[String, Tensor] =
    places.tensors(Gradients(network, matrix(x), matrix(noise)).values).asJava

  override def train(x: Tensor, order: Tensor, noise: Tensor): Tensor = {
    val context = SparkBackend.context
    val blocks = Images.local(context, matrix(x), context.defaultParallelism)
    try {
      val training = new Training(blocks, sizes, parameters, adam)
      val (steps, rows, all) = (order.shape()(0), order.shape()(1), noise.doubles)
      val objectives = p.zeros(steps)
      for (k <- 0 until steps) {
        val images = order.longs.slice(k * rows, (k + 1) * rows).map(_.toInt)
        val own = all.slice(k * rows * sizes.latentDim, (k + 1) * rows * sizes.latentDim)
        p.set(objectives, k, training.step(Batch(images, GivenNoise(own, sizes.latentDim))))
      }
      parameters = training.parameters
      p.tensor(objectives, steps)
    } finally blocks.unpersist()
  }

  override def state(): JMap[String, Tensor] = {
    val moments = places.tensors(adam.m, "adam.m.") ++ places.tensors(adam.v, "adam.v.")
    (places.tensors(parameters) ++ moments + ("adam.step" -> Tensor.of(Array(adam.steps)))).asJava
  }

  override def loadState(state: JMap[String, Tensor]): Unit = {
    parameters = places.array(state)
    adam = new Adam(places.array(state, "adam.m."), places.array(state, "adam.v."), state.get("adam.step").longs.head)
  }

  override def sample(x: Tensor, seed: Long): Tensor = {
    val (mu, logvar) = network.encoder.encode(matrix(x))
    tensor(network.reparameterize(mu, logvar, Some(normal(mu.rows, seed))))
  }

  override def generate(n: Int, seed: Long): Tensor = tensor(network.generate(normal(n, seed)))

  private def network = new Network(sizes, parameters)

  private def normal(rows: Int, seed: Long): DenseMatrix[V] =
    Network.normal(rows, sizes.latentDim, new RandBasis(new MersenneTwister(seed)))

  private def matrix(tensor: Tensor): DenseMatrix[V] = p.matrix(p.values(tensor), tensor.shape()(0), tensor.shape()(1))

  private def tensor(matrix: DenseMatrix[V]): Tensor = p.tensor(p.elements(matrix), matrix.rows, matrix.cols)

  private def scalar(value: Double): Tensor = {
    val one = p.zeros(1)
    p.set(one, 0, value)
    p.tensor(one)
  }
}
