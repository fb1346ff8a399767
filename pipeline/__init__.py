"""The program: what a person runs and how a run is put together.

What may be imported from here is named in `__init__.pyi` and told in docs/library.md; it is loaded when it is used. All
else is private.
"""

import lazy_loader

__version__ = "0.1.0"

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
