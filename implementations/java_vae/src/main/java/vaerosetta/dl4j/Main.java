package vaerosetta.dl4j;

import vaerosetta.Server;

/** The program that answers the requests of {@code conformance/PROTOCOL.md}. */
public final class Main {
  private Main() {}

  public static void main(String[] args) {
    Server.run(new Dl4jBackend(), args);
  }
}
