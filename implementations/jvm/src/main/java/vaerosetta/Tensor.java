package vaerosetta;

import java.util.Arrays;
import java.util.stream.IntStream;

/**
 * An array in C order (the last index runs fastest), as safetensors files hold it.
 *
 * <p>Neither the shape nor the values are copied: whoever makes a tensor of an array leaves it alone from then on.
 *
 * @param dtype the name that safetensors files use: "F32", "F64", "I64", ...
 * @param shape the length of each dimension; none for a scalar
 * @param values a {@code float[]} for F32, a {@code double[]} for F64, a {@code long[]} for I64; null for others, whose
 *     values no port asks for
 */
public record Tensor(String dtype, int[] shape, Object values) {
  /** @throws IllegalArgumentException the shape does not fit the number of values */
  public static Tensor of(float[] values, int... shape) {
    return new Tensor("F32", fitting(shape, values.length), values);
  }

  /** @throws IllegalArgumentException the shape does not fit the number of values */
  public static Tensor of(double[] values, int... shape) {
    return new Tensor("F64", fitting(shape, values.length), values);
  }

  /** @throws IllegalArgumentException the shape does not fit the number of values */
  public static Tensor of(long[] values, int... shape) {
    return new Tensor("I64", fitting(shape, values.length), values);
  }

  /** Whether the elements are F32 or F64, as all but an order and a step count must be. */
  public boolean isFloat() {
    return values instanceof float[] || values instanceof double[];
  }

  /** The number of elements. */
  public int count() {
    return count(shape);
  }

  /** The values as floats, rounded if they are doubles. */
  public float[] floats() {
    if (values instanceof float[] floats) {
      return floats;
    }
    var doubles = (double[]) values;
    var floats = new float[doubles.length];
    for (int i = 0; i < floats.length; i++) {
      floats[i] = (float) doubles[i];
    }
    return floats;
  }

  /** The values as doubles. */
  public double[] doubles() {
    if (values instanceof double[] doubles) {
      return doubles;
    }
    var floats = (float[]) values;
    return IntStream.range(0, floats.length).mapToDouble(i -> floats[i]).toArray();
  }

  /** The values of an I64 tensor. */
  public long[] longs() {
    return (long[]) values;
  }

  private static int count(int[] shape) {
    return Arrays.stream(shape).reduce(1, Math::multiplyExact);
  }

  private static int[] fitting(int[] shape, int count) {
    if (count(shape) != count) {
      throw new IllegalArgumentException(
          "shape: got " + Arrays.toString(shape) + " for " + count + " values; expected their number");
    }
    return shape;
  }
}
