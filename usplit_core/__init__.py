"""One model of the µSplit family: data, network, training, prediction. Knows no study, no Ray, no MLflow."""

__version__ = "0.1.0"

#: Part of every trial's identity: raised by a change after which the same run gives other numbers.
NUMERICS_VERSION = 2
