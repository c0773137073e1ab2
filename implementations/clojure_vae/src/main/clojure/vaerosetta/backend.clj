(ns vaerosetta.backend
  "The contract around [[vaerosetta.vae]]: tensors of Java's heap in, tensors of Java's heap out."
  (:require [clojure.string :as string]
            [vaerosetta.adam :as adam]
            [vaerosetta.vae :as vae]
            [vaerosetta.weights :as weights])
  (:import (java.util Arrays LinkedHashMap Properties)
           (org.bytedeco.openblas.global openblas)
           (org.nd4j.linalg.api.buffer DataType)
           (org.nd4j.linalg.api.ndarray INDArray)
           (org.nd4j.linalg.api.rng Random)
           (org.nd4j.linalg.factory Nd4j)
           (vaerosetta Backend Model Model$Losses Model$Posterior Sizes Tensor)))

(set! *warn-on-reflection* true)

(defn- numbers
  "A tensor of numbers, of the model's dtype."
  ^Tensor [^DataType dtype values shape]
  (if (= dtype DataType/DOUBLE)
    (Tensor/of (double-array values) (int-array shape))
    (Tensor/of (float-array values) (int-array shape))))

(defn- answer!
  "The tensor of an array, which is freed."
  ^Tensor [^INDArray array]
  (with-open [array array]
    (weights/tensor array)))

(defn- state-parts
  "What a state holds beside the number of steps: what comes before the names, and the layers."
  [{:keys [adam sizes] :as vae}]
  [["" vae] ["adam.m." (vae/views (:m adam) sizes)] ["adam.v." (vae/views (:v adam) sizes)]])

(defn- state [vae]
  (doto (LinkedHashMap.)
    (as-> tensors (doseq [[prefix layers] (state-parts vae)] (.putAll tensors (weights/named prefix layers))))
    (.put "adam.step" (Tensor/of (long-array [(:steps (:adam vae))]) (int-array 0)))))

(def ^:private generator
  "A generator of its own: the caller's is (Nd4j/getRandom)."
  (delay (.getNewRandomInstance (Nd4j/getRandomFactory)))) ; starts ND4J, which compiling this should not

(defn- mixed
  "The seed's bits, each of which has changed all others: the mixer of SplitMix64 (Steele, Lea & Flood 2014)."
  ^long [^long seed]
  (letfn [(fold [^long bits ^long shift] (bit-xor bits (unsigned-bit-shift-right bits shift)))]
    (-> (unchecked-add seed (unchecked-long 0x9E3779B97F4A7C15))
        (fold 30)
        long
        (unchecked-multiply (unchecked-long 0xBF58476D1CE4E5B9))
        (fold 27)
        long
        (unchecked-multiply (unchecked-long 0x94D049BB133111EB))
        (fold 31)
        long)))

(defn- normals
  "Standard normals (rows, columns) from ND4J's generator.

  It looks at the lower half of a seed only, so that 1 and 2^32 + 1 would draw alike. It has two words of state, though:
  each gets a half of the seed, after its bits are mixed, since neighbours would resemble each other."
  ^INDArray [^DataType dtype rows columns seed]
  (let [bits (mixed seed)]
    (.setStates ^Random @generator (bit-and bits 0xFFFFFFFF) (unsigned-bit-shift-right bits 32))
    (Nd4j/randn (Nd4j/createUninitialized dtype (long-array [rows columns])) ^Random @generator)))

(defn- train!
  "K steps on rows `order` (K B) of images (N, D), with noise (K, B, L), in place. Returns the VAE to go on with, and
  the objective before each step."
  [vae ^INDArray images order ^INDArray noises]
  (let [[steps rows latents] (.shape noises)
        order (int-array order)]
    (with-open [x (Nd4j/createUninitialized (.dataType images) (long-array [rows (.size images 1)])) ; made once for all
                noise (Nd4j/createUninitialized (.dataType images) (long-array [rows latents]))]
      (reduce (fn [[vae objectives] k]
                (Nd4j/pullRows images x 1 (Arrays/copyOfRange order (int (* k rows)) (int (* (inc k) rows))))
                (.assign noise (.slice noises (long k)))
                (let [vae (vae/update! vae x noise)]
                  [vae (conj objectives (:objective vae))]))
              [vae []]
              (range steps)))))

