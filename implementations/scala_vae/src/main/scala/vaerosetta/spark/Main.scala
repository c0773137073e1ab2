package vaerosetta.spark

import java.io.IOException

import org.apache.spark.launcher.JavaModuleOptions
import vaerosetta.Server

/** Answers the requests of `conformance/PROTOCOL.md`. */
object Main {
  def main(args: Array[String]): Unit = {
    try Server.run(new SparkBackend, args: _*)
    catch {
      case error @ (_: IOException | _: IllegalArgumentException) =>
        Console.err.println(error.getMessage)
        sys.exit(2)
    }
    sys.exit(0) // Spark's threads end with it
  }
}

/** Prints the flags that Spark wants of Java, for the build. */
object Flags {
  def main(args: Array[String]): Unit = println(JavaModuleOptions.defaultModuleOptions)
}
