"""`python -m lyra` is `lyra`."""

import sys

from lyra.cli.main import main

sys.exit(main())
