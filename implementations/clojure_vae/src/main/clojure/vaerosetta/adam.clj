(ns vaerosetta.adam
  "Algorithm 1 of Kingma & Ba 2015 on ND4J.

  ND4J's own Adam is the variant that the paper calls epsilon-hat: it adds epsilon before the bias correction of v."
  (:import (org.nd4j.linalg.api.ndarray INDArray)
           (org.nd4j.linalg.factory Nd4j)
           (org.nd4j.linalg.ops.transforms Transforms)))

(set! *warn-on-reflection* true)

(def ^:private learning-rate 1e-3)
(def ^:private beta1 0.9)
(def ^:private beta2 0.999)
(def ^:private one-minus-beta1 0.1) ; constants of their own: 1 - 0.999 is not 0.001 in binary
(def ^:private one-minus-beta2 0.001)
(def ^:private epsilon 1e-8)

(defn adam
  "The state before the first step: moments :m and :v beside a vector of parameters, and the number of :steps."
  [^INDArray parameters]
  {:m (Nd4j/zerosLike parameters) :v (Nd4j/zerosLike parameters) :steps 0})

(defn copy
  "The same state in memory of its own."
  [{:keys [^INDArray m ^INDArray v steps]}]
  {:m (.dup m) :v (.dup v) :steps steps})

(defn close!
  "Frees the moments' memory."
  [{:keys [^INDArray m ^INDArray v]}]
  (.close m)
  (.close v))

(defn- scale! ^INDArray [^INDArray array factor]
  (.muli array ^Number factor))

(defn- add-scaled!
  "Adds factor x to y, in place."
  ^INDArray [^INDArray y factor ^INDArray x]
  (.axpy (.level1 (Nd4j/getBlasWrapper)) (.length x) (double factor) x y)
  y)

(defn step!
  "Moves the parameters against their gradient, both vectors of one length, and the moments with them, in place.
  Returns the state with a step more; the one that it was given is used up."
  [{:keys [^INDArray m ^INDArray v steps]} ^INDArray parameters ^INDArray gradient]
  (let [t (inc (long steps))
        correction1 (- 1.0 (Math/pow beta1 t))
        root (Math/sqrt (- 1.0 (Math/pow beta2 t)))]
    (add-scaled! (scale! m beta1) one-minus-beta1 gradient) ; m = 0.9 m + 0.1 g
    (with-open [square (.mul gradient gradient)]
      (add-scaled! (scale! v beta2) one-minus-beta2 square) ; v = 0.999 v + 0.001 g^2
      ;; m / correction1 / (sqrt(v) / root + epsilon), with root above and below the line
      (.assign square v)
      (.rdivi (.addi (Transforms/sqrt square false) ^Number (* epsilon root)) m)
      (add-scaled! parameters (- (/ (* learning-rate root) correction1)) square))
    {:m m :v v :steps t}))
