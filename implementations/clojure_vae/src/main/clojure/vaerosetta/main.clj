(ns vaerosetta.main
  "The program that answers the requests of `conformance/PROTOCOL.md`."
  (:require [vaerosetta.backend :refer [backend]])
  (:import (org.nd4j.linalg.factory Nd4j)
           (vaerosetta Server)))

(set! *warn-on-reflection* true)

(defn -main
  "ND4J itself gets one thread. Its threads go on spinning after each operation, on the cores on which OpenBLAS then makes a
  product with threads of its own."
  [& arguments]
  (.setMaxMasterThreads (Nd4j/getEnvironment) 1)
  (Server/run backend (into-array String arguments)))
