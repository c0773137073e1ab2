package vaerosetta;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** Files that are written, read back, and broken. */
final class SafeTensorsTest {
  @TempDir Path folder;

  @Test
  void whatIsWrittenIsReadBack() throws IOException {
    var tensors = new LinkedHashMap<String, Tensor>();
    tensors.put("b", Tensor.of(new float[] {1.5f, -0f, Float.MIN_VALUE, 4, 5, 6}, 2, 3));
    tensors.put("a", Tensor.of(new double[] {Math.PI}, 1));
    tensors.put("scalar", Tensor.of(new long[] {Long.MIN_VALUE}));
    var file = folder.resolve("file");
    SafeTensors.write(file, tensors, Map.of("key", "value \u00e9 \"quoted\""));

    var content = SafeTensors.read(file);
    assertEquals(List.of("b", "a", "scalar"), List.copyOf(content.tensors().keySet()));
    assertEquals(Map.of("key", "value \u00e9 \"quoted\""), content.metadata());
    tensors.forEach(
        (name, tensor) -> {
          var found = content.tensors().get(name);
          assertEquals(tensor.dtype(), found.dtype());
          assertArrayEquals(tensor.shape(), found.shape());
        });
    assertArrayEquals(tensors.get("b").floats(), content.tensors().get("b").floats());
    assertArrayEquals(tensors.get("a").doubles(), content.tensors().get("a").doubles());
    assertArrayEquals(tensors.get("scalar").longs(), content.tensors().get("scalar").longs());
  }

  @Test
  void aFileLongerThanAChunkIsReadBack() throws IOException {
    var values = new double[300_001]; // 2.4 MB
    for (int i = 0; i < values.length; i++) {
      values[i] = i;
    }
    var file = folder.resolve("file");
    SafeTensors.write(file, Map.of("x", Tensor.of(values, values.length)), Map.of());
    assertArrayEquals(values, SafeTensors.read(file).tensors().get("x").doubles());
  }

  @Test
  void writingReplacesTheFileAndLeavesNoOther() throws IOException {
    var file = folder.resolve("file");
    for (float value : new float[] {1, 2}) {
      SafeTensors.write(file, Map.of("x", Tensor.of(new float[] {value}, 1)), Map.of());
    }
    assertEquals(2, SafeTensors.read(file).tensors().get("x").floats()[0]);
    try (var files = Files.list(folder)) {
      assertEquals(List.of(file), files.toList());
    }
  }

  @Test
  void dtypesThatNoPortAsksForHaveNoValues() throws IOException {
    var file = file("{'x':{'dtype':'U8','shape':[2],'data_offsets':[0,2]}}", 2);
    var tensor = SafeTensors.read(file).tensors().get("x");
    assertEquals("U8", tensor.dtype());
    assertNull(tensor.values());
    assertFalse(tensor.isFloat());
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      quoteCharacter = '`',
      value = {
        "{'x':{'dtype':'F32','shape':[2],'data_offsets':[0,8]}} | 7 | dtype, shape or offsets",
        "{'x':{'dtype':'F32','shape':[2],'data_offsets':[0,8]}} | 9 | the data are 9 bytes; the header describes 8",
        "{'x':{'dtype':'F32','shape':[2],'data_offsets':[4,12]}} | 12 | gap or an overlap at byte 0",
        "{'x':{'dtype':'F33','shape':[2],'data_offsets':[0,8]}} | 8 | tensor x has a dtype",
        "{'x':{'dtype':'F32','shape':[3],'data_offsets':[0,8]}} | 8 | tensor x has a dtype",
        "{'x':{'dtype':'F32','shape':[-2],'data_offsets':[0,-8]}} | 0 | tensor x has a dtype",
        "{'x':{'dtype':'F32','shape':[65536,65536,65536,65536],'data_offsets':[0,0]}} | 0 | overflow",
        "{'x':{'dtype':'F32','shape':[2]}} | 8 | tensor x has a dtype",
        "{'x':3} | 0 | tensor x has a dtype",
        "[1,2] | 0 | the header is not a JSON object",
        "{'x | 0 | not a readable safetensors file",
      })
  void aMalformedFileIsOneClearError(String header, int bytes, String why) throws IOException {
    var file = file(header, bytes);
    var error = assertThrows(IOException.class, () -> SafeTensors.read(file));
    assertTrue(error.getMessage().startsWith(file + ": not a readable safetensors file ("), error.getMessage());
    assertTrue(error.getMessage().contains(why), error.getMessage());
  }

  @ParameterizedTest
  @CsvSource({"0", "7", "8"})
  void aFileThatIsTooShortIsOneClearError(int bytes) throws IOException {
    var file = Files.write(folder.resolve("file"), new byte[bytes]);
    var error = assertThrows(IOException.class, () -> SafeTensors.read(file));
    var expected = file + ": not a readable safetensors file (the header's length does not fit the file)";
    assertEquals(expected, error.getMessage());
  }

  @Test
  void aLengthBeyondTheFileIsOneClearError() throws IOException {
    var file = Files.write(folder.resolve("file"), ByteBuffer.allocate(16).putLong(Long.MAX_VALUE).array());
    assertThrows(IOException.class, () -> SafeTensors.read(file));
  }

  @Test
  void aMissingFileIsNamed() {
    var file = folder.resolve("none");
    var error = assertThrows(NoSuchFileException.class, () -> SafeTensors.read(file));
    assertEquals(file.toString(), error.getMessage());
  }

  /** A file of that header, with ' for ", and so many bytes of data. */
  private Path file(String header, int bytes) throws IOException {
    var text = header.strip().replace('\'', '"').getBytes(StandardCharsets.UTF_8);
    var buffer = ByteBuffer.allocate(8 + text.length + bytes).order(ByteOrder.LITTLE_ENDIAN);
    return Files.write(folder.resolve("file"), buffer.putLong(text.length).put(text).array());
  }
}
