(ns vaerosetta.vae
  "The classic VAE on ND4J: functions on a map of arrays.

  This file and adam.clj stand alone: copy them, and they work beside nothing but Clojure and ND4J. Symbols: B images, D
  pixels, H hidden units, L latents.

  ### Cheat sheet

  * A model: [[create-vae]]; its parameters: [[by-name]], [[views]]; its memory: [[close!]].

  * q(z|x) and p(x|z): [[encode]], [[reparameterize]], [[decode]]; both: [[forward]]; new images: [[generate]].

  * Losses: [[negative-elbo]], [[kl-divergence]], [[cross-entropy]], [[loss-function]]; their [[gradients]].

  * Training: [[train-vae]] an epoch, [[update!]] a step.

  Functions change nothing that they are given, unless their names end in `!`. Arrays lie outside Java's heap: whoever
  gets one may close it, and what is not closed lives until the garbage collector finds it. A bad argument is an
  ex-info, whose data are its :argument, what was :got and what was :expected."
  (:require [clojure.string :as string]
            [vaerosetta.adam :as adam])
  (:import (org.nd4j.linalg.api.buffer DataType)
           (org.nd4j.linalg.api.memory MemoryWorkspace)
           (org.nd4j.linalg.api.memory.conf WorkspaceConfiguration)
           (org.nd4j.linalg.api.memory.enums SpillPolicy)
           (org.nd4j.linalg.api.ndarray INDArray)
           (org.nd4j.linalg.api.ops CustomOp DynamicCustomOp)
           (org.nd4j.linalg.factory Nd4j)
           (org.nd4j.linalg.indexing NDArrayIndex)
           (org.nd4j.linalg.ops.transforms Transforms)))

(set! *warn-on-reflection* true)

(declare cross-entropy kl-divergence update! copy)

;; Arguments

(defn- refuse [argument got expected]
  (throw (ex-info (str (name argument) ": got " got "; expected " expected)
                  {:argument argument :got got :expected expected})))

(defn- count-of [argument value]
  (if (and (int? value) (pos? (long value))) value (refuse argument (pr-str value) "a whole number, 1 or more")))

(defn- described [value]
  (if (instance? INDArray value)
    (str (.dataType ^INDArray value) " of shape " (pr-str (vec (.shape ^INDArray value))))
    (pr-str value)))

(defn- matrix
  "`value` itself, if it is of the model's dtype and of shape (rows, columns); any number of rows if that is nil."
  ^INDArray [{:keys [^INDArray parameters]} argument ^INDArray value rows columns]
  (if (and (instance? INDArray value)
           (= (.rank value) 2)
           (= (.size value 1) columns)
           (if rows (= (.size value 0) rows) (pos? (.size value 0)))
           (= (.dataType value) (.dataType parameters)))
    value
    (refuse argument (described value) (str (.dataType parameters) " of shape [" (or rows "B") " " columns "]"))))

(defn- images ^INDArray [vae argument value]
  (matrix vae argument value nil (:input-dim (:sizes vae))))

(defn- latents
  (^INDArray [vae argument value] (latents vae argument value nil))
  (^INDArray [vae argument value rows] (matrix vae argument value rows (:latent-dim (:sizes vae)))))

;; Arrays

(defn- uninitialized
  ^INDArray [^INDArray like rows columns]
  (Nd4j/createUninitialized (.dataType like) (long-array [rows columns]) \c))

(defn- gemm!
  "c = a b + beta c, with a or b transposed where so said. ND4J's product copies rows that lie one after another ('c');
  their transposes are columns, which it does not: so this is c^T = b^T a^T."
  [^INDArray a transpose-a ^INDArray b transpose-b ^INDArray c beta]
  (Nd4j/gemm (.transpose b) (.transpose a) (.transpose c) (boolean transpose-b) (boolean transpose-a)
             1.0 (double beta))
  c)

(defn- affine
  "x (B, in) -> x W^T + b, (B, out)."
  ^INDArray [{:keys [^INDArray weight ^INDArray bias]} ^INDArray x]
  (let [y (uninitialized x (.size x 0) (.length bias))]
    (gemm! x false weight true y 0)
    (.addiRowVector y bias)))

(defn- scale! ^INDArray [^INDArray array ^Number factor]
  (.muli array factor))

(defn- add! ^INDArray [^INDArray array ^Number summand]
  (.addi array summand))

(defn- row-sums "(B, n) -> (B)." ^INDArray [^INDArray array]
  (.sum array (int-array [1])))

(defn- total [^INDArray array]
  (.doubleValue (.sumNumber array)))

(defn- sigma "exp(logvar / 2), the standard deviation." ^INDArray [^INDArray logvar]
  (Transforms/exp (scale! (.dup logvar) 0.5) false))

