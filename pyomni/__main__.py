"""``python -m pyomni`` is the ``pyomni`` command."""

import sys

from pyomni.cli import main

if __name__ == "__main__":
    sys.exit(main())
