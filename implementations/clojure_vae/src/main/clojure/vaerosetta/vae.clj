(ns vaerosetta.vae
  "The classic VAE on ND4J: functions on a map of arrays.

  Symbols: B images, D pixels, H hidden units, L latents.

  ### Cheat sheet

  * A model: [[create-vae]], [[copy]], [[close!]]; its parameters: [[by-name]], [[views]].

  * q(z|x) and p(x|z): [[encode]], [[reparameterize]], [[decode]]; both: [[forward]]; new images: [[generate]].

  * Losses: [[negative-elbo]], [[kl-divergence]], [[cross-entropy]], [[loss-function]]; their [[gradients]].

  * Training: [[train-vae]] an epoch, [[update!]] a step.

  Functions change nothing that they are given, unless their names end in `!`. Arrays lie outside Java's heap: whoever
  gets one may close it, and what is not closed lives until the garbage collector finds it. A bad argument is an
  ex-info, whose data are its :argument, what was :got and what was :expected."
  (:require [clojure.string :as string]
            [vaerosetta.adam :as adam])
  (:import (org.nd4j.linalg.api.buffer DataType)
           (org.nd4j.linalg.api.ndarray INDArray)
           (org.nd4j.linalg.api.ops Op)
           (org.nd4j.linalg.api.ops.impl.transforms.same Sign)
           (org.nd4j.linalg.api.ops.impl.transforms.strict Sigmoid)
           (org.nd4j.linalg.factory Nd4j)
           (org.nd4j.linalg.indexing NDArrayIndex)
           (org.nd4j.linalg.ops.transforms Transforms)))

(set! *warn-on-reflection* true)

(declare cross-entropy kl-divergence update! copy close-memory!)

;; Arguments

(defn- refuse [argument got expected]
  (throw (ex-info (str (name argument) ": got " (if (string? got) got (pr-str got)) "; expected " expected)
                  {:argument argument :got got :expected expected})))

(defn- matrix
  "`value` itself, if it is a matrix of that dtype and shape. nil is any dtype, any number of rows or columns."
  ^INDArray [argument ^INDArray value ^DataType dtype rows columns]
  (if (and (instance? INDArray value)
           (= (.rank value) 2)
           (if dtype (= (.dataType value) dtype) (.isR value))
           (if rows (= (.size value 0) rows) (pos? (.size value 0)))
           (if columns (= (.size value 1) columns) (pos? (.size value 1))))
    value
    (refuse argument
            (if (instance? INDArray value) (str (.dataType value) " of shape " (vec (.shape value))) value)
            (str (or dtype "FLOAT or DOUBLE") " of shape [" (or rows "B") " " (or columns "any") "]"))))

(defn- same-shape ^INDArray [argument value ^INDArray other]
  (matrix argument value (.dataType other) (.size other 0) (.size other 1)))

(defn- images ^INDArray [{:keys [sizes ^INDArray parameters]} argument value]
  (matrix argument value (.dataType parameters) nil (:input-dim sizes)))

(defn- latents ^INDArray [{:keys [sizes ^INDArray parameters]} argument value rows]
  (matrix argument value (.dataType parameters) rows (:latent-dim sizes)))

;; Arrays

(defn- uninitialized ^INDArray [^INDArray like rows columns]
  (Nd4j/createUninitialized (.dataType like) (long-array [rows columns]) \c))

(defn- ones ^INDArray [^INDArray like rows columns]
  (Nd4j/ones (.dataType like) (long-array [rows columns])))

(defn- scale! ^INDArray [^INDArray array ^Number factor]
  (.muli array factor))

(defn- add! ^INDArray [^INDArray array ^Number summand]
  (.addi array summand))

(defn- gemm!
  "c = a b + beta c, with a or b transposed where so said.

  ND4J's product wants its result by columns ('f'), and these arrays lie by rows ('c'): hence c^T = b^T a^T."
  ^INDArray [^INDArray a transpose-a ^INDArray b transpose-b ^INDArray c beta]
  (Nd4j/gemm (.transpose b) (.transpose a) (.transpose c) (boolean transpose-b) (boolean transpose-a)
             1.0 (double beta))
  c)

(defn- affine!
  "y = x W^T + b: x (B, in), y (B, out)."
  ^INDArray [{:keys [weight ^INDArray bias]} x ^INDArray y]
  (.addiRowVector (gemm! x false weight true y 0) bias))

