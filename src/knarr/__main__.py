"""`python -m knarr`: the same as the knarr command."""

import sys

from knarr.cli.main import main

sys.exit(main())
