"""The error tree of the study layer.

UserError (usplit_core)
├── ConfigError, DataError, CheckpointError, OutputError (usplit_core)
├── SpaceError      a search space that cannot be loaded
├── StoreError      a store that cannot be used
└── ResourceError   a request that no node can serve
"""

from usplit_core.errors import UserError


class SpaceError(UserError):
    """A search space that cannot be loaded."""


class StoreError(UserError):
    """A store that cannot be used."""


class ResourceError(UserError):
    """A request for resources that nothing here can serve."""
