"""jaxsynth: train many small networks at once, and keep their whole history.

Importing the package touches no device and loads no plotting library; the
parts are imported by name (`from jaxsynth import build`, ...).
"""

__version__ = '0.1.0'