(defn- affine ^INDArray [{:keys [^INDArray bias] :as layer} ^INDArray x]
  (affine! layer x (uninitialized x (.size x 0) (.length bias))))

(defn- relu! ^INDArray [^INDArray array]
  (Transforms/relu array false))

(defn- std "exp(logvar / 2)." ^INDArray [^INDArray logvar]
  (Transforms/exp (scale! (.dup logvar) 0.5) false))

(defn- row-sums "(B, n) -> (B)." ^INDArray [^INDArray array]
  (let [rows (.size array 0)]
    (with-open [column (ones array (.size array 1) 1)]
      (.reshape (gemm! array false column false (uninitialized array rows 1) 0) (long-array [rows])))))

(defn- total [^INDArray array]
  (.doubleValue (.sumNumber array)))

;; The model

(defn encode
  "q(z|x): x (B, D) -> [mu logvar], the mean and the log-variance of a normal distribution, (B, L) each."
  [{:keys [encoder] :as vae} x]
  (with-open [hidden (relu! (affine (:fc1 encoder) (images vae :x x)))] ; (B, H)
    [(affine (:fc2-mu encoder) hidden) (affine (:fc2-logvar encoder) hidden)]))

(defn decode
  "p(x|z): z (B, L) -> the logits of a Bernoulli distribution for each pixel, (B, D)."
  ^INDArray [{:keys [decoder] :as vae} z]
  (with-open [hidden (relu! (affine (:fc3 decoder) (latents vae :z z nil)))] ; (B, H)
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
                     (let [in (sizes in), out (sizes out), middle (+ start (* in out))]
                       [(assoc-in tree path {:weight (view start (* in out) [out in]) :bias (view middle out [out])})
                        (+ middle out)]))
                   [{:sizes sizes :parameters vector} 0]
                   layers))))

(defn by-name
  "Canonical names and arrays, in canonical order: ([\"encoder.fc1.weight\" (H, D)] [\"encoder.fc1.bias\" (H)] ...)."
  [vae]
  (for [[path] layers, part [:weight :bias]]
    [(string/replace (string/join "." (map name (conj path part))) "-" "_") (get-in vae (conj path part))]))

(defn empty-vae
  "A VAE whose parameters, all 0, are to be written. sizes: {:input-dim D :hidden-dim H :latent-dim L}."
  [sizes dtype]
  (doseq [[argument size] sizes]
    (when-not (and (int? size) (pos? size)) (refuse argument size "a whole number, 1 or more")))
  (let [dtype (or ({:float32 DataType/FLOAT :float64 DataType/DOUBLE} dtype)
                  (refuse :dtype dtype ":float32 or :float64"))
        length (reduce + (for [[_ in out] layers] (* (inc (sizes in)) (sizes out))))]
    (views (Nd4j/create ^DataType dtype (long-array [length])) sizes)))

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
  (^INDArray [vae mu logvar]
   (with-open [noise (Nd4j/randn (.dataType (latents vae :mu mu nil)) (.shape ^INDArray mu))]
     (reparameterize vae mu logvar noise)))
  (^INDArray [vae mu logvar noise]
   (if (nil? noise)
     (reparameterize vae mu logvar)
     (let [mu (latents vae :mu mu nil)]
       (-> (std (same-shape :logvar logvar mu)) (.muli (same-shape :noise noise mu)) (.addi mu))))))

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
  ^INDArray [mu logvar]
  (let [mu (matrix :mu mu nil nil nil)
        logvar (same-shape :logvar logvar mu)]
    (with-open [square (.mul mu mu)
                terms (-> (Transforms/exp logvar) (.addi square) (add! -1) (.subi logvar))]
      (scale! (row-sums terms) 0.5))))

(defn- cross-entropy!
  "[[cross-entropy]] of logits, in four further arrays of their shape: probabilities, which are left there, and memory."
  ^INDArray [^INDArray logits ^INDArray x ^INDArray probabilities ^INDArray terms ^INDArray products]
  (Nd4j/exec ^Op (Sigmoid. logits probabilities))
  ;; softplus(l) = max(l, 0) - log(max(p, 1 - p)): ND4J's own overflows
  (.rsubi probabilities ^Number (identity 1) terms)
  (Transforms/log (Transforms/max terms probabilities false) false)
  (.addi terms (.muli x logits products))
  (Transforms/relu (.assign products logits) false)
  (row-sums (.subi products terms)))

