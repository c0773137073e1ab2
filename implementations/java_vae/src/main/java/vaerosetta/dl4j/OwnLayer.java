package vaerosetta.dl4j;

import java.io.IOException;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.stream.IntStream;
import org.deeplearning4j.nn.conf.NeuralNetConfiguration;
import org.deeplearning4j.nn.conf.layers.variational.BernoulliReconstructionDistribution;
import org.deeplearning4j.nn.conf.layers.variational.VariationalAutoencoder;
import org.deeplearning4j.nn.multilayer.MultiLayerNetwork;
import org.deeplearning4j.nn.updater.LayerUpdater;
import org.deeplearning4j.nn.updater.UpdaterBlock;
import org.deeplearning4j.nn.weights.WeightInit;
import org.deeplearning4j.nn.workspace.LayerWorkspaceMgr;
import org.nd4j.linalg.activations.Activation;
import org.nd4j.linalg.api.buffer.DataType;
import org.nd4j.linalg.api.memory.conf.WorkspaceConfiguration;
import org.nd4j.linalg.api.memory.enums.AllocationPolicy;
import org.nd4j.linalg.api.memory.enums.LearningPolicy;
import org.nd4j.linalg.api.memory.enums.ResetPolicy;
import org.nd4j.linalg.api.memory.enums.SpillPolicy;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.factory.Nd4j;
import org.nd4j.linalg.indexing.NDArrayIndex;
import org.nd4j.linalg.learning.config.Adam;
import org.nd4j.linalg.ops.transforms.Transforms;
import vaerosetta.Backend;
import vaerosetta.Model;
import vaerosetta.Server;
import vaerosetta.Sizes;
import vaerosetta.Tensor;

/**
 * Deeplearning4j's own {@code VariationalAutoencoder} layer, as a program to be graded: what of it is not the
 * specification. It is evidence for README.md, and no port.
 *
 * <p>It is set up as near to the specification as its options allow: Bernoulli on a sigmoid (its default is a Gaussian
 * on tanh), relu, no division by the batch's size, ND4J's Adam. Its gradients and its training draw their noise inside:
 * what a request gives is not used there, because there is nowhere to give it. What it computes only within a step
 * (logvar, z, the KL) is written here as the layer writes it. ND4J's threads are as it sets them itself.
 */
public final class OwnLayer implements Backend {
  /** @throws IOException a request cannot be read or a response not written */
  public static void main(String[] args) throws IOException {
    Server.run(new OwnLayer(), args);
  }

  @Override
  public Map<String, String> describe() {
    return Dl4jBackend.describe("dl4j-own-layer");
  }

  @Override
  public Model load(Map<String, Tensor> params, Sizes sizes, String dtype) {
    return new Loaded(params, sizes, dtype.equals("float64") ? DataType.DOUBLE : DataType.FLOAT);
  }

  private static final class Loaded implements Model {
    private static final LayerWorkspaceMgr NONE = LayerWorkspaceMgr.noWorkspaces();
    private static final WorkspaceConfiguration MEMORY =
        WorkspaceConfiguration.builder()
            .overallocationLimit(0.02)
            .policyLearning(LearningPolicy.OVER_TIME)
            .cyclesBeforeInitialization(2)
            .policyReset(ResetPolicy.BLOCK_LEFT)
            .policySpill(SpillPolicy.REALLOCATE)
            .policyAllocation(AllocationPolicy.OVERALLOCATE)
            .build();
    private final BernoulliReconstructionDistribution bernoulli =
        new BernoulliReconstructionDistribution(Activation.SIGMOID);
    private final Sizes sizes;
    private final DataType dtype;
    private final org.deeplearning4j.nn.layers.variational.VariationalAutoencoder layer;
    private final LayerUpdater updater;
    private int steps;

