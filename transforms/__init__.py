"""The stages of the pipeline: one PTransform a file, in the order of the data, on chapters that they stand on.

What may be imported from here is named in `__init__.pyi` and told in docs/library.md; it is loaded when it is used. All
else is private.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
