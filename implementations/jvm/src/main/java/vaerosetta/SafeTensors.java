package vaerosetta;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.EOFException;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * Safetensors files: weights, training states, requests and responses.
 *
 * <p>Eight bytes with the length of the header (little-endian), the header in JSON, then the elements of all tensors,
 * little-endian and without gaps. The format: github.com/huggingface/safetensors.
 */
public final class SafeTensors {
  private static final ObjectMapper JSON = new ObjectMapper();
  private static final int CHUNK = 1 << 20; // bytes on their way between a file and an array
  private static final int LONGEST_HEADER = 100_000_000; // bytes: the format's own limit
  private static final Map<String, Integer> WIDTHS =
      Map.ofEntries(
          Map.entry("BOOL", 1), Map.entry("U8", 1), Map.entry("I8", 1), Map.entry("U16", 2), Map.entry("I16", 2),
          Map.entry("F16", 2), Map.entry("BF16", 2), Map.entry("U32", 4), Map.entry("I32", 4), Map.entry("F32", 4),
          Map.entry("U64", 8), Map.entry("I64", 8), Map.entry("F64", 8));

  private SafeTensors() {}

  /**
   * What a file holds.
   *
   * @param tensors by name, in the order of the header
   * @param metadata the strings under {@code __metadata__}; empty if there are none
   */
  public record Content(Map<String, Tensor> tensors, Map<String, String> metadata) {}

  /** @throws IOException the file cannot be read, or is not a whole safetensors file; the message names it */
  public static Content read(Path path) throws IOException {
    try (var file = FileChannel.open(path)) {
      long size = file.size();
      long length = size < 8 ? -1 : fill(file, 8).getLong();
      if (length < 2 || length > Math.min(size - 8, LONGEST_HEADER)) {
        throw new IOException("the header's length does not fit the file");
      }
      var header = JSON.readTree(fill(file, (int) length).array());
      if (header == null || !header.isObject()) {
        throw new IOException("the header is not a JSON object");
      }
      return content(file, header, 8 + length, size);
    } catch (EOFException | ArithmeticException | JsonProcessingException error) {
      throw unreadable(path, error.getMessage());
    } catch (java.nio.file.NoSuchFileException error) {
      throw error;
    } catch (IOException error) {
      throw unreadable(path, error.getMessage());
    }
  }

  /**
   * Writes a file, atomically: if that fails, an older one is still whole.
   *
   * @throws IOException the file cannot be written
   */
  public static void write(Path path, Map<String, Tensor> tensors, Map<String, String> metadata) throws IOException {
    var header = JSON.createObjectNode();
    if (!metadata.isEmpty()) {
      metadata.forEach(header.putObject("__metadata__")::put);
    }
    long begin = 0;
    for (var entry : tensors.entrySet()) {
      var tensor = entry.getValue();
      long end = begin + (long) tensor.count() * WIDTHS.get(tensor.dtype());
      var about = header.putObject(entry.getKey()).put("dtype", tensor.dtype());
      Arrays.stream(tensor.shape()).forEach(about.putArray("shape")::add);
      about.putArray("data_offsets").add(begin).add(end);
      begin = end;
    }
    var text = header.toString().getBytes(StandardCharsets.UTF_8);
    var padded = Arrays.copyOf(text, (text.length + 7) / 8 * 8);
    Arrays.fill(padded, text.length, padded.length, (byte) ' ');

    var folder = path.toAbsolutePath().getParent();
    var temporary = Files.createTempFile(folder, path.getFileName().toString(), ".tmp");
    try {
      try (var file = FileChannel.open(temporary, StandardOpenOption.WRITE)) {
        file.write(buffer(8).putLong(padded.length).flip());
        file.write(ByteBuffer.wrap(padded));
        for (var tensor : tensors.values()) {
          put(file, tensor);
        }
      }
      Files.move(temporary, path, StandardCopyOption.ATOMIC_MOVE, StandardCopyOption.REPLACE_EXISTING);
    } finally {
      Files.deleteIfExists(temporary);
    }
  }