(defn- one-minus ^INDArray [^INDArray array]
  (add! (.neg array) 1))

(defn- clamped-log! ^INDArray [^INDArray probabilities]
  (Transforms/max (Transforms/log probabilities false) -100.0 false))

(defn- relu! ^INDArray [^INDArray array]
  (Transforms/relu array false))

;; The model

(defn encode
  "q(z|x): x (B, D) -> [mu logvar], the mean and the log-variance of a normal distribution, (B, L) each."
  [{:keys [encoder] :as vae} x]
  (with-open [hidden (relu! (affine (:fc1 encoder) (images vae :x x)))] ; (B, H)
    [(affine (:fc2-mu encoder) hidden) (affine (:fc2-logvar encoder) hidden)]))

(defn decode
  "p(x|z): z (B, L) -> the logits of a Bernoulli distribution for each pixel, (B, D)."
  ^INDArray [{:keys [decoder] :as vae} z]
  (with-open [hidden (relu! (affine (:fc3 decoder) (latents vae :z z)))] ; (B, H)
    (affine (:fc4 decoder) hidden)))

(def ^:private layers
  "In canonical order: where it lies in the map, the size of its input, of its output."
  [[[:encoder :fc1] :input-dim :hidden-dim]
   [[:encoder :fc2-mu] :hidden-dim :latent-dim]
   [[:encoder :fc2-logvar] :hidden-dim :latent-dim]
   [[:decoder :fc3] :latent-dim :hidden-dim]
   [[:decoder :fc4] :hidden-dim :input-dim]])

(defn views
  "The layers that a vector of all parameters holds, or of their gradients or moments: {:encoder {:fc1 {:weight :bias}
  :fc2-mu ... :fc2-logvar ...} :decoder {:fc3 ... :fc4 ...}}, weights (out, in) and biases (out) being views of it."
  [^INDArray vector sizes]
  (letfn [(view [start length shape]
            (let [interval (NDArrayIndex/interval (long start) (long (+ start length)))]
              (.reshape (.get vector ^"[Lorg.nd4j.linalg.indexing.INDArrayIndex;" (into-array [interval]))
                        (long-array shape))))]
    (first (reduce (fn [[tree start] [path in out]]
                     (let [in (sizes in) out (sizes out) middle (+ start (* in out))]
                       [(assoc-in tree path {:weight (view start (* in out) [out in]) :bias (view middle out [out])})
                        (+ middle out)]))
                   [{:sizes sizes :parameters vector} 0]
                   layers))))

(defn by-name
  "Canonical names and arrays, in canonical order: [[\"encoder.fc1.weight\" (H, D)] [\"encoder.fc1.bias\" (H)] ...]."
  [vae]
  (for [[path] layers, part [:weight :bias]]
    [(string/replace (string/join "." (map name (conj path part))) "-" "_") (get-in vae (conj path part))]))

(defn empty-vae
  "A VAE whose parameters are still to be written. sizes: {:input-dim :hidden-dim :latent-dim}; dtype as of [[create-vae]]."
  [sizes dtype]
  (let [dtype (or ({:float32 DataType/FLOAT :float64 DataType/DOUBLE} dtype)
                  (refuse :dtype (pr-str dtype) ":float32 or :float64"))]
    (doseq [[argument size] sizes] (count-of argument size))
    (views (Nd4j/create ^DataType dtype (long-array [(reduce + (for [[_ in out] layers] (* (inc (sizes in)) (sizes out))))]))
           sizes)))

(defn create-vae
  "{:encoder ... :decoder ...}, with initial weights and biases uniform in +-1/sqrt(fan_in), drawn by ND4J:
  (.setSeed (Nd4j/getRandom) 0) fixes them. dtype is :float32 or :float64."
  ([input-dim latent-dim] (create-vae input-dim latent-dim 400))
  ([input-dim latent-dim hidden-dim] (create-vae input-dim latent-dim hidden-dim :float32))
  ([input-dim latent-dim hidden-dim dtype]
   (let [sizes {:input-dim input-dim :hidden-dim hidden-dim :latent-dim latent-dim}
         vae (empty-vae sizes dtype)]
     (doseq [[path in] layers, ^INDArray array (vals (get-in vae path))]
       (let [bound (/ (Math/sqrt (sizes in)))]
         (with-open [unit (Nd4j/rand (.dataType array) (.shape array))] ; in [0, 1)
           (.assign array (add! (scale! unit (* 2 bound)) (- bound))))))
     vae)))

