"""`python -m ohmlet`."""

import sys

from ohmlet.cli import main

sys.exit(main())