(def ^:private threaded-rows
  "Images in a step from which OpenBLAS gets all threads. It wakes them for each product, which takes them a millisecond: on
  two cores a step of 128 takes 7 ms with one thread and 16 with two, one of 512 takes 24 and 22."
  512)

(defn- with-threads-for
  "What `work` returns, called while OpenBLAS has the threads that suit a step of so many images."
  [rows work]
  (let [threads (openblas/blas_get_num_threads)]
    (openblas/blas_set_num_threads (if (< (long rows) (long threaded-rows)) 1 threads))
    (try (work) (finally (openblas/blas_set_num_threads threads)))))

(defn- load-model
  "A model that holds copies of the parameters."
  ^Model [params ^Sizes sizes dtype]
  (let [loaded (weights/from-tensors params sizes (keyword dtype))
        dtype (.dataType ^INDArray (:parameters loaded))
        latent-dim (.latentDim sizes)
        array (fn [tensor] (weights/array dtype tensor))
        held (atom (assoc loaded :adam (adam/adam (:parameters loaded))))] ; a Model is a thing that changes
    (reify Model
      (encode [_ x]
        (with-open [x ^INDArray (array x)]
          (let [[mu logvar] (vae/encode @held x)]
            (Model$Posterior. (answer! mu) (answer! logvar)))))
      (reparameterize [_ mu logvar noise]
        (with-open [mu ^INDArray (array mu), logvar ^INDArray (array logvar), noise ^INDArray (array noise)]
          (answer! (vae/reparameterize @held mu logvar noise))))
      (decode [_ z]
        (with-open [z ^INDArray (array z)]
          (answer! (vae/decode @held z))))
      (losses [_ x noise]
        (with-open [x ^INDArray (array x), noise ^INDArray (array noise)]
          (let [[reconstruction kl] (vae/negative-elbo @held x noise)]
            (Model$Losses. (answer! reconstruction) (answer! kl)))))
      (lossOnProbabilities [_ recon-x x mu logvar]
        (with-open [recon-x ^INDArray (array recon-x), x ^INDArray (array x)
                    mu ^INDArray (array mu), logvar ^INDArray (array logvar)]
          (numbers dtype [(vae/loss-function recon-x x mu logvar)] [])))
      (gradients [_ x noise]
        (with-open [x ^INDArray (array x), noise ^INDArray (array noise)]
          (let [gradients (vae/gradients @held x noise)]
            (with-open [_ ^INDArray (:parameters gradients)]
              (weights/named gradients)))))
      (train [_ x order noise]
        (with-open [x ^INDArray (array x), noise ^INDArray (array noise)]
          (let [rows (second (.shape order))
                [vae objectives] (with-threads-for rows #(train! @held x (.longs order) noise))]
            (reset! held vae)
            (numbers dtype objectives [(count objectives)]))))
      (state [_]
        (state @held))
      (loadState [_ tensors]
        (doseq [[prefix layers] (state-parts @held)]
          (weights/assign! prefix layers tensors))
        (swap! held assoc-in [:adam :steps] (first (.longs ^Tensor (get tensors "adam.step")))))
      (sample [_ x seed]
        (with-open [x ^INDArray (array x)]
          (let [[^INDArray mu ^INDArray logvar] (vae/encode @held x)]
            (with-open [mu mu, logvar logvar, noise (normals dtype (.size x 0) latent-dim seed)]
              (answer! (vae/reparameterize @held mu logvar noise))))))
      (generate [_ n seed]
        (with-open [z (normals dtype n latent-dim seed)]
          (answer! (vae/generate @held z))))
      (close [_]
        (vae/close! @held)))))

(defn- version
  "Of ND4J, from what Maven has put into its jar."
  []
  (with-open [stream (.getResourceAsStream Nd4j "/META-INF/maven/org.nd4j/nd4j-api/pom.properties")]
    (.getProperty (doto (Properties.) (.load stream)) "version")))

(def backend
  "ND4J on the CPU."
  (reify Backend
    (describe [_]
      (let [environment (.getEnvironmentInformation (Nd4j/getExecutioner))]
        {"framework" "nd4j"
         "version" (version)
         "device" "cpu"
         "precision" (str "float32 matrix products: " (.getProperty environment "blas.vendor"))
         "threads" (str (.get environment "omp.threads"))}))
    (load [_ params sizes dtype]
      (load-model params sizes dtype))))