    Loaded(Map<String, Tensor> params, Sizes sizes, DataType dtype) {
      this.sizes = sizes;
      this.dtype = dtype;
      var network =
          new MultiLayerNetwork(
              new NeuralNetConfiguration.Builder()
                  .dataType(dtype)
                  .weightInit(WeightInit.UNIFORM)
                  .activation(Activation.RELU)
                  .updater(new Adam())
                  .miniBatch(false)
                  .list(
                      new VariationalAutoencoder.Builder()
                          .nIn(sizes.inputDim())
                          .nOut(sizes.latentDim())
                          .encoderLayerSizes(sizes.hiddenDim())
                          .decoderLayerSizes(sizes.hiddenDim())
                          .pzxActivationFunction(Activation.IDENTITY)
                          .reconstructionDistribution(bernoulli)
                          .build())
                  .build());
      network.init();
      network.initGradientsView();
      layer = (org.deeplearning4j.nn.layers.variational.VariationalAutoencoder) network.getLayer(0);
      updater = new LayerUpdater(layer); // what layer.fit uses
      put("", params, layer.params());
    }

    @Override
    public Posterior encode(Tensor x) {
      var images = array(x);
      return new Posterior(tensor(mu(images)), tensor(logvar(images)));
    }

    @Override
    public Tensor reparameterize(Tensor mu, Tensor logvar, Tensor noise) {
      return tensor(reparameterize(array(mu), array(logvar), array(noise)));
    }

    @Override
    public Tensor decode(Tensor z) {
      return tensor(logits(array(z)));
    }

    @Override
    public Losses losses(Tensor x, Tensor noise) {
      var images = array(x);
      var mu = mu(images);
      var logvar = logvar(images);
      var logits = logits(reparameterize(mu, logvar, array(noise)));
      int rows = x.shape()[0];
      return new Losses(
          Tensors.tensor(bernoulli.exampleNegLogProbability(images, logits), rows),
          Tensors.tensor(kl(mu, logvar), rows));
    }

    @Override
    public Tensor lossOnProbabilities(Tensor reconX, Tensor x, Tensor mu, Tensor logvar) {
      var identity = new BernoulliReconstructionDistribution(Activation.IDENTITY);
      double reconstruction = identity.negLogProbability(array(x), array(reconX), false);
      double kl = kl(array(mu), array(logvar)).sumNumber().doubleValue();
      return Tensors.tensor(new double[] {reconstruction + kl}, dtype);
    }

    @Override
    public Map<String, Tensor> gradients(Tensor x, Tensor noise) {
      score(array(x));
      return get("", layer.getGradientsViewArray());
    }

    @Override
    public Tensor train(Tensor x, Tensor order, Tensor noise) {
      int rows = order.shape()[1];
      var images = array(x);
      var objectives = new double[order.shape()[0]]; // (K,)
      for (int k = 0; k < objectives.length; k++) {
        int start = k * rows;
        int[] chosen = IntStream.range(start, start + rows).map(i -> (int) order.longs()[i]).toArray();
        objectives[k] = step(Nd4j.pullRows(images, 1, chosen)) * rows;
      }
      return Tensors.tensor(objectives, dtype, objectives.length);
    }

    @Override
    public Map<String, Tensor> state() {
      var state = get("", layer.params());
      state.putAll(get("adam.m.", moment(0)));
      state.putAll(get("adam.v.", moment(1)));
      state.put("adam.step", Tensor.of(new long[] {steps}));
      return state;
    }

    @Override
    public void loadState(Map<String, Tensor> state) {
      put("", state, layer.params());
      for (int half = 0; half < 2; half++) {
        var moment = moment(half);
        put(half == 0 ? "adam.m." : "adam.v.", state, moment);
        for (var block : updater.getUpdaterBlocks()) {
          half(block, half).assign(moment.get(span(block)));
        }
      }
      steps = (int) state.get("adam.step").longs()[0];
    }

    @Override
    public Tensor sample(Tensor x, long seed) {
      Nd4j.getRandom().setSeed(seed);
      var images = array(x);
      return tensor(reparameterize(mu(images), logvar(images), Nd4j.randn(dtype, x.shape()[0], sizes.latentDim())));
    }

    @Override
    public Tensor generate(int n, long seed) {
      Nd4j.getRandom().setSeed(seed);
      return tensor(layer.generateAtMeanGivenZ(Nd4j.randn(dtype, n, sizes.latentDim())));
    }

