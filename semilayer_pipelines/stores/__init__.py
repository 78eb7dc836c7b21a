"""Where generations live and are searched.

Importing this package loads no store: `open_store` imports the one that is asked for.
"""

from semilayer_pipelines.stores.open import check_names, open_store

__all__ = ["check_names", "open_store"]
