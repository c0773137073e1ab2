package vaerosetta;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;

import java.util.HashMap;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.function.Executable;
import vaerosetta.Checks.WrongTypeException;

/** Messages name the argument, the value and what was expected. */
final class ChecksTest {
  private static final Sizes SIZES = new Sizes(2, 3, 1);

  @Test
  void goodValuesPassAsTheyAre() {
    var x = Tensor.of(new float[] {0, 1}, 1, 2);
    assertSame(x, Checks.images("x", x, Checks.ANY, 2));
    assertSame(x, Checks.latents("z", x, 1, 2));
    assertEquals(SIZES, Checks.parameters(PortableStream.initialParameters(0, SIZES)));
  }

  @Test
  void pixelsAreInRangeAndFinite() {
    refused(
        "x: got values from -0.5 to 2.0; expected pixels in [0, 1]",
        () -> Checks.images("x", Tensor.of(new double[] {-0.5, 2}, 1, 2), Checks.ANY, 2));
    refused(
        "x: got NaN at [1, 0]; expected finite numbers",
        () -> Checks.images("x", Tensor.of(new float[] {0, 1, Float.NaN, 0}, 2, 2), Checks.ANY, 2));
    refused(
        "x: got Infinity at [0, 1]; expected finite numbers",
        () -> Checks.images("x", Tensor.of(new double[] {0, Double.POSITIVE_INFINITY}, 1, 2), Checks.ANY, 2));
  }

  @Test
  void shapesAndDtypesAreChecked() {
    refused(
        "x: got shape [2, 1]; expected an F32 or F64 tensor of shape [any, 2]",
        () -> Checks.images("x", Tensor.of(new float[2], 2, 1), Checks.ANY, 2));
    refused(
        "x: got shape [0, 2]; expected an F32 or F64 tensor of shape [any, 2]",
        () -> Checks.images("x", Tensor.of(new float[0], 0, 2), Checks.ANY, 2));
    var bytes = new Tensor("U8", new int[] {1, 2}, null);
    var error = refused(
        "x: got dtype U8; expected an F32 or F64 tensor of shape [any, 2] (divide 8-bit pixels by 255)",
        () -> Checks.images("x", bytes, Checks.ANY, 2));
    assertInstanceOf(WrongTypeException.class, error);
  }

  @Test
  void anOrderNamesRowsThatAreThere() {
    refused(
        "order: got row 4; expected rows of x, 0 to 3", () -> Checks.order(Tensor.of(new long[] {0, 4}, 1, 2), 4));
    refused(
        "order: got row -1; expected rows of x, 0 to 3", () -> Checks.order(Tensor.of(new long[] {-1}, 1, 1), 4));
    refused(
        "order: got dtype F32; expected an I64 tensor of shape [K, B]",
        () -> Checks.order(Tensor.of(new float[1], 1, 1), 4));
  }

  @Test
  void parametersAreAllThereAndFit() {
    var params = new HashMap<>(PortableStream.initialParameters(0, SIZES));
    params.remove("decoder.fc4.bias");
    refused("params: missing decoder.fc4.bias; expected 10 tensors", () -> Checks.parameters(params));
    params.put("decoder.fc4.bias", Tensor.of(new float[3], 3));
    refused(
        "params['decoder.fc4.bias']: got shape [3]; expected an F32 or F64 tensor of shape [2]",
        () -> Checks.parameters(params));
    params.put("decoder.fc4.bias", Tensor.of(new float[2], 2));
    params.put("extra", Tensor.of(new float[1], 1));
    refused(
        "params: unknown extra; expected 10 tensors, among them encoder.fc1.weight", () -> Checks.parameters(params));
  }

  @Test
  void wordsAndCounts() {
    refused("dtype: got 'half'; expected one of float32, float64",
        () -> Checks.oneOf("dtype", "half", List.of("float32", "float64")));
    refused("hiddenDim: got 0; expected a whole number, 1 or more", () -> new Sizes(1, 0, 1));
    refused("shape: got [2, 2] for 3 values; expected their number", () -> Tensor.of(new float[3], 2, 2));
  }

  private static IllegalArgumentException refused(String message, Executable call) {
    var error = assertThrows(IllegalArgumentException.class, call);
    assertEquals(message, error.getMessage());
    return error;
  }
}