    /** What {@code MultiLayerNetwork.pretrainLayer} does, in a workspace as there. */
    @SuppressWarnings("try") // the workspace is not named again
    private double step(INDArray images) {
      try (var memory = Nd4j.getWorkspaceManager().getAndActivateWorkspace(MEMORY, "OWN_LAYER")) {
        double score = score(images);
        updater.update(layer, layer.gradient(), steps++, 0, (int) images.size(0), NONE);
        layer.params().subi(layer.getGradientsViewArray().reshape(layer.params().shape()));
        return score;
      }
    }

    /** The layer's objective, averaged over the batch; its gradients, of the sum, go to its view. */
    private double score(INDArray images) {
      layer.setInput(images, NONE);
      layer.computeGradientAndScore(NONE);
      return layer.score();
    }

    private INDArray mu(INDArray images) {
      return layer.activate(images, false, NONE);
    }

    private INDArray logvar(INDArray images) {
      return dense(Transforms.relu(dense(images, "e0"), false), "pZXLogStd2");
    }

    private INDArray logits(INDArray z) {
      return dense(Transforms.relu(dense(z, "d0"), false), "pXZ");
    }

    private INDArray dense(INDArray input, String name) {
      return input.mmul(layer.getParam(name + "W")).addiRowVector(layer.getParam(name + "b"));
    }

    /** The layer takes the root of exp(logvar), which overflows where exp(logvar / 2) does not yet. */
    private static INDArray reparameterize(INDArray mu, INDArray logvar, INDArray noise) {
      return Transforms.sqrt(Transforms.exp(logvar), false).muli(noise).addi(mu);
    }

    private static INDArray kl(INDArray mu, INDArray logvar) {
      return mu.mul(mu).addi(Transforms.exp(logvar)).negi().addi(logvar).addi(1).sum(1).muli(-0.5);
    }

    /** Adam's m or v of all parameters, copied: the layer has a part of each for each of its two blocks. */
    private INDArray moment(int half) {
      var moment = Nd4j.create(dtype, layer.numParams());
      updater.getUpdaterBlocks().forEach(block -> moment.get(span(block)).assign(half(block, half)));
      return moment;
    }

    private static INDArray half(UpdaterBlock block, int half) {
      long count = block.getParamOffsetEnd() - block.getParamOffsetStart();
      return block.getUpdaterView().get(NDArrayIndex.interval(half * count, (half + 1) * count));
    }

    private static org.nd4j.linalg.indexing.INDArrayIndex span(UpdaterBlock block) {
      return NDArrayIndex.interval(block.getParamOffsetStart(), block.getParamOffsetEnd());
    }

    /**
     * The layer's vector has the canonical order, and its weights, (in, out) in 'f' order, are (out, in) in 'c' order.
     */
    private Map<String, INDArray> byName(INDArray vector) {
      var views = new LinkedHashMap<String, INDArray>();
      var flat = vector.reshape(vector.length());
      long[] start = {0};
      sizes.shapes().forEach((name, shape) -> {
        long end = start[0] + IntStream.of(shape).reduce(1, (a, b) -> a * b);
        views.put(name, flat.get(NDArrayIndex.interval(start[0], end)));
        start[0] = end;
      });
      return views;
    }

    private void put(String prefix, Map<String, Tensor> tensors, INDArray vector) {
      byName(vector).forEach((name, view) -> {
        var values = array(tensors.get(prefix + name));
        view.assign(values.reshape(values.length()));
      });
    }

    private Map<String, Tensor> get(String prefix, INDArray vector) {
      var tensors = new LinkedHashMap<String, Tensor>();
      byName(vector).forEach(
          (name, view) -> tensors.put(prefix + name, Tensors.tensor(view, sizes.shapes().get(name))));
      return tensors;
    }

    private INDArray array(Tensor tensor) {
      return Tensors.array(tensor, dtype);
    }

    private static Tensor tensor(INDArray array) {
      return Tensors.tensor(array);
    }
  }
}
