package vaerosetta;

import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.stream.IntStream;

/**
 * The portable random stream: the same seed means the same numbers in every framework and language.
 *
 * <p>Block j of stream (seed, purpose, index) is Philox4x64-10 of the counter words (j, 0, index, 0) under the key
 * words (seed, purpose): four 64-bit words. Word n of a stream is word n mod 4 of block n / 4. (Salmon et al.,
 * "Parallel random numbers: as easy as 1, 2, 3", SC11.) Uniforms, normals and permutations are made of words as the
 * specification says; it is random-access, so that a run resumes at any step.
 */
public final class PortableStream {
  private static final long MULTIPLIER_0 = 0xD2E7470EE14C6C93L;
  private static final long MULTIPLIER_1 = 0xCA5A826395121157L;
  private static final long WEYL_0 = 0x9E3779B97F4A7C15L; // the golden ratio
  private static final long WEYL_1 = 0xBB67AE8584CAA73BL; // sqrt(3) - 1
  private static final int ROUNDS = 10;

  private PortableStream() {}

  /** The second key word: streams for different uses never overlap. {@code index} counts what is named here. */
  public enum Purpose {
    /** Index: the position of the tensor in canonical order. */
    WEIGHTS(1),
    /** Index: the epoch, from 0. */
    ORDER(2),
    /** Index: the epoch, from 0; row i belongs to the i-th image of that epoch's order. */
    NOISE(3),
    /** Index: the number of the draw; row i belongs to the i-th image of the data set. */
    EVALUATION(4),
    /** Index: 0, for samples of the prior that must agree everywhere. */
    LATENT(5),
    /** Index: chosen by the generator of the golden vectors. */
    VECTORS(6);

    final long word;

    Purpose(long word) {
      this.word = word;
    }
  }

  /** Words {@code start} to {@code start + count - 1}. The seed is unsigned. */
  public static long[] words(long seed, Purpose purpose, long index, int count, long start) {
    var words = new long[Checks.count("count", count, 0)];
    var block = new long[4];
    for (int i = 0; i < count; i++) {
      long n = start + i;
      if (i == 0 || n % 4 == 0) {
        philox(block, n / 4, index, seed, purpose.word);
      }
      words[i] = block[(int) (n % 4)];
    }
    return words;
  }

  /** Uniforms in [0, 1), each made of the upper 53 bits of a word. */
  public static double[] uniform(long seed, Purpose purpose, long index, int count, long start) {
    var words = words(seed, purpose, index, count, start);
    return IntStream.range(0, count).mapToDouble(i -> unit(words[i])).toArray();
  }

  /** Standard normals (Box and Muller, 1958) from number {@code start} of the stream on, rounded to float32. */
  public static float[] normal(long seed, Purpose purpose, long index, int count, long start) {
    int skip = (int) (start % 2); // normals come in pairs
    var words = words(seed, purpose, index, skip + count + (skip + count) % 2, start - skip);
    var normals = new float[count];
    for (int pair = 0; pair < words.length; pair += 2) {
      double radius = Math.sqrt(-2 * Math.log(1 - unit(words[pair])));
      // The cosine and the sine of an angle, by the tangent of its half: one transcendental function instead of two.
      double tangent = Math.tan(Math.PI * unit(words[pair + 1]));
      double scale = radius / (1 + tangent * tangent);
      int i = pair - skip;
      if (i >= 0) {
        normals[i] = (float) (2 * scale - radius);
      }
      if (i + 1 < count) {
        normals[i + 1] = (float) (2 * scale * tangent);
      }
    }
    return normals;
  }

  /** A permutation of 0 to count - 1: the positions of the first {@code count} words in ascending order. */
  public static long[] permutation(long seed, Purpose purpose, long index, int count) {
    var words = words(seed, purpose, index, count, 0);
    Comparator<Integer> ascending = (a, b) -> Long.compareUnsigned(words[a], words[b]); // and stable
    return IntStream.range(0, count).boxed().sorted(ascending).mapToLong(Integer::longValue).toArray();
  }

  /** Initial parameters: each uniform in +-1/sqrt(fan_in), tensor i from stream (seed, WEIGHTS, i), in float32. */
  public static Map<String, Tensor> initialParameters(long seed, Sizes sizes) {
    var shapes = sizes.shapes();
    var drawn = new LinkedHashMap<String, Tensor>();
    for (var entry : shapes.entrySet()) {
      double root = Math.sqrt(shapes.get(entry.getKey().replace(".bias", ".weight"))[1]);
      int count = IntStream.of(entry.getValue()).reduce(1, Math::multiplyExact);
      var unit = uniform(seed, Purpose.WEIGHTS, drawn.size(), count, 0);
      var values = new float[count];
      for (int i = 0; i < count; i++) {
        values[i] = (float) ((2 * unit[i] - 1) / root);
      }
      drawn.put(entry.getKey(), Tensor.of(values, entry.getValue()));
    }
    return drawn;
  }

  private static double unit(long word) {
    return (word >>> 11) * 0x1p-53;
  }

  private static void philox(long[] block, long number, long index, long key0, long key1) {
    long c0 = number;
    long c1 = 0;
    long c2 = index;
    long c3 = 0;
    for (int round = 0; round < ROUNDS; round++) {
      long high0 = unsignedMultiplyHigh(MULTIPLIER_0, c0);
      long high1 = unsignedMultiplyHigh(MULTIPLIER_1, c2);
      long low0 = MULTIPLIER_0 * c0;
      long low1 = MULTIPLIER_1 * c2;
      c0 = high1 ^ c1 ^ key0;
      c1 = low1;
      c2 = high0 ^ c3 ^ key1;
      c3 = low0;
      key0 += WEYL_0;
      key1 += WEYL_1;
    }
    block[0] = c0;
    block[1] = c1;
    block[2] = c2;
    block[3] = c3;
  }

  /** Java 18 has this in Math. */
  private static long unsignedMultiplyHigh(long a, long b) {
    return Math.multiplyHigh(a, b) + ((a >> 63) & b) + ((b >> 63) & a);
  }
}
