(ns vaerosetta.main
  "The program that answers the requests of `conformance/PROTOCOL.md`."
  (:require [vaerosetta.backend :refer [backend]])
  (:import (vaerosetta Server)))

(defn -main [& arguments]
  (Server/run backend (into-array String arguments)))