(defn cross-entropy
  "softplus(l) - x l of logits l and images x, (B, D) each, summed per image, (B): exact at any finite logit."
  ^INDArray [logits x]
  (let [logits (matrix :logits logits nil nil nil)
        x (same-shape :x x logits)]
    (with-open [probabilities (.ulike logits), terms (.ulike logits), products (.ulike logits)]
      (cross-entropy! logits x probabilities terms products))))

(defn- one-minus ^INDArray [^INDArray array]
  (add! (.neg array) 1))

(defn- clamped-log! ^INDArray [^INDArray probabilities]
  (Transforms/max (Transforms/log probabilities false) -100.0 false))

(defn loss-function
  "The common published loss on probabilities, summed over the batch, each log clamped at -100: recon-x and x (B, D), mu
  and logvar (B, L). Where a pixel saturates, that clamp loses the gradient: [[negative-elbo]] works on logits."
  [recon-x x mu logvar]
  (let [recon-x (matrix :recon-x recon-x nil nil nil)
        x (same-shape :x x recon-x)]
    (with-open [white (.muli (clamped-log! (.dup recon-x)) x)
                other (one-minus x)
                black (.muli (clamped-log! (one-minus recon-x)) other)
                kl (kl-divergence (matrix :mu mu (.dataType x) (.size x 0) nil) logvar)]
      (- (total kl) (total white) (total black)))))

(defn- pixels
  "`value` itself, if it holds images: finite and in [0, 1]."
  ^INDArray [vae argument value]
  (let [x (images vae argument value)
        low (.doubleValue (.minNumber x))
        high (.doubleValue (.maxNumber x))
        nan? (NaN? (total x))] ; ND4J's min and max pass over a NaN
    (if (and (<= 0 low) (<= high 1) (not nan?))
      x
      (refuse argument (if nan? "a NaN" (str "values from " low " to " high)) "pixels in [0, 1]"))))

(defn train-vae
  "One epoch over `data`. Returns the trained VAE, with the average loss per image under :loss, and under :adam the
  state of Adam, from which a further epoch goes on. The one that it was given is as it was.

  data: batches to reduce over, each of them images (B, D), or [images noise] with noise (B, L), where two runs are to
  be the same; else ND4J's generator draws it."
  [vae data]
  (let [[trained total rows]
        (reduce (fn [[vae total rows] batch]
                  (let [[x noise] (if (vector? batch) batch [batch])
                        vae (update! vae (pixels vae :data x) noise)]
                    [vae (+ total (:objective vae)) (+ rows (.size ^INDArray x 0))]))
                [(copy vae) 0.0 0]
                data)]
    (close-memory! trained)
    (when (zero? rows) (refuse :data "no batch" "one or more"))
    (-> trained (dissoc :memory :objective) (assoc :loss (/ total rows)))))

(defn copy
  "A VAE of the same values in memory of its own, with Adam's state beside it: a new one if there is none."
  [{:keys [^INDArray parameters sizes adam]}]
  (assoc (views (.dup parameters) sizes) :adam (if adam (adam/copy adam) (adam/adam parameters))))

(defn close!
  "Frees a VAE's memory now, instead of when the garbage collector finds it."
  [{:keys [^INDArray parameters adam] :as vae}]
  (close-memory! vae)
  (some-> adam adam/close!)
  (.close parameters))

;; A step

(defn- differentiate!
  "Writes the gradients of a layer, of its input (B, in) and the derivative by its output (B, out)."
  [{:keys [weight ^INDArray bias]} ^INDArray input derivative]
  (gemm! derivative true input false weight 0)
  (with-open [row (ones input 1 (.size input 0))]
    (gemm! row false derivative false (.reshape bias (long-array [1 (.length bias)])) 0)))

(defn- backward!
  "The derivative by a layer's output (B, out) -> by its input (B, in): in `result`, added to beta times what is there."
  ^INDArray [{:keys [weight]} derivative result beta]
  (gemm! derivative false weight false result beta))

(defn- mask!
  "The derivative by relu's output -> by its input; at 0 it is 0. `hidden`, relu's output, is used up."
  ^INDArray [^INDArray derivative ^INDArray hidden]
  (.muli derivative (Nd4j/exec ^Op (Sign. hidden hidden))))

