"""A module of the stranger's own, in a plain folder whose name is also one of ours."""

LAYERS = ("encoder.fc1", "encoder.fc2_mu", "encoder.fc2_logvar", "decoder.fc3", "decoder.fc4")
