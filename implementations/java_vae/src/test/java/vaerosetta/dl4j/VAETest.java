package vaerosetta.dl4j;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Iterator;
import java.util.List;
import java.util.Map;
import org.bytedeco.javacpp.Pointer;
import org.deeplearning4j.datasets.iterator.utilty.ListDataSetIterator;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.function.Executable;
import org.junit.jupiter.api.io.TempDir;
import org.nd4j.linalg.api.buffer.DataType;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.dataset.DataSet;
import org.nd4j.linalg.dataset.api.iterator.DataSetIterator;
import org.nd4j.linalg.factory.Nd4j;
import vaerosetta.PortableStream;
import vaerosetta.SafeTensors;
import vaerosetta.Sizes;
import vaerosetta.Tensor;

/** The VAE as a Java program uses it. What it computes is graded by the conformance suite. */
final class VAETest {
  private static final Sizes SIZES = new Sizes(16, 12, 3);

  /** The ten lines of README.md. */
  static INDArray train(DataSetIterator images, Path file) throws IOException {
    try (var vae = new VAE(784, 20)) {
      for (int epoch = 1; epoch <= 3; epoch++) {
        System.out.printf("epoch %d: %.2f nats an image%n", epoch, vae.train(images));
      }
      SafeTensors.write(file, Weights.of(vae), Map.of());
      return vae.generate(Nd4j.randn(16, 20)); // probabilities (16, 784)
    }
  }

  @Test
  void tenLinesOfTheReadmeWork(@TempDir Path folder) throws IOException {
    var file = folder.resolve("weights.safetensors");
    var probabilities = train(batches(digits(64, 784), 16), file);
    assertArrayEquals(new long[] {16, 784}, probabilities.shape());
    assertTrue(probabilities.minNumber().doubleValue() >= 0 && probabilities.maxNumber().doubleValue() <= 1);
    assertEquals(10, SafeTensors.read(file).tensors().size());
  }

  @Test
  void tenLinesOfTheReadmeAreThese() throws IOException {
    var page = Files.readString(Path.of("README.md"));
    var lines = page.substring(page.indexOf("```java") + 7, page.indexOf("```\n", page.indexOf("```java") + 7)).strip();
    var source = Files.readString(Path.of("src/test/java/vaerosetta/dl4j/VAETest.java"));
    assertTrue(source.contains(lines.indent(2)), lines);
  }

  @Test
  void trainingLowersTheLossAndTellsItPerImage() {
    try (var vae = new VAE(16, 3, 12)) {
      var images = batches(digits(50, 16), 8); // the last batch has 2
      double first = vae.train(images);
      double last = first;
      for (int epoch = 0; epoch < 60; epoch++) {
        last = vae.train(images);
      }
      assertTrue(first > 8 && first < 20, "first " + first); // 16 ln 2 = 11.1, and the KL
      assertTrue(last < first - 1, "first " + first + ", last " + last);
    }
  }

  @Test
  void imagesOfAnotherDtypeAndShapeAreTaken() {
    var x = digits(8, 16);
    double[] losses = new double[2];
    for (int run = 0; run < 2; run++) {
      var images = run == 0 ? x.castTo(DataType.DOUBLE) : x.reshape(8, 1, 4, 4);
      try (var vae = Recipe.create(0, SIZES, DataType.DOUBLE)) {
        var noise = List.of(Nd4j.create(new double[24], 8, 3)).iterator();
        losses[run] = vae.train(new ListDataSetIterator<>(new DataSet(images, images).asList(), 8), noise);
      }
    }
    assertEquals(losses[0], losses[1]);
  }

  @Test
  void trainingFromASeedRepeats() {
    for (var dtype : List.of(DataType.FLOAT, DataType.DOUBLE)) {
      var x = digits(50, 16).castTo(dtype);
      double[][] curves = new double[3][];
      for (int run = 0; run < 3; run++) {
        try (var vae = Recipe.create(run < 2 ? -1 : 5, SIZES, dtype)) {
          curves[run] = Recipe.fit(vae, x, run < 2 ? -1 : 5, 4, 8);
        }
      }
      assertArrayEquals(curves[0], curves[1]);
      assertTrue(curves[0][3] != curves[2][3]);
    }
  }

  @Test
  void givenNoiseDecidesTrainingAndItsEndIsNoticed() {
    var images = batches(digits(16, 16), 8);
    double[] losses = new double[2];
    for (int run = 0; run < 2; run++) {
      try (var vae = Recipe.create(0, SIZES, DataType.FLOAT)) {
        losses[run] = vae.train(images, noise(2));
        refused("noise: got its end after 8 images; expected noise for each batch", () -> vae.train(images, noise(1)));
      }
    }
    assertEquals(losses[0], losses[1]);
  }

  @Test
  void trainingGoesOnFromAState() {
    var x = digits(24, 16);
    var noise = Nd4j.randn(24, 3);
    try (var whole = Recipe.create(0, SIZES, DataType.FLOAT);
        var resumed = Recipe.create(1, SIZES, DataType.FLOAT)) {
      whole.update(x, noise);
      Weights.loadState(resumed, Weights.state(whole));
      for (int step = 0; step < 3; step++) {
        assertEquals(whole.update(x, noise), resumed.update(x, noise));
      }
    }
  }

