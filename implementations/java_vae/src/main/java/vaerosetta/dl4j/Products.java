package vaerosetta.dl4j;

import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.List;
import org.nd4j.linalg.api.buffer.DataType;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.factory.Nd4j;

/**
 * The matrix products of a training step and nothing else, for the benchmark: ND4J's own limit.
 *
 * <p>Each argument is a product, {@code rows,inner,columns,turnedA,turnedB}: (rows, inner) times (inner, columns),
 * where a factor that is turned is the transpose of what lies in memory in C order. The first line on stdout is the
 * version. Every line on stdin is answered, when all products have been made once, by the line {@code done}.
 */
final class Products {
  private Products() {}

  public static void main(String[] args) throws IOException {
    var products = Arrays.stream(args).map(Product::of).toList();
    var blas = Nd4j.getExecutioner().getEnvironmentInformation().getProperty("blas.vendor");
    System.out.println(Dl4jBackend.version() + ", " + blas);
    System.out.flush();
    var lines = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
    while (lines.readLine() != null) {
      run(products);
      System.out.println("done");
      System.out.flush();
    }
  }

  private static void run(List<Product> products) {
    for (var product : products) {
      Nd4j.gemm(product.a, product.b, product.out, product.turnedA, product.turnedB, 1, 0);
    }
  }

  private record Product(INDArray a, INDArray b, INDArray out, boolean turnedA, boolean turnedB) {
    static Product of(String text) {
      var words = text.split(",");
      int rows = Integer.parseInt(words[0]);
      int inner = Integer.parseInt(words[1]);
      int columns = Integer.parseInt(words[2]);
      boolean turnedA = Boolean.parseBoolean(words[3]);
      boolean turnedB = Boolean.parseBoolean(words[4]);
      var a = turnedA ? Nd4j.randn(DataType.FLOAT, inner, rows) : Nd4j.randn(DataType.FLOAT, rows, inner);
      var b = turnedB ? Nd4j.randn(DataType.FLOAT, columns, inner) : Nd4j.randn(DataType.FLOAT, inner, columns);
      var out = Nd4j.create(DataType.FLOAT, new long[] {rows, columns}, 'f'); // as Nd4j.gemm wants it
      return new Product(a, b, out, turnedA, turnedB);
    }
  }
}
