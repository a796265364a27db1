"""A model without a key: rules instead of understanding, so that everything can be tried."""

from voicelat.agentkit.scripted.model import RuleModel

__all__ = ["RuleModel"]
