package vaerosetta.dl4j;

import java.util.Arrays;
import org.nd4j.linalg.api.buffer.DataType;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.factory.Nd4j;
import vaerosetta.Tensor;

/** Copies between tensors of Java's heap and arrays of ND4J. */
final class Tensors {
  private Tensors() {}

  /** A copy in 'c' order, rounded to {@code dtype}, FLOAT or DOUBLE. Whoever asks for it closes it. */
  static INDArray array(Tensor tensor, DataType dtype) {
    long[] shape = Arrays.stream(tensor.shape()).asLongStream().toArray();
    return dtype == DataType.FLOAT ? Nd4j.create(tensor.floats(), shape) : Nd4j.create(tensor.doubles(), shape);
  }

  /** A copy of its own shape. */
  static Tensor tensor(INDArray array) {
    return tensor(array, Arrays.stream(array.shape()).mapToInt(Math::toIntExact).toArray());
  }

  /** A copy of the given shape; the elements are read in 'c' order. */
  static Tensor tensor(INDArray array, int... shape) {
    try (var copy = array.dup('c')) {
      if (array.dataType() == DataType.FLOAT) {
        var values = new float[Math.toIntExact(array.length())];
        copy.data().asNioFloat().get(values);
        return Tensor.of(values, shape);
      }
      var values = new double[Math.toIntExact(array.length())];
      copy.data().asNioDouble().get(values);
      return Tensor.of(values, shape);
    }
  }

  /** Numbers as a tensor of {@code dtype}, FLOAT or DOUBLE. */
  static Tensor tensor(double[] values, DataType dtype, int... shape) {
    var tensor = Tensor.of(values, shape);
    return dtype == DataType.FLOAT ? Tensor.of(tensor.floats(), shape) : tensor;
  }
}
