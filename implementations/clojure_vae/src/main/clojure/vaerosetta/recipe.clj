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

(defn- batch
  "Those rows of x, (B, D)."
  ^INDArray [^INDArray x rows]
  (Nd4j/pullRows x 1 (int-array rows)))

(defn- noise
  "The noise of images `start` to `start` + `rows` - 1 of an epoch's order, (B, L)."
  ^INDArray [^INDArray x latent-dim seed epoch start rows]
  (let [count (* rows latent-dim)
        normals (PortableStream/normal seed PortableStream$Purpose/NOISE epoch count (* start latent-dim))]
    (weights/array (.dataType x) (Tensor/of normals (int-array [rows latent-dim])))))

(defn train-epoch
  "Epoch `epoch` (from 0) of the recipe on images x (N, D), of the VAE's dtype, by [[vae/train-vae]]. A short last batch
  is kept."
  ([vae x seed epoch] (train-epoch vae x seed epoch 128))
  ([vae ^INDArray x seed epoch batch-size]
   (let [order (PortableStream/permutation seed PortableStream$Purpose/ORDER epoch (.size x 0))
         batches (partition-all batch-size order)]
     (vae/train-vae vae
                    (map #(batch x %) batches)
                    (map #(noise x (:latent-dim (:sizes vae)) seed epoch (* %1 batch-size) (count %2))
                         (range)
                         batches)))))
