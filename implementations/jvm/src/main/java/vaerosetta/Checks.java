package vaerosetta;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collection;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * Input checks, written once for every port: one message that names the argument, the value and what was expected.
 *
 * <p>All throw {@link IllegalArgumentException}, and {@link WrongTypeException}, which is one, for a wrong dtype.
 */
public final class Checks {
  /** Any positive length of a dimension. */
  public static final int ANY = -1;

  /** The most steps of Adam in a state: a 32-bit counter has room to go on from there. */
  public static final long MAX_STEP = 1L << 30;

  private Checks() {}

  /** An argument of a wrong type: what Python calls a TypeError. */
  public static final class WrongTypeException extends IllegalArgumentException {
    private static final long serialVersionUID = 1;

    WrongTypeException(String message) {
      super(message);
    }
  }

  /** What every check throws: {@code throw Checks.refusal("x", "shape [2]", "[B, D]")}. */
  public static IllegalArgumentException refusal(String name, Object got, String expected) {
    return new IllegalArgumentException(name + ": got " + got + "; expected " + expected);
  }

  /** {@code value} itself if it is {@code least} or more. */
  public static int count(String name, int value, int least) {
    if (value < least) {
      throw refusal(name, value, "a whole number, " + least + " or more");
    }
    return value;
  }

  /** {@code value} itself if it is known. */
  public static String oneOf(String name, String value, Collection<String> known) {
    if (value == null || !known.contains(value)) {
      throw refusal(name, "'" + value + "'", "one of " + String.join(", ", known));
    }
    return value;
  }

  /** Images (rows, inputDim), finite, in [0, 1]. */
  public static Tensor images(String name, Tensor value, int rows, int inputDim) {
    floats(name, value, rows, inputDim);
    double low = Double.POSITIVE_INFINITY;
    double high = Double.NEGATIVE_INFINITY;
    if (value.values() instanceof float[] pixels) {
      for (float pixel : pixels) {
        low = Math.min(low, pixel);
        high = Math.max(high, pixel);
      }
    } else {
      for (double pixel : (double[]) value.values()) {
        low = Math.min(low, pixel);
        high = Math.max(high, pixel);
      }
    }
    if (!(low >= 0 && high <= 1)) { // min and max of a NaN are NaN
      finite(name, value);
      throw refusal(name, "values from " + low + " to " + high, "pixels in [0, 1]");
    }
    return value;
  }

  /** Latents, means, log-variances or noise: (rows, latentDim), finite. */
  public static Tensor latents(String name, Tensor value, int rows, int latentDim) {
    return finite(name, floats(name, value, rows, latentDim));
  }

  /** An order (K, B) of rows of a data set of {@code images} images. */
  public static Tensor order(Tensor value, int images) {
    var expected = "an I64 tensor of shape [K, B]";
    if (!(value.values() instanceof long[])) {
      throw new WrongTypeException("order: got dtype " + value.dtype() + "; expected " + expected);
    }
    shape("order", value, expected, ANY, ANY);
    for (long row : value.longs()) {
      if (row < 0 || row >= images) {
        throw refusal("order", "row " + row, "rows of x, 0 to " + (images - 1));
      }
    }
    return value;
  }

  /** The sizes that canonical parameters have, after checking that they are such. */
  public static Sizes parameters(Map<String, Tensor> params) {
    names("params", params.keySet(), Sizes.CLASSIC.shapes().keySet());
    for (var name : List.of("encoder.fc1.weight", "encoder.fc2_mu.weight")) {
      shape("params['" + name + "']", params.get(name), "two dimensions, [out, in], 1 or more each", ANY, ANY);
    }
    var first = params.get("encoder.fc1.weight").shape(); // (H, D)
    var sizes = new Sizes(first[1], first[0], params.get("encoder.fc2_mu.weight").shape()[0]);
    sizes.shapes().forEach((name, shape) -> tensor("params['" + name + "']", params.get(name), shape));
    return sizes;
  }

