package vaerosetta.dl4j;

import java.nio.DoubleBuffer;
import java.nio.FloatBuffer;
import java.util.Map;
import org.nd4j.linalg.api.buffer.DataType;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.indexing.NDArrayIndex;
import org.nd4j.linalg.learning.GradientUpdater;
import org.nd4j.linalg.learning.config.IUpdater;
import org.nd4j.linalg.schedule.ISchedule;
import vaerosetta.AdamLoop;

/**
 * Algorithm 1 of Kingma & Ba 2015 as an updater of ND4J: {@code NeuralNetConfiguration.Builder.updater(new Adam())}.
 *
 * <p>ND4J's own {@link org.nd4j.linalg.learning.config.Adam} is the variant that the paper calls epsilon-hat: it adds
 * epsilon before the bias correction of v. It also takes 1 - 0.999 in float32, which is off by 1.3e-5 of its value.
 */
public final class Adam implements IUpdater {
  private static final long serialVersionUID = 1;

  static final double LEARNING_RATE = 1e-3;
  static final double EPSILON = 1e-8;

  /** m, then v. */
  @Override
  public long stateSize(long numParams) {
    return 2 * numParams;
  }

  @Override
  public GradientUpdater<Adam> instantiate(INDArray viewArray, boolean initializeViewArray) {
    var update = new Update(this);
    update.setStateViewArray(viewArray, null, 'c', initializeViewArray);
    return update;
  }

  @Override
  public GradientUpdater<Adam> instantiate(Map<String, INDArray> updaterState, boolean initializeStateArrays) {
    var update = new Update(this);
    update.setState(updaterState, initializeStateArrays);
    return update;
  }

  @Override
  public double getLearningRate(int iteration, int epoch) {
    return LEARNING_RATE;
  }

  @Override
  public boolean hasLearningRate() {
    return true;
  }

  /** @throws UnsupportedOperationException always: the constants are the specification's */
  @Override
  public void setLrAndSchedule(double lr, ISchedule lrSchedule) {
    throw new UnsupportedOperationException("lr: got " + lr + "; expected no call: it is always " + LEARNING_RATE);
  }

  @Override
  @SuppressWarnings("MethodDoesntCallSuperMethod") // it has nothing to copy
  public Adam clone() {
    return new Adam();
  }

  @Override
  public boolean equals(Object other) {
    return other instanceof Adam; // by which a network updates all of its layers at once
  }

  @Override
  public int hashCode() {
    return Adam.class.hashCode();
  }

  /** What a network keeps of it: the moments, views of its updater state. */
  private static final class Update implements GradientUpdater<Adam> {
    private final Adam config;
    private INDArray m; // (parameters,)
    private INDArray v;

    Update(Adam config) {
      this.config = config;
    }

    @Override
    public Adam getConfig() {
      return config;
    }

    @Override
    public void setState(Map<String, INDArray> state, boolean initialize) {
      m = state.get("M");
      v = state.get("V");
    }

    @Override
    public Map<String, INDArray> getState() {
      return Map.of("M", m, "V", v);
    }

    @Override
    public void setStateViewArray(INDArray view, long[] gradientShape, char gradientOrder, boolean initialize) {
      var flat = view.reshape(view.length());
      if (initialize) {
        flat.assign(0);
      }
      m = flat.get(NDArrayIndex.interval(0, view.length() / 2));
      v = flat.get(NDArrayIndex.interval(view.length() / 2, view.length()));
    }

    /** Turns the gradient into what is to be subtracted from the parameters. {@code iteration} counts from 0. */
    @Override
    public void applyUpdater(INDArray gradient, int iteration, int epoch) {
      double t = iteration + 1.0;
      double root = Math.sqrt(1 - Math.pow(AdamLoop.BETA2, t));
      double step = LEARNING_RATE * root / (1 - Math.pow(AdamLoop.BETA1, t));
      // lr m / (1 - beta1^t) / (sqrt(v / (1 - beta2^t)) + epsilon), with the root of 1 - beta2^t above and below the
      // line.
      if (gradient.dataType() == DataType.FLOAT) {
        AdamLoop.update(floats(gradient), floats(m), floats(v), (float) step, (float) (EPSILON * root));
      } else {
        AdamLoop.update(doubles(gradient), doubles(m), doubles(v), step, EPSILON * root);
      }
    }
  }

  private static FloatBuffer floats(INDArray vector) {
    return vector.data().asNioFloat().slice().limit((int) vector.length()); // from a view's own first element on
  }

  private static DoubleBuffer doubles(INDArray vector) {
    return vector.data().asNioDouble().slice().limit((int) vector.length());
  }
}
