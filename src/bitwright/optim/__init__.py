"""Optimizers' view of a binary network: which parameters are latent weights and which are not."""

from bitwright.optim.groups import latent_parameters, parameter_groups

__all__ = ["latent_parameters", "parameter_groups"]
