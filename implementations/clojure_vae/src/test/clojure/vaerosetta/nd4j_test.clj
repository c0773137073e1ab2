(ns vaerosetta.nd4j-test
  "What ND4J does otherwise than the specification wants, as the README says: if a newer one does not, its code can go."
  (:require [clojure.test :refer [deftest is]])
  (:import (org.nd4j.linalg.api.buffer DataType)
           (org.nd4j.linalg.api.ndarray INDArray)
           (org.nd4j.linalg.api.ops CustomOp)
           (org.nd4j.linalg.api.ops.impl.updaters AdamUpdater)
           (org.nd4j.linalg.factory Nd4j)
           (org.nd4j.linalg.ops.transforms Transforms)))

(defn- array ^INDArray [& numbers]
  (Nd4j/create (float-array numbers)))

(deftest softplus-overflows
  (is (= [88.0 ##Inf] (vec (.toFloatVector (Transforms/softPlus (array 88 89)))))))

(deftest minimum-and-maximum-pass-over-a-nan
  (let [pixels (array 0.25 ##NaN 0.5)]
    (is (= [0.25 0.5] [(.doubleValue (.minNumber pixels)) (.doubleValue (.maxNumber pixels))]))))

(deftest the-generator-drops-the-upper-half-of-a-seed
  (let [draw (fn [seed]
               (.setSeed (Nd4j/getRandom) (long seed))
               (vec (.toFloatVector (Nd4j/randn DataType/FLOAT (long-array [3])))))]
    (is (= (draw 1) (draw (inc (bit-shift-left 1 32)))))
    (is (not= (draw 1) (draw 2)))))

(deftest adam-adds-epsilon-before-the-bias-correction
  (let [gradient 1e-9, update (array gradient)]
    (Nd4j/exec ^CustomOp (AdamUpdater. update (array 0) (array 0) 1e-3 0.9 0.999 1e-8 0))
    (let [root (Math/sqrt 0.001)
          epsilon-hat (* 1e-3 (/ (* root gradient) (+ (* root gradient) 1e-8)))
          algorithm-1 (* 1e-3 (/ gradient (+ gradient 1e-8)))]
      (is (< 0.99 (/ (.getDouble update 0) epsilon-hat) 1.01))
      (is (> (/ algorithm-1 epsilon-hat) 20)))))