  /** A training state for a model of the given sizes: parameters, Adam's moments, {@code adam.step}. */
  public static Map<String, Tensor> state(Map<String, Tensor> state, Sizes sizes) {
    var shapes = stateShapes(sizes);
    names("state", state.keySet(), shapes.keySet());
    var step = state.get("adam.step");
    if (!(step.values() instanceof long[]) || step.shape().length > 0) {
      throw new WrongTypeException("state['adam.step']: got " + text(step) + "; expected an I64 tensor of shape []");
    }
    if (step.longs()[0] < 0 || step.longs()[0] > MAX_STEP) {
      throw refusal("state['adam.step']", step.longs()[0], "0 to " + MAX_STEP);
    }
    shapes.forEach(
        (name, shape) -> {
          if (!name.equals("adam.step")) {
            tensor("state['" + name + "']", state.get(name), shape);
          }
        });
    return state;
  }

  /** Names and shapes of a training state, in canonical order. */
  public static Map<String, int[]> stateShapes(Sizes sizes) {
    var shapes = new LinkedHashMap<>(sizes.shapes());
    for (var moment : List.of("adam.m.", "adam.v.")) {
      sizes.shapes().forEach((name, shape) -> shapes.put(moment + name, shape));
    }
    shapes.put("adam.step", new int[0]);
    return shapes;
  }

  /** {@code value} as it is, if it is F32 or F64 and of that shape. */
  public static Tensor floats(String name, Tensor value, int... shape) {
    var expected = "an F32 or F64 tensor of shape " + text(shape);
    if (!value.isFloat()) {
      var hint = value.dtype().equals("U8") ? " (divide 8-bit pixels by 255)" : "";
      throw new WrongTypeException(name + ": got dtype " + value.dtype() + "; expected " + expected + hint);
    }
    shape(name, value, expected, shape);
    return value;
  }

  /** {@code value} as it is, if all of its elements are finite. */
  public static Tensor finite(String name, Tensor value) {
    int bad = -1;
    if (value.values() instanceof float[] floats) {
      for (int i = 0; i < floats.length && bad < 0; i++) {
        bad = Float.isFinite(floats[i]) ? bad : i;
      }
    } else {
      var doubles = (double[]) value.values();
      for (int i = 0; i < doubles.length && bad < 0; i++) {
        bad = Double.isFinite(doubles[i]) ? bad : i;
      }
    }
    if (bad >= 0) {
      var where = new int[value.shape().length];
      for (int axis = where.length - 1, rest = bad; axis >= 0; axis--) {
        where[axis] = rest % value.shape()[axis];
        rest /= value.shape()[axis];
      }
      throw refusal(name, value.doubles()[bad] + " at " + Arrays.toString(where), "finite numbers");
    }
    return value;
  }

  private static void tensor(String name, Tensor value, int[] shape) {
    finite(name, floats(name, value, shape));
  }

  private static void names(String argument, Collection<String> got, Collection<String> expected) {
    var missing = new ArrayList<>(expected);
    missing.removeAll(got);
    if (!missing.isEmpty()) {
      throw new IllegalArgumentException(
          argument + ": missing " + some(missing) + "; expected " + expected.size() + " tensors");
    }
    var unknown = new ArrayList<>(got);
    unknown.removeAll(expected);
    if (!unknown.isEmpty()) {
      throw new IllegalArgumentException(
          argument + ": unknown " + some(unknown) + "; expected " + expected.size() + " tensors, among them "
              + expected.iterator().next());
    }
  }

  private static String some(List<String> names) {
    var first = String.join(", ", names.subList(0, Math.min(3, names.size())));
    return names.size() > 3 ? first + " and " + (names.size() - 3) + " more" : first;
  }

  private static void shape(String name, Tensor value, String expected, int... shape) {
    var got = value.shape();
    boolean fits = got.length == shape.length;
    for (int axis = 0; fits && axis < shape.length; axis++) {
      fits = shape[axis] == ANY ? got[axis] > 0 : got[axis] == shape[axis];
    }
    if (!fits) {
      throw refusal(name, "shape " + Arrays.toString(got), expected);
    }
  }

  private static String text(int[] shape) {
    return Arrays.toString(shape).replace(Integer.toString(ANY), "any");
  }

  private static String text(Tensor tensor) {
    return tensor.dtype() + " of shape " + Arrays.toString(tensor.shape());
  }
}
