package vaerosetta.spark

import org.apache.spark.launcher.JavaModuleOptions
import vaerosetta.Server

/** Answers the requests of `conformance/PROTOCOL.md`. */
object Main {
  def main(args: Array[String]): Unit = {
    Server.run(new SparkBackend, args: _*)
    sys.exit(0) // Spark's threads end with it
  }
}

/** Prints the flags that Spark wants of Java, for the build. */
object Flags {
  def main(args: Array[String]): Unit = println(JavaModuleOptions.defaultModuleOptions)
}