(defn reparameterize
  "(B, L) each -> z = mu + exp(logvar / 2) noise, (B, L); noise from ND4J's generator where none is given."
  (^INDArray [vae mu logvar] (reparameterize vae mu logvar nil))
  (^INDArray [vae mu logvar noise]
   (let [mu (latents vae :mu mu)
         rows (.size mu 0)
         noise (if noise (latents vae :noise noise rows) (Nd4j/randn (.dataType mu) (.shape mu)))]
     (-> (sigma (latents vae :logvar logvar rows)) (.muli ^INDArray noise) (.addi mu)))))

(defn forward
  "x (B, D) -> [recon-x mu logvar]: probabilities (B, D), (B, L), (B, L)."
  ([vae x] (forward vae x nil))
  ([vae x noise]
   (let [[mu logvar] (encode vae x)]
     (with-open [z (reparameterize vae mu logvar noise)]
       [(Transforms/sigmoid (decode vae z) false) mu logvar]))))

(defn negative-elbo
  "x (B, D) -> its two terms [reconstruction kl], (B) each, on logits: what training minimises. In nats."
  ([vae x] (negative-elbo vae x nil))
  ([vae x noise]
   (let [[^INDArray mu ^INDArray logvar] (encode vae x)]
     (with-open [mu mu
                 logvar logvar
                 z (reparameterize vae mu logvar noise)
                 logits (decode vae z)] ; (B, D)
       [(cross-entropy logits x) (kl-divergence mu logvar)]))))

(defn generate
  "z (B, L) -> probabilities (B, D)."
  ^INDArray [vae z]
  (Transforms/sigmoid (decode vae z) false))

(defn kl-divergence
  "KL(q(z|x) || N(0, I)) per image: (B, L) -> (B). Kingma & Welling 2014, appendix B."
  ^INDArray [^INDArray mu ^INDArray logvar]
  (with-open [square (.mul mu mu)
              terms (Transforms/exp logvar)]
    (-> terms (.addi square) (add! -1) (.subi logvar) row-sums (scale! 0.5))))

(defn cross-entropy
  "softplus(l) - x l of logits l (B, D) and images x (B, D), summed per image, (B): exact at any finite logit, since
  softplus(l) = max(l, 0) + log(1 + exp(-|l|))."
  ^INDArray [^INDArray logits ^INDArray x]
  (with-open [terms (Transforms/softPlus (.negi (Transforms/abs logits)) false)
              positive (Transforms/relu logits)
              product (.mul x logits)]
    (-> terms (.addi positive) (.subi product) row-sums)))

(defn loss-function
  "The common published loss on probabilities, summed over the batch, each log clamped at -100: recon-x and x (B, D), mu
  and logvar (B, L). Where a pixel saturates, that clamp loses the gradient: [[negative-elbo]] works on logits."
  [^INDArray recon-x ^INDArray x ^INDArray mu ^INDArray logvar]
  (with-open [white (.muli (clamped-log! (.dup recon-x)) x)
              other (one-minus x)
              black (.muli (clamped-log! (one-minus recon-x)) other)
              kl (kl-divergence mu logvar)]
    (- (total kl) (total white) (total black))))

(defn- pixels
  "`value` itself, if it holds images: finite and in [0, 1]."
  [vae argument value]
  (let [x (images vae argument value)
        low (.doubleValue (.minNumber x))
        high (.doubleValue (.maxNumber x))]
    (if (and (<= 0 low) (<= high 1) (not (Double/isNaN (total x)))) ; min and max pass over a NaN
      x
      (refuse argument (str "values from " low " to " high) "finite pixels in [0, 1]"))))

(defn train-vae
  "One epoch over `data`, batches of images (B, D) each: the trained VAE, with the average loss per image under :loss and
  the state of Adam under :adam, by which a further epoch goes on. The one that it was given is as it was.

  noises: (B, L) for each batch, where two runs are to be the same; else ND4J's generator draws it."
  ([vae data] (train-vae vae data (map (constantly nil) data)))
  ([vae data noises]
   (when (empty? data) (refuse :data "no batch" "one or more"))
   (let [step (fn [[vae total rows] [x noise]]
                (when (= noise ::none) (refuse :noises (str "its end after " rows " images") "noise for each batch"))
                (let [vae (update! vae (pixels vae :data x) noise)]
                  [vae (+ total (:objective vae)) (+ rows (.size ^INDArray x 0))]))
         [vae total rows] (reduce step
                                  [(copy vae) 0.0 0]
                                  (map vector data (concat noises (repeat ::none))))]
     (-> vae (dissoc :objective) (assoc :loss (/ total rows))))))

(defn copy
  "A VAE of the same values in memory of its own, with Adam's state beside it: a new one if there is none."
  [{:keys [^INDArray parameters sizes adam]}]
  (let [vae (views (.dup parameters) sizes)]
    (assoc vae :adam (if adam (adam/copy adam) (adam/adam parameters)))))

