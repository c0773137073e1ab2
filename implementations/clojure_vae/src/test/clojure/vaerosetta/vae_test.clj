(ns vaerosetta.vae-test
  "What somebody at a REPL meets. The golden vectors are the conformance suite's."
  (:require [clojure.test :refer [are deftest is]]
            [vaerosetta.adam :as adam]
            [vaerosetta.recipe :as recipe]
            [vaerosetta.vae :as vae]
            [vaerosetta.weights :as weights])
  (:import (clojure.lang ExceptionInfo)
           (java.io File)
           (org.bytedeco.javacpp Pointer)
           (org.nd4j.linalg.api.buffer DataType)
           (org.nd4j.linalg.api.ndarray INDArray)
           (org.nd4j.linalg.factory Nd4j)))

(defn- matrix
  "Rows of numbers as an array of float64."
  ^INDArray [rows]
  (Nd4j/create ^"[[D" (into-array (map double-array rows))))

(defn- singles ^INDArray [rows]
  (.castTo (matrix rows) DataType/FLOAT))

(defn- numbers [^INDArray array]
  (vec (.toDoubleVector (.castTo (.reshape array (long-array [(.length array)])) DataType/DOUBLE))))

(defn- near? [expected got]
  (every? true? (map #(<= (abs (- %1 %2)) (* 1e-6 (+ 1e-3 (abs %1)))) expected got)))

(defn- random-images ^INDArray [rows pixels]
  (Nd4j/rand DataType/FLOAT (long-array [rows pixels])))

(def ^:private x [[0.0 1.0 0.25 0.5] [1.0 0.0 0.75 0.5]])
(def ^:private noise [[0.5 -1.0] [1.5 0.25]])

;; Values

(deftest kl-divergence-is-the-closed-form
  (is (near? [0.5 (/ (- (Math/exp 1) 2) 2)]
             (numbers (vae/kl-divergence (matrix [[1 0] [0 0]]) (matrix [[0 0] [1 0]]))))))

(deftest cross-entropy-is-exact-where-probabilities-are-not
  (is (= [0.0 1000.0 1000.0 500.0]
         (numbers (vae/cross-entropy (singles [[1000] [-1000] [1000] [-1000]]) (singles [[1] [1] [0] [0.5]]))))))

(deftest loss-function-clamps-logarithms
  (is (= 100.0 (vae/loss-function (singles [[0]]) (singles [[1]]) (singles [[0]]) (singles [[0]])))))

(deftest functions-are-made-of-each-other
  (let [model (vae/create-vae 4 2 3 :float64)
        [mu logvar] (vae/encode model (matrix x))
        z (vae/reparameterize model mu logvar (matrix noise))
        [recon-x mu-again] (vae/forward model (matrix x) (matrix noise))
        [reconstruction kl] (vae/negative-elbo model (matrix x) (matrix noise))]
    (is (near? (map #(/ (inc (Math/exp (- %)))) (numbers (vae/decode model z))) (numbers recon-x)))
    (is (= (numbers recon-x) (numbers (vae/generate model z))))
    (is (= (numbers mu) (numbers mu-again)))
    (is (near? (numbers (vae/cross-entropy (vae/decode model z) (matrix x))) (numbers reconstruction)))
    (is (near? (numbers (vae/kl-divergence mu logvar)) (numbers kl)))))

(defn- objective [model]
  (reduce + (mapcat numbers (vae/negative-elbo model (matrix x) (matrix noise)))))

(deftest gradients-are-those-of-the-objective
  (let [model (vae/create-vae 4 2 3 :float64)
        gradients (vae/gradients model (matrix x) (matrix noise))
        ^INDArray parameters (:parameters model)
        moved (fn [i step]
                (let [copy (vae/copy model)]
                  (.putScalar ^INDArray (:parameters copy) (long i) (+ step (.getDouble parameters (long i))))
                  (objective copy)))
        differences (for [i (range (.length parameters))]
                      (/ (- (moved i 1e-5) (moved i -1e-5)) 2e-5))]
    (is (near? [(objective model)] [(:objective gradients)]))
    (is (near? differences (numbers (:parameters gradients))))))

(deftest adam-adds-epsilon-after-the-bias-correction
  (let [parameters (Nd4j/create (double-array [1.0]))
        gradient 1e-9 ; so small that epsilon's place decides
        state (adam/step! (adam/adam parameters) parameters (Nd4j/create (double-array [gradient])))]
    (is (= 1 (:steps state)))
    (is (near? [(* 1e-3 (/ gradient (+ gradient 1e-8)))] [(- 1 (.getDouble parameters 0))]))))

;; Training

(deftest training-from-a-seed-repeats
  (let [data (mapv (fn [_] (random-images 8 16)) (range 3))
        train #(do (.setSeed (Nd4j/getRandom) 7)
                   (->> (vae/create-vae 16 2 5) (iterate (fn [model] (vae/train-vae model data))) (take 4) last))
        [once again] (repeatedly 2 train)]
    (is (= (:loss once) (:loss again)))
    (is (= (numbers (:parameters once)) (numbers (:parameters again))))
    (is (= 9 (:steps (:adam once))))))

(deftest training-lowers-the-loss-and-leaves-its-argument-alone
  (let [model (vae/create-vae 16 2 5)
        before (numbers (:parameters model))
        data (repeat 50 (random-images 8 16))
        losses (->> model (iterate #(vae/train-vae % data)) rest (take 5) (map :loss))]
    (is (< (last losses) (first losses)))
    (is (= before (numbers (:parameters model))))))

(deftest the-recipe-repeats-whatever-the-library-draws
  (let [digits (random-images 20 16)
        train #(recipe/train-epoch (recipe/initial-vae 3 16 2 5) digits 3 0 8)
        [once again] (repeatedly 2 train)]
    (is (= (numbers (:parameters once)) (numbers (:parameters again))))
    (is (= 3 (:steps (:adam once)))))) ; the short last batch is kept

(deftest memory-does-not-grow-over-steps
  (let [images (random-images 256 50)
        steps (fn [model] (nth (iterate #(vae/update! % images) model) 500)) ; (B, L) left behind would be 100 MB
        model (steps (vae/copy (vae/create-vae 50 200 20)))
        before (Pointer/physicalBytes)
        model (steps model)]
    (is (< (- (Pointer/physicalBytes) before) 4e7))
    (vae/close! model)))

(deftest memory-does-not-grow-over-epochs
  (let [digits (random-images 2048 500) ; 4 MB of batches an epoch
        epochs (fn [model] (reduce #(recipe/train-epoch %1 digits 0 %2 512) model (range 40)))
        model (epochs (recipe/initial-vae 0 500 2 3))
        before (Pointer/physicalBytes)]
    (epochs model)
    (is (< (- (Pointer/physicalBytes) before) 4e7))))

;; Files

(deftest weights-survive-a-file
  (let [model (vae/create-vae 4 2 3)
        path (.getPath (doto (File/createTempFile "weights" ".safetensors") .deleteOnExit))]
    (weights/write-vae! path model)
    (is (= (:sizes model) (:sizes (weights/read-vae path))))
    (is (= (numbers (:parameters model)) (numbers (:parameters (weights/read-vae path :float64)))))
    (is (= ["encoder.fc1.weight" "encoder.fc1.bias" "encoder.fc2_mu.weight"]
           (take 3 (map first (vae/by-name model)))))))

;; Bad arguments

(defn- refusal [f]
  (try (f) (catch ExceptionInfo error error)))

(deftest a-bad-argument-is-named-with-what-was-expected
  (let [model (vae/create-vae 4 2 3)
        z (singles noise)]
    (are [form message] (= message (ex-message (refusal (fn [] form))))
      (vae/create-vae 0 2) "input-dim: got 0; expected a whole number, 1 or more"
      (vae/create-vae 4 2.5) "latent-dim: got 2.5; expected a whole number, 1 or more"
      (vae/create-vae 4 2 "3") "hidden-dim: got 3; expected a whole number, 1 or more"
      (vae/create-vae 4 2 3 :int8) "dtype: got :int8; expected :float32 or :float64"
      (vae/encode model (singles [[0 1 0]])) "x: got FLOAT of shape [1 3]; expected FLOAT of shape [B 4]"
      (vae/encode model (matrix x)) "x: got DOUBLE of shape [2 4]; expected FLOAT of shape [B 4]"
      (vae/encode model [0 1 0 1]) "x: got [0 1 0 1]; expected FLOAT of shape [B 4]"
      (vae/decode model (singles x)) "z: got FLOAT of shape [2 4]; expected FLOAT of shape [B 2]"
      (vae/reparameterize model z (singles [[0 0]])) "logvar: got FLOAT of shape [1 2]; expected FLOAT of shape [2 2]"
      (vae/forward model (singles x) (singles x)) "noise: got FLOAT of shape [2 4]; expected FLOAT of shape [2 2]"
      (vae/gradients model (singles x) (singles [[0 0]]))
      "noise: got FLOAT of shape [1 2]; expected FLOAT of shape [2 2]"
      (vae/cross-entropy (singles x) z) "x: got FLOAT of shape [2 2]; expected FLOAT of shape [2 4]"
      (vae/kl-divergence z nil) "logvar: got nil; expected FLOAT of shape [2 2]"
      (vae/train-vae model []) "data: got no batch; expected one or more"
      (vae/train-vae model [(singles [[0 1 2 0]])]) "data: got values from 0.0 to 2.0; expected pixels in [0, 1]"
      (vae/train-vae model [(singles [[0 1 ##NaN 0]])]) "data: got a NaN; expected pixels in [0, 1]"
      (vae/train-vae model [[(singles x) (singles x)]])
      "noise: got FLOAT of shape [2 4]; expected FLOAT of shape [2 2]")))

(deftest a-refusal-holds-its-parts
  (is (= {:argument :hidden-dim :got -1 :expected "a whole number, 1 or more"}
         (ex-data (refusal #(vae/create-vae 4 2 -1))))))