  @Test
  void argumentsAreNotChanged() {
    var x = digits(8, 16);
    var noise = Nd4j.randn(8, 3);
    var copies = List.of(x.dup(), noise.dup());
    try (var vae = new VAE(16, 3, 12)) {
      vae.update(x, noise);
      vae.negativeElbo(x, noise);
      vae.forward(x, noise);
      vae.generate(noise);
      VAE.lossFunction(x, x, noise, noise);
      VAE.klDivergence(noise, noise);
    }
    assertEquals(copies, List.of(x, noise));
  }

  @Test
  void badInputIsOneClearMessage() {
    var vae = new VAE(16, 3, 12);
    var x = digits(8, 16);
    var noise = Nd4j.randn(8, 3);
    refused("latentDim: got 0; expected 1 or more", () -> new VAE(16, 0));
    refused("hiddenDim: got -1; expected 1 or more", () -> new VAE(16, 3, -1));
    refused("dtype: got BFLOAT16; expected FLOAT or DOUBLE", () -> new VAE(16, 3, 12, DataType.BFLOAT16));
    refused("x: got FLOAT of shape [8, 15]; expected FLOAT of shape [B, 16]", () -> vae.encode(digits(8, 15)));
    refused("x: got DOUBLE of shape [8, 16]; expected FLOAT of shape [B, 16]",
        () -> vae.update(x.castTo(DataType.DOUBLE), noise));
    refused("z: got FLOAT of shape [8, 16]; expected FLOAT of shape [B, 3]", () -> vae.decode(x));
    refused("noise: got FLOAT of shape [1, 3]; expected FLOAT of shape [8, 3]",
        () -> vae.negativeElbo(x, Nd4j.randn(1, 3)));
    refused("x: got values from 0.0 to 255.0; expected finite pixels in [0, 1]", () -> vae.update(x.mul(255), noise));
    var holed = x.dup().putScalar(2, 5, Double.NaN);
    refused("x: got values from 0.0 to 1.0; expected finite pixels in [0, 1]", () -> vae.update(holed, noise));
    refused("data: got no batch; expected one or more", () -> vae.train(new ListDataSetIterator<>(List.of())));
    refused("batchSize: got 0; expected a whole number, 1 or more", () -> Recipe.fit(vae, x, 0, 1, 0));
    refused("params: got Sizes[inputDim=2, hiddenDim=12, latentDim=3]; expected"
            + " Sizes[inputDim=16, hiddenDim=12, latentDim=3]",
        () -> Weights.load(vae, PortableStream.initialParameters(0, new Sizes(2, 12, 3))));
  }

  /** Arrays lie outside Java's heap, where its garbage collector does not see how much is in use. */
  @Test
  void memoryDoesNotGrow() {
    var x = digits(64, 784);
    var noise = Nd4j.randn(64, 20);
    try (var vae = new VAE(784, 20)) {
      Executable steps = () -> {
        for (int step = 0; step < 100; step++) {
          vae.update(x, noise);
          vae.negativeElbo(x, noise).reconstruction().close();
        }
      };
      assertGrowsLess(40, steps); // a step has 2.5 MB of arrays: 250 MB in all
    }
    assertGrowsLess(40, () -> { // a model and its gradients, 5 MB each: 125 MB in all
      for (int model = 0; model < 25; model++) {
        new VAE(784, 20).close();
      }
    });
  }

  @Test
  void memoryOfTheBackendDoesNotGrow() {
    var state = PortableStream.initialParameters(0, Sizes.CLASSIC);
    var x = Tensors.tensor(digits(64, 784));
    var order = Tensor.of(PortableStream.permutation(0, PortableStream.Purpose.ORDER, 0, 64), 4, 16);
    var noise = Tensor.of(PortableStream.normal(0, PortableStream.Purpose.NOISE, 0, 64 * 20, 0), 4, 16, 20);
    assertGrowsLess(40, () -> { // 20 MB and more a request: 300 MB in all
      for (int request = 0; request < 15; request++) {
        try (var model = new Dl4jBackend().load(state, Sizes.CLASSIC, "float32")) {
          model.train(x, order, noise);
          model.gradients(x, Tensor.of(noise.floats(), 64, 20));
          model.state();
        }
      }
    });
  }

  private static void assertGrowsLess(int megabytes, Executable work) {
    try {
      work.execute(); // makes what stays
      long before = Pointer.physicalBytes();
      work.execute();
      double grown = (Pointer.physicalBytes() - before) / 1e6;
      assertTrue(grown < megabytes, "grown by " + grown + " MB");
    } catch (Throwable error) {
      throw new AssertionError(error);
    }
  }

  /** Images with some structure: bars. */
  private static INDArray digits(int images, int pixels) {
    var x = new float[images * pixels];
    for (int i = 0; i < x.length; i++) {
      x[i] = (i % pixels) % 4 == (i / pixels) % 4 ? 1 : 0;
    }
    return Nd4j.create(x, images, pixels);
  }

  private static DataSetIterator batches(INDArray x, int size) {
    return new ListDataSetIterator<>(new DataSet(x, x).asList(), size);
  }

  private static Iterator<INDArray> noise(int batches) {
    var drawn = new INDArray[batches];
    Arrays.setAll(drawn, i -> Nd4j.create(PortableStream.normal(0, PortableStream.Purpose.NOISE, i, 24, 0), 8, 3));
    return List.of(drawn).iterator();
  }

  private static void refused(String message, Executable call) {
    assertEquals(message, assertThrows(IllegalArgumentException.class, call).getMessage());
  }
}