(defn close!
  "Frees a VAE's memory now, instead of when the garbage collector finds it."
  [{:keys [^INDArray parameters adam]}]
  (.close parameters)
  (some-> adam adam/close!))

;; A step

(defn- mask!
  "derivative where relu's output is positive, 0 elsewhere: in place."
  ^INDArray [^INDArray derivative ^INDArray hidden]
  (Nd4j/exec ^CustomOp (-> (DynamicCustomOp/builder "relu_bp")
                           (.addInputs (into-array INDArray [hidden derivative]))
                           (.addOutputs (into-array INDArray [derivative]))
                           .build))
  derivative)

(defn- differentiate!
  "Writes the gradients of a layer, of its input (B, in) and the derivative by its output (B, out)."
  [{:keys [^INDArray weight ^INDArray bias]} ^INDArray input ^INDArray derivative]
  (gemm! derivative true input false weight 0)
  (with-open [ones (Nd4j/ones (.dataType input) (long-array [1 (.size input 0)]))]
    (gemm! ones false derivative false (.reshape bias (long-array [1 (.length bias)])) 0)))

(defn- backward!
  "The derivative by a layer's output (B, out) -> by its input (B, in), in memory of its shape, which is overwritten."
  ^INDArray [{:keys [^INDArray weight]} ^INDArray derivative ^INDArray result beta]
  (gemm! derivative false weight false result beta))

(defn gradients
  "Of the objective, summed over the batch: layers like the VAE's, views of one vector :parameters; and the :objective
  itself. x (B, D); noise (B, L), from ND4J's generator where none is given."
  ([vae x] (gradients vae x nil))
  ([{:keys [encoder decoder ^INDArray parameters sizes] :as vae} x noise]
   (let [x (images vae :x x)
         rows (.size x 0)
         noise (if noise
                 (latents vae :noise noise rows)
                 (Nd4j/randn (.dataType x) (long-array [rows (:latent-dim sizes)])))
         gradient (views (.ulike parameters) sizes)
         d-encoder (:encoder gradient)
         d-decoder (:decoder gradient)]
     (with-open [hidden (relu! (affine (:fc1 encoder) x)) ; (B, H)
                 mu (affine (:fc2-mu encoder) hidden) ; (B, L)
                 logvar (affine (:fc2-logvar encoder) hidden) ; (B, L)
                 z (reparameterize vae mu logvar noise) ; (B, L)
                 hidden3 (relu! (affine (:fc3 decoder) z)) ; (B, H)
                 logits (affine (:fc4 decoder) hidden3) ; (B, D)
                 reconstruction (cross-entropy logits x) ; (B)
                 kl (kl-divergence mu logvar) ; (B)
                 d-hidden (.ulike hidden)
                 d-z (.ulike z)
                 scale (sigma logvar)] ; (B, L)
       (let [d-logits (.subi (Transforms/sigmoid logits false) x)]
         (differentiate! (:fc4 d-decoder) hidden3 d-logits)
         (mask! (backward! (:fc4 decoder) d-logits d-hidden 0) hidden3)
         (differentiate! (:fc3 d-decoder) z d-hidden)
         (backward! (:fc3 decoder) d-hidden d-z 0))
       (with-open [d-mu (.add d-z mu)
                   variance (.mul scale scale)
                   ;; 1/2 (dz noise sigma + sigma^2 - 1)
                   d-logvar (-> d-z (.mul ^INDArray noise) (.muli scale) (.addi variance) (add! -1) (scale! 0.5))]
         (differentiate! (:fc2-mu d-encoder) hidden d-mu)
         (differentiate! (:fc2-logvar d-encoder) hidden d-logvar)
         (backward! (:fc2-mu encoder) d-mu d-hidden 0)
         (mask! (backward! (:fc2-logvar encoder) d-logvar d-hidden 1) hidden))
       (differentiate! (:fc1 d-encoder) x d-hidden)
       (assoc gradient
              :objective (+ (total reconstruction) (total kl)))))))

(def ^:private scratch
  "The memory of a step, which the next one takes again."
  (.build (.policySpill (WorkspaceConfiguration/builder) SpillPolicy/REALLOCATE)))

(defn update!
  "One step of Adam, in place, on images x (B, D) with noise (B, L), or ND4J's where none is given. Returns the VAE to go on
  with, and under :objective the objective as it was, summed over the batch. It takes what [[copy]] or [[train-vae]]
  returns."
  ([vae x] (update! vae x nil))
  ([{:keys [parameters adam] :as vae} x noise]
   (with-open [_ ^MemoryWorkspace (.getAndActivateWorkspace (Nd4j/getWorkspaceManager) scratch "vaerosetta.vae/update!")]
     (let [{:keys [objective] gradient :parameters} (gradients vae x noise)]
       (assoc vae :adam (adam/step! adam parameters gradient) :objective objective)))))
