package vaerosetta.dl4j;

import java.io.IOException;
import vaerosetta.Server;

/** The program that answers the requests of {@code conformance/PROTOCOL.md}. */
public final class Main {
  private Main() {}

  /** @throws IOException a request cannot be read or a response not written */
  public static void main(String[] args) throws IOException {
    Server.run(new Dl4jBackend(), args);
  }
}
