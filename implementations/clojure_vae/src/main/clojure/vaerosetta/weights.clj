(ns vaerosetta.weights
  "Arrays from tensors, tensors from arrays, and weights in safetensors files under their canonical names."
  (:require [vaerosetta.vae :as vae])
  (:import (java.nio.file Path)
           (java.util LinkedHashMap Map)
           (org.nd4j.linalg.api.buffer DataType)
           (org.nd4j.linalg.api.ndarray INDArray)
           (org.nd4j.linalg.factory Nd4j)
           (vaerosetta Checks SafeTensors Sizes Tensor)))

(set! *warn-on-reflection* true)

(defn array
  "An array of the tensor's shape and values."
  ^INDArray [^DataType dtype ^Tensor tensor]
  (let [shape (long-array (.shape tensor))]
    (if (= dtype DataType/DOUBLE)
      (Nd4j/create (.doubles tensor) shape)
      (Nd4j/create (.floats tensor) shape))))

(defn tensor
  "A tensor of the array's shape and values."
  ^Tensor [^INDArray array]
  (let [shape (int-array (.shape array))
        flat (.reshape array (long-array [(.length array)]))]
    (if (= (.dataType array) DataType/DOUBLE)
      (Tensor/of (.toDoubleVector flat) shape)
      (Tensor/of (.toFloatVector flat) shape))))

(defn named
  "Tensors of a VAE's parameters, or of layers like them, under their canonical names after a prefix, in their order."
  (^Map [layers] (named "" layers))
  (^Map [prefix layers]
   (reduce (fn [^Map tensors [name array]] (doto tensors (.put (str prefix name) (tensor array))))
           (LinkedHashMap.)
           (vae/by-name layers))))

(defn assign!
  "Takes up the tensors that lie under the canonical names after a prefix."
  ([layers tensors] (assign! "" layers tensors))
  ([prefix layers tensors]
   (doseq [[name ^INDArray view] (vae/by-name layers)]
     (with-open [values (array (.dataType view) (get tensors (str prefix name)))]
       (.assign view values)))))

(defn from-tensors
  "A VAE of checked parameters under their canonical names. dtype is :float32 or :float64."
  [params ^Sizes sizes dtype]
  (let [sizes {:input-dim (.inputDim sizes) :hidden-dim (.hiddenDim sizes) :latent-dim (.latentDim sizes)}]
    (doto (vae/empty-vae sizes dtype)
      (assign! params))))

(defn read-vae
  "The VAE whose weights a file holds, whichever port wrote them. dtype is :float32 or :float64."
  ([path] (read-vae path :float32))
  ([path dtype]
   (let [params (.tensors (SafeTensors/read (Path/of path (make-array String 0))))]
     (from-tensors params (Checks/parameters params) dtype))))

(defn write-vae!
  "Writes the weights to a file that every port reads."
  [path vae]
  (SafeTensors/write (Path/of path (make-array String 0)) (named vae) {}))
