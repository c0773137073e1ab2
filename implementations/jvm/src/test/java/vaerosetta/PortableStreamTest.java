package vaerosetta;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.stream.Stream;
import java.util.stream.StreamSupport;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import vaerosetta.PortableStream.Purpose;

/** The stream against the golden vectors of {@code shared/vectors/stream}, and what they leave open. */
final class PortableStreamTest {
  private static final Path VECTORS = Path.of("../../shared/vectors"); // Maven's tests run in a port's folder

  static Stream<JsonNode> cases() throws IOException {
    var cases = new ObjectMapper().readTree(VECTORS.resolve("manifest.json").toFile()).get("cases");
    return StreamSupport.stream(cases.spliterator(), false).filter(it -> it.get("id").asText().startsWith("stream/"));
  }

  @Test
  void thereAreVectors() throws IOException {
    assertEquals(6, cases().count());
  }

  @ParameterizedTest
  @MethodSource("cases")
  void isThatOfTheVector(JsonNode vector) throws IOException {
    var file = VECTORS.resolve(vector.get("file").asText());
    var arguments = vector.get("arguments");
    if (vector.get("operation").asText().equals("initial_weights")) {
      var sizes = arguments.get("sizes");
      var drawn =
          PortableStream.initialParameters(
              arguments.get("weights_seed").asLong(),
              new Sizes(sizes.get(0).asInt(), sizes.get(1).asInt(), sizes.get(2).asInt()));
      var expected = SafeTensors.read(file).tensors();
      assertEquals(10, drawn.size());
      drawn.forEach(
          (name, tensor) -> assertArrayEquals(expected.get("expected." + name).floats(), tensor.floats(), name));
      return;
    }
    long seed = Long.parseUnsignedLong(arguments.get("seed").asText());
    long index = Long.parseUnsignedLong(arguments.get("index").asText());
    long start = Long.parseUnsignedLong(arguments.path("start").asText("0"));
    int count = arguments.get("count").asInt();
    var purpose = Purpose.values()[arguments.get("purpose").asInt() - 1];
    switch (arguments.get("kind").asText()) {
      case "words" -> assertArrayEquals(
          lastWords(file, count), PortableStream.words(seed, purpose, index, count, start));
      case "uniform" -> assertArrayEquals(
          expected(file, "uniform").doubles(), PortableStream.uniform(seed, purpose, index, count, start));
      case "normal" -> assertArrayEquals(
          expected(file, "normal").floats(), PortableStream.normal(seed, purpose, index, count, start), 2e-7f);
      case "permutation" -> assertArrayEquals(
          expected(file, "permutation").longs(), PortableStream.permutation(seed, purpose, index, count));
      default -> throw new AssertionError(arguments);
    }
  }

  @Test
  void anyPartIsThatOfTheWhole() {
    var words = PortableStream.words(7, Purpose.NOISE, 3, 40, 0);
    var normals = PortableStream.normal(7, Purpose.NOISE, 3, 40, 0);
    for (int start = 0; start < 12; start++) {
      int end = start + 9;
      assertArrayEquals(Arrays.copyOfRange(words, start, end), PortableStream.words(7, Purpose.NOISE, 3, 9, start));
      assertArrayEquals(Arrays.copyOfRange(normals, start, end), PortableStream.normal(7, Purpose.NOISE, 3, 9, start));
    }
  }

  @Test
  void aNegativeCountIsRefused() {
    var error =
        assertThrows(IllegalArgumentException.class, () -> PortableStream.words(0, Purpose.ORDER, 0, -1, 0));
    assertEquals("count: got -1; expected a whole number, 0 or more", error.getMessage());
  }

  private static Tensor expected(Path file, String kind) throws IOException {
    return SafeTensors.read(file).tensors().get("expected." + kind);
  }

  /** The words are U64, of which {@link SafeTensors} reads no values: they are the end of the file. */
  private static long[] lastWords(Path file, int count) throws IOException {
    var bytes = Files.readAllBytes(file);
    var words = new long[count];
    ByteBuffer.wrap(bytes).order(ByteOrder.LITTLE_ENDIAN).position(bytes.length - 8 * count).slice()
        .order(ByteOrder.LITTLE_ENDIAN).asLongBuffer().get(words);
    return words;
  }
}
