(ns vaerosetta.recipe
  "A run that is the same in every framework and language: its initial weights, the order of images and their noise come
  from one portable stream, by a seed."
  (:require [vaerosetta.vae :as vae]
            [vaerosetta.weights :as weights])
  (:import (org.nd4j.linalg.api.ndarray INDArray)
           (org.nd4j.linalg.factory Nd4j)
           (vaerosetta PortableStream PortableStream$Purpose Sizes Tensor)))

(set! *warn-on-reflection* true)

(defn initial-vae
  "What [[vae/create-vae]] returns, with the weights of the seed."
  ([seed input-dim latent-dim] (initial-vae seed input-dim latent-dim 400))
  ([seed input-dim latent-dim hidden-dim] (initial-vae seed input-dim latent-dim hidden-dim :float32))
  ([seed input-dim latent-dim hidden-dim dtype]
   (let [sizes (Sizes. input-dim hidden-dim latent-dim)]
     (weights/from-tensors (PortableStream/initialParameters seed sizes) sizes dtype))))

(defn- noise
  "The noise of images `start` to `start` + `rows` - 1 of an epoch's order, (B, L)."
  ^INDArray [dtype latent-dim seed epoch start rows]
  (-> (PortableStream/normal seed PortableStream$Purpose/NOISE epoch (* rows latent-dim) (* start latent-dim))
      (Tensor/of (int-array [rows latent-dim]))
      (->> (weights/array dtype))))

(defn- freed
  "A transducer: each pair of arrays is freed when what follows is done with it."
  [step]
  (fn
    ([result] (step result))
    ([result [^INDArray x ^INDArray noise]]
     (with-open [x x, noise noise]
       (step result [x noise])))))

(defn epoch
  "What [[vae/train-vae]] takes: the batches of epoch `number` (from 0), images x (N, D) in the seed's order with their
  noise. They come one at a time when it is reduced over. A short last batch is kept."
  [^INDArray x latent-dim seed number batch-size]
  (eduction (partition-all batch-size)
            (map-indexed (fn [k rows]
                           [(Nd4j/pullRows x 1 (int-array rows))
                            (noise (.dataType x) latent-dim seed number (* k batch-size) (count rows))]))
            freed
            (PortableStream/permutation seed PortableStream$Purpose/ORDER number (.size x 0))))

(defn train-epoch
  "Trains on images x (N, D), of the VAE's dtype, for epoch `number` (from 0) of the recipe: see [[vae/train-vae]]."
  ([vae x seed number] (train-epoch vae x seed number 128))
  ([vae x seed number batch-size]
   (vae/train-vae vae (epoch x (:latent-dim (:sizes vae)) seed number batch-size))))
