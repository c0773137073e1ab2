(ns vaerosetta.adam
  "Algorithm 1 of Kingma & Ba 2015 on ND4J.

  ND4J's own Adam is the variant that the paper calls epsilon-hat: it adds epsilon before the bias correction of v. And
  ND4J's operations would go through memory ten times in a step, so the loop over elements is in Java: AdamLoop."
  (:import (org.nd4j.linalg.api.buffer DataType)
           (org.nd4j.linalg.api.ndarray INDArray)
           (org.nd4j.linalg.factory Nd4j)
           (vaerosetta AdamLoop)))

(set! *warn-on-reflection* true)

(def ^:private learning-rate 1e-3)
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

(defn step!
  "One step: moves the parameters and the moments, in place, and uses the gradient up. All are vectors of one length.
  Returns the state to go on with."
  [{:keys [^INDArray m ^INDArray v steps]} ^INDArray parameters ^INDArray gradient]
  (let [t (inc (long steps))
        ;; lr m / (1 - beta1^t) / (sqrt(v / (1 - beta2^t)) + epsilon), with the root of 1 - beta2^t above and below
        root (Math/sqrt (- 1.0 (Math/pow AdamLoop/BETA2 t)))
        step (/ (* learning-rate root) (- 1.0 (Math/pow AdamLoop/BETA1 t)))
        epsilon (* epsilon root)]
    (if (= (.dataType parameters) DataType/FLOAT)
      (AdamLoop/update (.asNioFloat (.data gradient)) (.asNioFloat (.data m)) (.asNioFloat (.data v))
                       (float step) (float epsilon))
      (AdamLoop/update (.asNioDouble (.data gradient)) (.asNioDouble (.data m)) (.asNioDouble (.data v))
                       (double step) (double epsilon)))
    (.subi parameters gradient)
    {:m m :v v :steps t}))