(defn- memory
  "What a step of so many images writes to: made once, since fresh memory is slow."
  [{:keys [^INDArray parameters sizes]} rows]
  (letfn [(array [size] (uninitialized parameters rows (sizes size)))]
    {:rows rows
     :gradient (views (.ulike parameters) sizes)
     :hiddens (vec (repeatedly 3 #(array :hidden-dim)))
     :pictures (vec (repeatedly 4 #(array :input-dim)))}))

(defn- close-memory! [{:keys [memory]}]
  (doseq [^INDArray array (concat (:hiddens memory) (:pictures memory) (some-> memory :gradient :parameters list))]
    (.close array)))

(defn- gradients!
  "Writes the gradients of the objective, summed over the batch, to the memory's :gradient. Returns the objective."
  [{:keys [encoder decoder] :as vae} {:keys [gradient hiddens pictures]} ^INDArray x ^INDArray noise]
  (let [{d-encoder :encoder d-decoder :decoder} gradient
        [hidden hidden3 d-hidden] hiddens ; (B, H)
        [logits ^INDArray d-logits terms products] pictures] ; (B, D)
    (relu! (affine! (:fc1 encoder) x hidden))
    (with-open [mu (affine (:fc2-mu encoder) hidden) ; (B, L)
                logvar (affine (:fc2-logvar encoder) hidden) ; (B, L)
                z (reparameterize vae mu logvar noise) ; (B, L)
                kl (kl-divergence mu logvar) ; (B)
                reconstruction (-> (:fc3 decoder) (affine! z hidden3) relu!
                                   (as-> hidden3 (affine! (:fc4 decoder) hidden3 logits))
                                   (cross-entropy! x d-logits terms products)) ; (B)
                d-z (.ulike z) ; (B, L)
                sigma (std logvar)] ; (B, L)
      (.subi d-logits x)
      (differentiate! (:fc4 d-decoder) hidden3 d-logits)
      (mask! (backward! (:fc4 decoder) d-logits d-hidden 0) hidden3)
      (differentiate! (:fc3 d-decoder) z d-hidden)
      (backward! (:fc3 decoder) d-hidden d-z 0)
      (with-open [d-mu (.add d-z mu)
                  variance (.mul sigma sigma)
                  ;; 1/2 (dz noise sigma + sigma^2 - 1)
                  d-logvar (-> (.mul d-z noise) (.muli sigma) (.addi variance) (add! -1) (scale! 0.5))]
        (differentiate! (:fc2-mu d-encoder) hidden d-mu)
        (differentiate! (:fc2-logvar d-encoder) hidden d-logvar)
        (backward! (:fc2-mu encoder) d-mu d-hidden 0)
        (mask! (backward! (:fc2-logvar encoder) d-logvar d-hidden 1) hidden))
      (differentiate! (:fc1 d-encoder) x d-hidden)
      (+ (total reconstruction) (total kl)))))

(defn- normals
  "Noise (B, L) for images x, from ND4J's generator."
  ^INDArray [vae x]
  (let [x (images vae :x x)]
    (Nd4j/randn (.dataType x) (long-array [(.size x 0) (:latent-dim (:sizes vae))]))))

(defn gradients
  "Of the objective, summed over the batch: layers like the VAE's, views of one vector under :parameters; and the
  :objective itself. x (B, D); noise (B, L), from ND4J's generator where none is given."
  ([vae x]
   (with-open [noise (normals vae x)]
     (gradients vae x noise)))
  ([vae x noise]
   (let [x (images vae :x x)
         memory (memory vae (.size x 0))
         objective (gradients! vae memory x (latents vae :noise noise (.size x 0)))]
     (close-memory! {:memory (dissoc memory :gradient)})
     (assoc (:gradient memory) :objective objective))))

(defn update!
  "One step of Adam, in place, on images x (B, D) with noise (B, L), or ND4J's where none is given. Takes a [[copy]], or
  what an earlier step returned. Returns the VAE to go on with: under :objective the objective as it was before the
  step, summed over the batch, and under :memory what the next step writes to, which [[close!]] frees."
  ([vae x]
   (with-open [noise (normals vae x)]
     (update! vae x noise)))
  ([{:keys [parameters adam] :as vae} x noise]
   (if (nil? noise)
     (update! vae x)
     (let [x (images vae :x x)
           rows (.size x 0)
           noise (latents vae :noise noise rows)
           memory (if (= rows (:rows (:memory vae)))
                    (:memory vae)
                    (do (close-memory! vae) (memory vae rows)))
           objective (gradients! vae memory x noise)]
       (assoc vae
              :adam (adam/step! adam parameters (:parameters (:gradient memory)))
              :objective objective
              :memory memory)))))
