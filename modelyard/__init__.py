"""Modelyard: a shipyard for models.

One experiment file goes in; a model that passed its gates comes out, registered with its
evidence and serving predictions. Importing this package imports nothing else.
"""

__version__ = "0.1.0"