  private static Content content(FileChannel file, JsonNode header, long start, long size) throws IOException {
    var metadata = new LinkedHashMap<String, String>();
    header.path("__metadata__").properties().forEach(it -> metadata.put(it.getKey(), it.getValue().asText()));
    var tensors = new LinkedHashMap<String, Tensor>();
    var spans = new ArrayList<long[]>();
    for (var field : header.properties()) {
      if (field.getKey().equals("__metadata__")) {
        continue;
      }
      var about = field.getValue();
      var dtype = about.path("dtype").asText();
      var shape = new int[about.path("shape").size()];
      long bytes = WIDTHS.getOrDefault(dtype, 0);
      for (int i = 0; i < shape.length; i++) {
        shape[i] = Math.toIntExact(about.path("shape").get(i).asLong());
        bytes = Math.multiplyExact(bytes, shape[i]);
      }
      long begin = about.path("data_offsets").path(0).asLong(-1);
      long end = about.path("data_offsets").path(1).asLong(-1);
      if (!WIDTHS.containsKey(dtype) || bytes < 0 || begin < 0 || end - begin != bytes || start + end > size) {
        throw new IOException("tensor " + field.getKey() + " has a dtype, shape or offsets that do not fit");
      }
      spans.add(new long[] {begin, end});
      tensors.put(field.getKey(), new Tensor(dtype, shape, get(file.position(start + begin), dtype, bytes)));
    }
    spans.sort((a, b) -> Long.compare(a[0] + a[1], b[0] + b[1]));
    checkGaps(spans, size - start);
    return new Content(tensors, metadata);
  }

  private static void checkGaps(List<long[]> spans, long size) throws IOException {
    long end = 0;
    for (var span : spans) {
      if (span[0] != end) {
        throw new IOException("there is a gap or an overlap at byte " + end + " of the data");
      }
      end = span[1];
    }
    if (end != size) {
      throw new IOException("the data are " + size + " bytes; the header describes " + end);
    }
  }

  private static Object get(FileChannel file, String dtype, long bytes) throws IOException {
    int width = WIDTHS.get(dtype);
    int count = Math.toIntExact(bytes / width);
    var values =
        switch (dtype) {
          case "F32" -> new float[count];
          case "F64" -> new double[count];
          case "I64" -> new long[count];
          default -> null; // of no use to a port, which refuses them by their dtype
        };
    for (int i = 0; values != null && i < count; ) {
      int some = Math.min(CHUNK / width, count - i);
      var chunk = fill(file, some * width);
      if (values instanceof float[] floats) {
        chunk.asFloatBuffer().get(floats, i, some);
      } else if (values instanceof double[] doubles) {
        chunk.asDoubleBuffer().get(doubles, i, some);
      } else {
        chunk.asLongBuffer().get((long[]) values, i, some);
      }
      i += some;
    }
    return values;
  }

  private static void put(FileChannel file, Tensor tensor) throws IOException {
    int count = tensor.count();
    int width = WIDTHS.get(tensor.dtype());
    var chunk = buffer(CHUNK);
    for (int i = 0; i < count; ) {
      int some = Math.min(CHUNK / width, count - i);
      chunk.clear();
      if (tensor.values() instanceof float[] values) {
        chunk.asFloatBuffer().put(values, i, some);
      } else if (tensor.values() instanceof double[] values) {
        chunk.asDoubleBuffer().put(values, i, some);
      } else {
        chunk.asLongBuffer().put(tensor.longs(), i, some);
      }
      chunk.limit(some * width);
      while (chunk.hasRemaining()) {
        file.write(chunk);
      }
      i += some;
    }
  }

  private static ByteBuffer fill(FileChannel file, int bytes) throws IOException {
    var buffer = buffer(bytes);
    while (buffer.hasRemaining()) {
      if (file.read(buffer) < 0) {
        throw new EOFException("it ends too early");
      }
    }
    return buffer.flip();
  }

  private static ByteBuffer buffer(int bytes) {
    return ByteBuffer.allocate(bytes).order(ByteOrder.LITTLE_ENDIAN);
  }

  private static IOException unreadable(Path path, String why) {
    return new IOException(path + ": not a readable safetensors file (" + why + ")");
  }
}
