(ns vaerosetta.backend
  "The contract around [[vaerosetta.vae]]: tensors of Java's heap in, tensors of Java's heap out."
  (:require [clojure.string :as string]
            [vaerosetta.adam :as adam]
            [vaerosetta.vae :as vae])
  (:import (java.util LinkedHashMap Properties)
           (org.nd4j.linalg.api.buffer DataType)
           (org.nd4j.linalg.api.ndarray INDArray)
           (org.nd4j.linalg.api.rng Random)
           (org.nd4j.linalg.factory Nd4j)
           (vaerosetta Backend Model Model$Losses Model$Posterior Sizes Tensor)))

(set! *warn-on-reflection* true)

(defn array
  "An array of the tensor's shape and values. dtype is :float32 or :float64."
  ^INDArray [dtype ^Tensor tensor]
  (let [shape (long-array (.shape tensor))]
    (case dtype
      :float32 (Nd4j/create (.floats tensor) shape)
      :float64 (Nd4j/create (.doubles tensor) shape))))

(defn tensor
  "A tensor of the array's shape and values."
  ^Tensor [^INDArray array]
  (let [shape (int-array (.shape array))
        flat (.reshape array (long-array [(.length array)]))]
    (if (= (.dataType array) DataType/DOUBLE)
      (Tensor/of (.toDoubleVector flat) shape)
      (Tensor/of (.toFloatVector flat) shape))))

(defn- numbers ^Tensor [dtype values & shape]
  (case dtype
    :float32 (Tensor/of (float-array values) (int-array shape))
    :float64 (Tensor/of (double-array values) (int-array shape))))

(defn- answer!
  "The tensor of an array, which is freed."
  ^Tensor [^INDArray array]
  (with-open [array array]
    (tensor array)))

(defn- moments
  "Adam's moments: what comes before their names, and views of them."
  [{:keys [adam sizes]}]
  {"adam.m." (vae/views (:m adam) sizes), "adam.v." (vae/views (:v adam) sizes)})

(defn- named
  "Tensors of layers under the canonical names, after a prefix."
  [prefix layers]
  (for [[name array] (vae/by-name layers)]
    [(str prefix name) (tensor array)]))

(defn- state [model]
  (let [tensors (LinkedHashMap.)]
    (doseq [[prefix layers] (cons ["" model] (moments model)), [^String name tensor] (named prefix layers)]
      (.put tensors name tensor))
    (doto tensors
      (.put "adam.step" (Tensor/of (long-array [(:steps (:adam model))]) (int-array 0))))))

(defn- assign!
  "Takes up tensors under the canonical names, after a prefix."
  [dtype prefix layers tensors]
  (doseq [[name ^INDArray view] (vae/by-name layers)]
    (with-open [values (array dtype (get tensors (str prefix name)))]
      (.assign view values))))

(def ^:private generator
  "A generator of its own: the caller's is (Nd4j/getRandom)."
  (delay (.getNewRandomInstance (Nd4j/getRandomFactory)))) ; starts ND4J, which compiling this should not

(defn- normals
  "Standard normals (rows, L) from ND4J's generator.

  It looks at the lower half of a seed only, so that 1 and 2^32 + 1 would draw alike. It has two words of state, though:
  each gets a half of the seed, after the mixer of SplitMix64 (Steele, Lea & Flood 2014), since neighbours would resemble
  each other."
  ^INDArray [dtype rows columns seed]
  (let [mix (fn [bits shift factor]
              (let [bits (long bits)]
                (unchecked-multiply (bit-xor bits (unsigned-bit-shift-right bits (long shift))) (long factor))))
        bits (-> (unchecked-add (long seed) (unchecked-long 0x9E3779B97F4A7C15))
                 (mix 30 (unchecked-long 0xBF58476D1CE4E5B9))
                 (mix 27 (unchecked-long 0x94D049BB133111EB))
                 (mix 31 1))]
    (.setStates ^Random @generator (bit-and (long bits) 0xFFFFFFFF) (unsigned-bit-shift-right (long bits) 32))
    (Nd4j/randn (Nd4j/createUninitialized ^DataType (case dtype :float32 DataType/FLOAT :float64 DataType/DOUBLE)
                                          (long-array [rows columns]))
                ^Random @generator)))

(defn- train!
  "Takes K steps; returns the VAE afterwards, and the objective before each step."
  [model ^INDArray images ^longs order ^INDArray noises]
  (let [[steps rows] (.shape noises)]
    (reduce (fn [[model objectives] k]
              (let [chosen (mapv int (take rows (drop (* k rows) order)))]
                (with-open [x (Nd4j/pullRows images 1 (int-array chosen))
                            noise (.dup (.slice noises (long k)))]
                  (let [model (vae/update! model x noise)]
                    [model (conj objectives (:objective model))]))))
            [model []]
            (range steps))))

(defn- load-model
  "A model that holds copies of the parameters."
  ^Model [params ^Sizes sizes dtype]
  (let [dtype (keyword dtype)
        array (fn ^INDArray [tensor] (array dtype tensor))
        latent-dim (.latentDim sizes)
        empty-vae (vae/empty-vae {:input-dim (.inputDim sizes) :hidden-dim (.hiddenDim sizes) :latent-dim latent-dim} dtype)
        held (atom (assoc empty-vae :adam (adam/adam (:parameters empty-vae))))]
    (assign! dtype "" @held params)
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
          (numbers dtype [(vae/loss-function recon-x x mu logvar)])))
      (gradients [_ x noise]
        (with-open [x ^INDArray (array x), noise ^INDArray (array noise)]
          (let [gradient (vae/gradients @held x noise)]
            (with-open [_ ^INDArray (:parameters gradient)]
              (into {} (named "" gradient))))))
      (train [_ x order noise]
        (with-open [x ^INDArray (array x), noise ^INDArray (array noise)]
          (let [[trained objectives] (train! @held x (.longs order) noise)]
            (reset! held trained)
            (numbers dtype objectives (count objectives)))))
      (state [_]
        (state @held))
      (loadState [_ tensors]
        (doseq [[prefix layers] (cons ["" @held] (moments @held))]
          (assign! dtype prefix layers tensors))
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
         "precision" (str "float32 matrix products: " (string/lower-case (.getProperty environment "blas.vendor")))
         "threads" (str (.get environment "omp.threads"))}))
    (load [_ params sizes dtype]
      (load-model params sizes dtype))))
