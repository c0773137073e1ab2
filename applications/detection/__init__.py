"""Anomaly detection: scores of images, thresholds from normal data, and how well the scores find a digit left out.

`scores` and `threshold` take arrays and return arrays; `sources` and `writers` stream files; `scoring` is `vae score`,
`leave_one_out` is `vae evaluate anomaly`.
"""
