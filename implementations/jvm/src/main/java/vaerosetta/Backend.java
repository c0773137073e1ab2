package vaerosetta;

import java.util.Map;

/** What a port is, as {@code shared/contract.py} says for Python: it describes itself and loads models. */
public interface Backend {
  /** The identity that reports print: framework, version, device, precision, threads; none of it empty. */
  Map<String, String> describe();

  /**
   * A model holding copies of the parameters, which have been checked.
   *
   * @param params F32 or F64 under the canonical names
   * @param dtype "float32" or "float64", in which the model computes
   */
  Model load(Map<String, Tensor> params, Sizes sizes, String dtype);
}
